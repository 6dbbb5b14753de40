"""Predictions beside labels: where they agree, and which way they err.

All functions take tables of predictions and samples, joined by id and checked as
`emokit.evaluation.report` does; faces without a label are left out. A picture shows the faces at
hand: `report` has the intervals.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from emokit.data.tables import Table
from emokit.evaluation.metrics import accuracy, ccc_decomposition, rmse
from emokit.evaluation.metrics import confusion as confusion_matrix
from emokit.evaluation.report import matched
from emokit.plots.circumplex import COLOURS, FAINT, INK, circumplex
from emokit.plots.parts import cloud, count, headline, in_words


def predicted_against_true(
    predictions: Table, samples: Table, target: str = "valence", *, ax: Axes | None = None
) -> Axes:
    """Prediction over label of every face; where they are equal, on the diagonal.

    Many faces are drawn as a density, few as points. Below the title: RMSE, PCC and CCC
    (equations 1, 3 and 4), and what parts the latter two: how far predictions spread, relative to
    labels, and how far their mean is shifted.

    Parameters
    ----------
    predictions, samples : DataFrame or path
    target : {"valence", "arousal"}
    ax : Axes, optional

    Raises
    ------
    ValueError
        As `emokit.evaluation.report`, or the target is no number.
    """
    true, pred = _numbers(predictions, samples, target)
    ax = ax or plt.subplots(figsize=(5.6, 5.2), layout="constrained")[1]
    cloud(true, pred, ax)
    ax.plot((-1, 1), (-1, 1), color=FAINT, linewidth=1, zorder=3)
    ax.annotate("prediction = label", (1.05, 1.06), ha="right", fontsize=9, color=INK, annotation_clip=False)
    why = ccc_decomposition(true, pred)
    headline(
        ax,
        f"{target.capitalize()} of {count(len(true))}",
        f"CCC {in_words(why.ccc)},  PCC {in_words(why.pcc)},  RMSE {in_words(rmse(true, pred))}\n"
        f"spread × {in_words(why.scale_shift)},  shift {in_words(np.mean(pred - true), '+z.2f')}",
    )
    ax.set(xlabel=f"labelled {target}", ylabel=f"predicted {target}", aspect="equal")
    ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    _open(ax)
    return ax


def bland_altman(predictions: Table, samples: Table, target: str = "valence", *, ax: Axes | None = None) -> Axes:
    """Prediction less label, over the mean of both (Bland and Altman 1986).

    Lines are the mean difference and the limits of agreement, 1.96 standard deviations (of n - 1)
    to either side: where differences are normal, 95 % of faces lie between them. A slope in the
    cloud says that predictions spread less, or more, than labels.

    Parameters
    ----------
    predictions, samples, target, ax
        As in `predicted_against_true`. A single face has no limits.

    Raises
    ------
    ValueError
        As `predicted_against_true`.
    """
    true, pred = _numbers(predictions, samples, target)
    middle, difference = (true + pred) / 2, pred - true
    mean = difference.mean()
    reach = 1.96 * difference.std(ddof=1) if len(difference) > 1 else np.nan
    ax = ax or plt.subplots(figsize=(7, 4.4), layout="constrained")[1]
    # Symmetric, so that a shift is seen as one, and never so narrow that rounding looks like error.
    top = 1.1 * np.nanmax([0.1, abs(mean) + reach, np.abs(difference).max()])
    ax.axhline(0, color=FAINT, linewidth=0.8, zorder=1)
    cloud(middle, difference, ax, (-1, 1, -top, top))
    _level(ax, mean, f"mean {in_words(mean, '+z.2f')}", 0)
    if len(difference) > 1:
        for sign, name in ((1, "+1.96 SD"), (-1, "−1.96 SD")):
            _level(ax, mean + sign * reach, f"{name}\n{in_words(mean + sign * reach, '+z.2f')}", sign)
    inside = np.mean(np.abs(difference - mean) <= reach)
    headline(
        ax,
        f"Errors in {target} of {count(len(true))}",
        "a single face has no limits of agreement" if np.isnan(reach) else f"{inside:.1%} lie within the limits",
    )
    ax.set(xlabel=f"mean of label and prediction ({target})", ylabel="prediction − label")
    ax.set(xlim=(-1.05, 1.05), ylim=(-top, top), xticks=(-1, -0.5, 0, 0.5, 1))
    _open(ax)
    return ax


def error_arrows(predictions: Table, samples: Table, *, cells: int = 8, few: int = 10, ax: Axes | None = None) -> Axes:
    """Which way predictions lead, across the circumplex.

    Parameters
    ----------
    predictions, samples : DataFrame or path
    cells : int
        Of a grid, along each axis. An arrow goes from the mean label of a cell's faces, a dot
        whose area is their number, to their mean prediction, in the units of the axes.
    few : int
        Cells of fewer faces are faint.
    ax : Axes, optional

    Raises
    ------
    ValueError
        As `emokit.evaluation.report`, or there are no cells.
    """
    if cells < 1:
        raise ValueError(f"cells is at least 1, got {cells}")
    true, pred = matched(predictions, samples, ["valence", "arousal"])
    row, column = (np.minimum((true[name] + 1) * cells // 2, cells - 1) for name in ("arousal", "valence"))
    faces = pd.concat({"true": true, "pred": pred}, axis=1).groupby([row.to_numpy(), column.to_numpy()])
    n, means = faces.size().to_numpy(), faces.mean()
    tail, tip = means["true"].to_numpy(), means["pred"].to_numpy()
    ax = circumplex(words=False, ax=ax or plt.subplots(figsize=(5.6, 5.8), layout="constrained")[1])
    shade = np.where(n < few, FAINT, INK)
    ax.scatter(*tail.T, s=160 * n / n.max(), color=COLOURS["surprise"], alpha=0.5, linewidth=0, zorder=2)
    ax.quiver(
        *tail.T, *(tip - tail).T, color=shade, angles="xy", scale_units="xy", scale=1, units="inches", width=0.02,
        zorder=3,
    )  # fmt: skip
    headline(
        ax,
        f"Mean error of {count(len(true))}",
        f"from mean label (dot) to mean prediction (tip), per cell\n{count(n)} a cell; grey: fewer than {few}",
    )
    return ax


def confusion(predictions: Table, samples: Table, *, ax: Axes | None = None) -> Axes:
    """What each expression is taken for: shares of a row, and counts.

    Expressions that occur are in AffectNet's order. One that is predicted only has an empty row.

    Parameters
    ----------
    predictions, samples : DataFrame or path
    ax : Axes, optional

    Raises
    ------
    ValueError
        As `emokit.evaluation.report`.
    """
    true, pred = (table["expression"] for table in matched(predictions, samples, ["expression"]))
    found = {*true, *pred}
    names = [name for name in COLOURS if name in found] + sorted(found - set(COLOURS))
    counts = confusion_matrix(true, pred, labels=names)
    n = counts.sum(axis=1)
    shares = counts.div(n.where(n > 0), axis=0)
    texts = shares.map("{:.0%}".format) + "\n" + counts.map("{:,}".format)
    ax = ax or plt.subplots(figsize=(max(5.5, 1.8 + 0.7 * len(names)), 1.7 + 0.6 * len(names)), layout="constrained")[1]
    sns.heatmap(
        shares, annot=texts.where(counts > 0, ""), fmt="", annot_kws={"fontsize": 9}, vmin=0, vmax=1, cmap="Blues",
        cbar=False, linewidths=1, ax=ax,
    )  # fmt: skip
    ax.set_yticks(ax.get_yticks(), [f"{name}  {n[name]:,}" for name in names], rotation=0)
    ax.tick_params(length=0)
    ax.set(xlabel="predicted", ylabel="labelled")
    headline(
        ax,
        f"Expressions of {count(len(true))}",
        f"accuracy {accuracy(true, pred):.2f}; shares of the faces of a row, and their number",
    )
    return ax


def _numbers(predictions: Table, samples: Table, target: str) -> tuple[np.ndarray, np.ndarray]:
    if target not in ("valence", "arousal"):
        raise ValueError(f"target is 'valence' or 'arousal', got {target!r}")
    true, pred = matched(predictions, samples, [target])
    return true[target].to_numpy(), pred[target].to_numpy()


def _level(ax: Axes, height: float, name: str, side: int) -> None:
    """A line and, beyond it, its name: however close lines are, names never meet."""
    ax.axhline(height, color=INK, linewidth=1 if side else 1.5, linestyle="--" if side else "-", zorder=3)
    ax.annotate(
        name, (1, height), (6, 7 * side), xycoords=("axes fraction", "data"), textcoords="offset points",
        va=("top", "center", "bottom")[side + 1], fontsize=9, color=INK, annotation_clip=False,
    )  # fmt: skip


def _open(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(color=FAINT)
