"""What a data set is labelled with: classes, the circumplex, traces of annotators."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emokit.plots.circumplex import COLOURS, FAINT, INK, circumplex
from emokit.plots.parts import MANY, count, density


def label_distribution(samples: pd.DataFrame, title: str = "") -> Figure:
    """Where the labels of ``samples`` lie: classes, and valence and arousal on the circumplex.

    Many faces are drawn as a density, few as points.
    """
    has_classes = "expression" in samples and samples["expression"].notna().any()
    figure, axes = plt.subplots(
        1, 1 + has_classes, figsize=(5 + 5 * has_classes, 4.6), squeeze=False, layout="constrained"
    )
    ax = axes[0, -1]
    if has_classes:
        counts = samples["expression"].value_counts().reindex([n for n in COLOURS if n in set(samples["expression"])])
        bars = axes[0, 0].barh(counts.index, counts, color=[COLOURS[n] for n in counts.index], height=0.7)
        axes[0, 0].bar_label(bars, fmt="{:,.0f}", padding=4, color=INK)
        axes[0, 0].invert_yaxis()
        axes[0, 0].set(xticks=(), xlim=(0, counts.max() * 1.15))
        axes[0, 0].tick_params(length=0)
        axes[0, 0].spines[:].set_visible(False)
        axes[0, 0].set_title("Faces per expression", loc="left", fontsize=11)
    if len(samples) > MANY:
        circumplex(words=True, ax=ax)
        density(samples["valence"], samples["arousal"], ax)
    else:
        expression = samples["expression"] if has_classes else None
        circumplex(samples["valence"], samples["arousal"], expression, legend=False, ax=ax, s=22, linewidth=0.3)
    ax.set_title(f"Valence and arousal of {len(samples):,} faces", loc="left", fontsize=11)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, color=INK)
    return figure


def traces(recording: pd.DataFrame, dimension: str = "valence", ax: Axes | None = None) -> Axes:
    """One recording's ratings over time: every annotator, and their mean.

    Parameters
    ----------
    recording : DataFrame
        Rows of `read_sewa`: ``time``, ``valence``, ``valence_1``, …
    dimension : {"valence", "arousal"}
    ax : Axes, optional
    """
    ax = ax or plt.subplots(figsize=(8, 3), layout="constrained")[1]
    each = [c for c in recording if c.startswith(f"{dimension}_")]
    for column, colour in zip(each, sns.color_palette("colorblind", len(each)), strict=True):
        name = column.removeprefix(f"{dimension}_")
        ax.plot(recording["time"], recording[column], color=colour, linewidth=1, label=f"annotator {name}")
    ax.plot(recording["time"], recording[dimension], color=INK, linewidth=2.5, label="mean")
    ax.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    ax.set(ylim=(-1.02, 1.02), xlabel="time (s)", ylabel=dimension)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def comparison(both: pd.DataFrame, metric: str = "CCC") -> Figure:
    """The paper's figures and yours, row by row.

    Parameters
    ----------
    both : DataFrame
        From `emokit.evaluation.compare`. Bars of your dots are its intervals ``low`` to ``high``
        where it has them, else two standard deviations over seeds to either side.
    metric : str

    Raises
    ------
    ValueError
        The table has no such metric.
    """
    chosen = both[both["metric"] == metric]
    if chosen.empty:
        raise ValueError(f"the comparison has no {metric!r}; it has {', '.join(both['metric'].unique()) or 'no row'}")
    targets, names = (list(dict.fromkeys(chosen[column])) for column in ("target", "row"))
    figure, axes = plt.subplots(
        1, len(targets), figsize=(4.2 * len(targets) + 2, 0.42 * len(names) + 1.4),
        sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    for ax, target in zip(axes[0], targets, strict=True):
        rows = chosen[chosen["target"] == target]
        place = [names.index(row) for row in rows["row"]]
        ax.hlines(place, rows["paper"], rows["yours"], color=FAINT, linewidth=1, alpha=0.5, zorder=1)
        ax.scatter(rows["paper"], place, marker="D", color=INK, s=34, label="paper", zorder=3)
        if "low" in rows:
            low, high, bars = rows["low"], rows["high"], "intervals"
        else:
            low, high = (rows["yours"] + side * rows["sd"] for side in (-2, 2))
            bars = f"two standard deviations over {count(rows['seeds'], 'seed')}"
        ax.hlines(place, low, high, color="#d55e00", linewidth=1.5, label="_bars", zorder=2)
        ax.scatter(rows["yours"], place, color="#d55e00", s=49, label="yours", zorder=3)
        ax.set_xlabel(f"bars: {bars}" + (f", {count(rows['n'])}" if "n" in rows else ""), loc="left", fontsize=9)
        ax.set_yticks(range(len(names)), names)
        ax.set_title(f"{metric} of {target}" if target != "expression" else metric, loc="left", fontsize=11)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x", color=FAINT, alpha=0.3)
        ax.locator_params(axis="x", nbins=5)
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    axes[0, -1].legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
