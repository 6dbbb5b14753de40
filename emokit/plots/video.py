"""Affect over time: traces, and the way that a face goes on the circumplex."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from emokit.data.frames import read_frames_table
from emokit.data.tables import Table
from emokit.evaluation.rolling import rolling_ccc
from emokit.plots.circumplex import COLOURS, FAINT, INK, circumplex

AFFECT = {"valence": "#0072b2", "arousal": "#d55e00"}
_DASHES = ("-", "-", (0, (4, 2)), (0, (1, 1)))
TRACED = ("person", "frame", "time", *AFFECT)


def affect_traces(predictions: Table, smoothed: Table | None = None, truth: Table | None = None) -> Figure:
    """Valence and arousal of every person over time, above a band of the expressions.

    Lines end where frames are missing.

    Parameters
    ----------
    predictions : DataFrame or path
        From `predict_video`, of one video.
    smoothed : DataFrame or path, optional
        From `smooth`: drawn over ``predictions``, which turn pale; the band is then its.
    truth : DataFrame or path, optional
        With ``frame``, ``time``, ``person``, ``valence`` and ``arousal``; dashed.

    Raises
    ------
    ValueError
        ``predictions`` has no row, or a table lacks a column or holds several videos.
    """
    predictions = read_frames_table(predictions, *TRACED, "expression", one_video=True)
    if smoothed is not None:
        smoothed = read_frames_table(smoothed, *TRACED, "expression", name="the smoothed ones", one_video=True)
    if truth is not None:
        truth = read_frames_table(truth, *TRACED, name="the true ones", one_video=True)
    persons = sorted(predictions["person"].unique())
    if not persons:
        raise ValueError("nobody is seen in these predictions, so there is no trace")
    band = predictions if smoothed is None else smoothed
    figure, axes = plt.subplots(
        3 * len(persons), 1, figsize=(10, 3.6 * len(persons)), sharex=True, squeeze=False, layout="constrained",
        gridspec_kw={"height_ratios": [1, 1, 0.16] * len(persons)},
    )  # fmt: skip
    for number, person in enumerate(persons):
        *lines, ribbon = axes[3 * number : 3 * number + 3, 0]
        for ax, (dimension, colour) in zip(lines, AFFECT.items(), strict=True):
            looks = [
                (predictions, "per frame", {"color": colour, "linewidth": 1, "alpha": 1 if smoothed is None else 0.45}),
                (smoothed, "smoothed", {"color": colour, "linewidth": 2}),
                (truth, "truth", {"color": INK, "linewidth": 1.2, "linestyle": (0, (4, 2))}),
            ]
            for table, label, look in looks:
                if table is not None:
                    rows = table[table["person"] == person]
                    ax.plot(with_breaks(rows, "time"), with_breaks(rows, dimension), label=label, **look)
            ax.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
            ax.set(ylim=(-1.02, 1.02), yticks=(-1, 0, 1), ylabel=dimension)
            ax.spines[["top", "right", "bottom"]].set_visible(False)
            ax.tick_params(axis="x", length=0)
        beside = {"frameon": False, "loc": "upper left", "bbox_to_anchor": (1, 1.05), "fontsize": 9}
        if smoothed is not None or truth is not None:
            lines[0].legend(**beside)
        if len(persons) > 1:
            lines[0].set_title(f"Person {person}", loc="left", fontsize=11, color=INK, pad=12)
        colours = _band(band[band["person"] == person], ribbon)
        lines[1].legend(handles=colours, handlelength=1, labelspacing=0.25, **beside)
    axes[-1, 0].set_xlabel("time (s)")
    figure.align_ylabels()
    return figure


def ccc_over_time(ways: Mapping[str, Table], truth: Table, window: float = 2.0) -> Figure:
    """The CCC of several ways to predict, within a window that moves on frame by frame.

    Parameters
    ----------
    ways : mapping of str to DataFrame or path
        Such as ``{"per frame": found, "smoothed": smooth(found)}``, at most four.
    truth : DataFrame or path
    window : float
        Seconds, as in `rolling_ccc`.

    Raises
    ------
    ValueError
        As `rolling_ccc`, or nobody is seen for as long as the window.
    """
    curves = {name: rolling_ccc(table, truth, window) for name, table in ways.items()}
    persons = sorted(set().union(*(curve["person"] for curve in curves.values())))
    if not persons:
        raise ValueError(f"nobody is seen for as long as the window, {window:g} s; make it shorter")
    figure, axes = plt.subplots(
        len(persons), 2, figsize=(10, 2.2 * len(persons) + 0.4), sharex=True, sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for row, person in zip(axes, persons, strict=True):
        for ax, (dimension, colour) in zip(row, AFFECT.items(), strict=True):
            for number, (name, curve) in enumerate(curves.items()):
                rows = curve[curve["person"] == person]
                look = (
                    {"alpha": 0.55, "linewidth": 1.2} if number == 0 else {"linewidth": 2, "linestyle": _DASHES[number]}
                )
                ax.plot(with_breaks(rows, "time"), with_breaks(rows, dimension), color=colour, label=name, **look)
            who = f", person {person}" if len(persons) > 1 else ""
            ax.set_title(f"{dimension}{who}", loc="left", fontsize=11, color=INK)
            ax.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
            ax.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel("CCC")
    for first, last in zip(axes[0], axes[-1], strict=True):
        first.legend(fontsize=9, loc="lower right", facecolor="white", edgecolor="none", framealpha=1)
        last.set_xlabel("time (s)")
    axes[0, 0].set_ylim(min(axes[0, 0].get_ylim()[0], 0) - 0.05, 1.05)
    return figure


def trajectory(predictions: Table, ax: Axes | None = None) -> Axes:
    """One person's way on the circumplex, from dark to light; a ring where it begins, a dot where it ends.

    Raises
    ------
    ValueError
        ``predictions`` has no row, more than one person or video, or lacks a column.
    """
    predictions = read_frames_table(predictions, *TRACED, one_video=True)
    persons = predictions["person"].unique()
    if len(persons) != 1:
        raise ValueError(
            f"a trajectory is one person's, got {len(persons)} persons; choose one: "
            "predictions[predictions['person'] == 0]"
        )
    ax = circumplex(words=True, ax=ax)
    frames = predictions.sort_values("frame")
    points, time = frames[["valence", "arousal"]].to_numpy(float), frames["time"].to_numpy(float)
    joined = np.diff(frames["frame"]) == 1
    way = LineCollection(np.stack((points[:-1], points[1:]), axis=1)[joined], cmap="viridis", linewidth=1.8, zorder=2)
    way.set(array=time[:-1][joined], clim=(time[0], time[-1]), capstyle="round")
    ax.add_collection(way)
    for point, fill in ((points[0], "white"), (points[-1], INK)):
        ax.scatter(*point, s=50, facecolor=fill, edgecolor=INK, linewidth=1.5, zorder=3)
    key = ax.figure.colorbar(way, ax=ax, shrink=0.5, aspect=18, pad=0.02)
    key.outline.set_visible(False)
    key.set_label("time (s)", color=INK)
    return ax


def _band(predictions: pd.DataFrame, ax: Axes) -> list[PolyCollection]:
    """One person's portrayed expression over time, as a band of colours."""
    frames = predictions.sort_values("frame")
    time, names = frames["time"].to_numpy(float), frames["expression"].to_numpy(object)
    spans = np.column_stack((time, (_ends(frames) - time) * 1.02))  # a little too long, to close hairlines
    ax.set(ylim=(0, 1), yticks=())
    ax.spines[:].set_visible(False)
    return [
        ax.broken_barh(spans[names == name], (0, 1), color=COLOURS[name], linewidth=0, label=name)
        for name in COLOURS
        if name in set(names)
    ]


def with_breaks(person: pd.DataFrame, column: str) -> NDArray:
    """One person's ``column`` by frames, with None or NaN where frames are missing."""
    person = person.sort_values("frame")
    breaks = np.flatnonzero(np.diff(person["frame"]) > 1) + 1
    values = person[column].to_numpy(object if column == "expression" else float)
    return np.insert(values, breaks, None if column == "expression" else np.nan)


def _ends(frames: pd.DataFrame) -> NDArray[np.float64]:
    """When each of one person's frames gives way to the next, or would have."""
    time = frames["time"].to_numpy(float)
    steps, joined = np.diff(time), np.diff(frames["frame"]) == 1
    usual = np.median(steps[joined]) if joined.any() else 1 / 25
    return time + np.append(np.where(joined, steps, usual), usual)
