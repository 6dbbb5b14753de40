"""What a review queue finds, and what cleaning takes away."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emokit.plots.circumplex import FAINT, INK
from emokit.plots.parts import count, headline

_FINDINGS = {"": INK, "loses more": "#d55e00", "loses fewer": "#0072b2"}


def review_curve(curves: pd.DataFrame | Mapping[str, pd.DataFrame], mark: float = 0.1, ax: Axes | None = None) -> Axes:
    """Share of the errors found, by the share of the queue reviewed, beside random order.

    Parameters
    ----------
    curves : DataFrame, or mapping of name to DataFrame
        From `emokit.cleaning.queue_curve`; one, or several such as of seeds or kinds of evidence.
    mark : float
        Share of the queue at which the found share is written.
    ax : Axes, optional
    """
    curves = {"queue": curves} if isinstance(curves, pd.DataFrame) else dict(curves)
    ax = ax or plt.subplots(figsize=(6.4, 4.4), layout="constrained")[1]
    first = next(iter(curves.values()))
    ax.fill_between(first["reviewed"], first["low"], first["high"], color=FAINT, alpha=0.3, linewidth=0)
    ax.plot(first["reviewed"], first["random"], color=FAINT, linewidth=1.2, label="random order, with its interval")
    for (name, curve), colour in zip(curves.items(), sns.color_palette("colorblind", len(curves)), strict=True):
        found = np.interp(mark, curve["reviewed"], curve["found"])
        ax.plot(curve["reviewed"], curve["found"], color=colour, linewidth=2, label=f"{name}: {found:.0%}")
        ax.scatter([mark], [found], color=[colour], s=30, zorder=3)
    ax.axvline(mark, color=FAINT, linewidth=0.8, linestyle=":")
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="share of the queue reviewed", ylabel="share of the errors found")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(lambda share, _: f"{share:.0%}")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="lower right", fontsize=9)
    headline(
        ax,
        f"Errors found in the first {mark:.0%} of the queue",
        f"{count([curve['faces'].iloc[-1] for curve in curves.values()])} a queue",
    )
    return ax


def removals(report: pd.DataFrame) -> Figure:
    """Share of the faces that cleaning removed, per class and per group, with its interval.

    What loses more or fewer faces than all others is coloured; the line is the share of all faces.

    Parameters
    ----------
    report : DataFrame
        From `emokit.cleaning.cleaning_report`.

    Raises
    ------
    ValueError
        The report compares no classes and no groups.
    """
    whole, rows = report.iloc[0], report[~report["by"].isin(["all", "reason", "annotator"])]
    if rows.empty:
        raise ValueError("the report compares no classes and no groups; name columns of groups in cleaning_report")
    parts = dict(list(rows.groupby("by", sort=False)))
    figure, axes = plt.subplots(
        len(parts), 1, figsize=(7.6, 1.2 + 0.3 * len(rows) + 0.5 * len(parts)), sharex=True, squeeze=False,
        layout="constrained", height_ratios=[len(part) + 0.6 for part in parts.values()],
    )  # fmt: skip
    for ax, (by, part) in zip(axes[:, 0], parts.items(), strict=True):
        place, colours = np.arange(len(part)), part["finding"].map(_FINDINGS)
        ax.axvline(whole["share"], color=FAINT, linewidth=1, zorder=0)
        ax.hlines(place, part["low"], part["high"], color=colours, linewidth=1.5)
        ax.scatter(part["share"], place, color=colours, s=36, zorder=3)
        ax.set_yticks(place, [f"{r.value}  {r.removed:,} of {r.faces:,}" for r in part.itertuples()])
        for row, (finding, high, share) in enumerate(zip(part["finding"], part["high"], part["share"], strict=True)):
            if finding:
                end = share if np.isnan(high) else high
                ax.annotate(
                    finding,
                    (end, row),
                    (6, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=9,
                    color=_FINDINGS[finding],
                )
        ax.set_ylim(len(part) - 0.4, -0.6)
        ax.set_title(by, loc="left", fontsize=10, color=INK)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
    ends = rows["high"].fillna(rows["share"])
    axes[-1, 0].set_xlim(0, min(1, 1.25 * ends.max()))
    axes[-1, 0].xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes[-1, 0].set_xlabel("share of the faces removed")
    figure.suptitle(
        f"Cleaning removed {whole['removed']:,} of {count(whole['faces'])} ({whole['share']:.1%}, the grey line)",
        x=0.01, ha="left", fontsize=11, color=INK,
    )  # fmt: skip
    return figure
