"""An audit in pictures: which groups differ, where groups cross, which way each is misread, who is missing."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from emokit.evaluation.audit import Audit, DataAudit
from emokit.evaluation.audit.groups import TIMES
from emokit.evaluation.audit.training_data import CELLS
from emokit.plots.circumplex import FAINT, INK
from emokit.plots.parts import count, headline, in_words

# Verdicts are told apart by fill and by words, not by colour alone.
_MARKS = {
    "differs": ("#d55e00", "#d55e00"),
    "differs a little": ("#0072b2", "#0072b2"),
    "can't tell": (INK, "white"),
    "no large difference": (INK, INK),
}
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")


def forest(found: Audit, target: str = "valence", metric: str = "CCC", *, ax: Axes | None = None) -> Axes:
    """Difference to the rest of every group, with its interval; grey: less than what is worth acting on.

    Groups with too few persons to say anything are counted, not drawn.

    Parameters
    ----------
    found : Audit
    target : {"expression", "valence", "arousal"}
    metric : {"accuracy", "CCC", "signed error"}
    ax : Axes, optional

    Raises
    ------
    ValueError
        The metric of this target was not tested.
    """
    rows = _tested(found, target, metric)
    sound = rows["verdict"].isin(_MARKS)
    left, rows = (~sound).sum(), rows[sound]
    order = [name for name in dict.fromkeys(found.groups["columns"]) if name in set(rows["columns"])]
    rows = rows.assign(place=rows["columns"].map(order.index)).sort_values(["place", "group"], kind="stable")
    worth = found.settings.worth[metric]
    y = np.arange(len(rows)) + 1.3 * (rows["place"].to_numpy() + 1)
    bottom = y.max(initial=0) + 0.8
    ax = ax or plt.subplots(figsize=(8, 1.7 + 0.25 * bottom), layout="constrained")[1]
    ax.axvspan(-worth, worth, color="#efefec", zorder=0)
    ax.axvline(0, color=FAINT, linewidth=1, zorder=1)
    for verdict, (line, fill) in _MARKS.items():
        chosen = (rows["verdict"] == verdict).to_numpy()
        if chosen.any():
            some = rows[chosen]
            ax.hlines(y[chosen], some["low"], some["high"], color=line, linewidth=1.5, zorder=2)
            ax.scatter(some["difference"], y[chosen], s=34, color=fill, edgecolor=line, linewidth=1.2, zorder=3,
                       label=verdict)  # fmt: skip
    reach = 1.15 * max(np.nanmax(np.abs(rows[["difference", "low", "high"]].to_numpy()), initial=0), 1.5 * worth)
    ax.set_xlim(-reach, reach)
    ax.set_yticks(y, rows["group"])
    for place, name in enumerate(order):
        top = y[(rows["place"] == place).to_numpy()].min()
        ax.annotate(name, (0, top - 0.95), (-4, 0), xycoords=("axes fraction", "data"), va="center", ha="right",
                    textcoords="offset points", fontsize=9, weight="bold", color=INK)  # fmt: skip
    for height, row in zip(y, rows.itertuples(), strict=True):
        ax.annotate(f"{row.subjects:,}", (1, height), (8, 0), xycoords=("axes fraction", "data"), va="center",
                    textcoords="offset points", fontsize=8, color=INK, annotation_clip=False)  # fmt: skip
    persons = _persons(found)
    ax.annotate(persons, (1, 0.2), (8, 0), xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=8,
                va="center", color=INK, annotation_clip=False)  # fmt: skip
    ax.set_ylim(bottom, -0.4)
    ax.tick_params(axis="y", length=0, labelsize=9)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.set_xlabel(_reading(metric, target))
    detail = f"{found.settings.level:.0%} intervals, each for itself; grey band: smaller than ±{worth:g}"
    more = f"\n{count([left], 'group')} left out: too few to say" if left else ""
    headline(ax, f"{_title(metric, target)}: group less rest", detail + more)
    if len(rows):
        ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.45, -0.7 / ax.figure.get_figheight()), ncols=3,
              fontsize=8, handletextpad=0.2)  # fmt: skip
    return ax


def intersections(
    found: Audit, columns: Sequence[str], target: str = "valence", metric: str = "CCC", *, ax: Axes | None = None
) -> Axes:
    """A metric where two columns cross, with persons; hatched: too few to say, or nobody.

    Parameters
    ----------
    found : Audit
    columns : pair of str
        Rows, then columns of the picture, in the order that `audit` had them.
    target, metric : str
        Of the table ``groups``.
    ax : Axes, optional

    Raises
    ------
    ValueError
        The audit has no such intersection or metric.
    """
    name = TIMES.join(columns)
    table = found.groups
    rows = table[(table["columns"] == name) & (table["target"] == target) & (table["metric"] == metric)]
    if len(columns) != 2 or rows.empty:
        raise ValueError(
            f"the audit has no {metric!r} of {target!r} for {name!r}; its groups are "
            f"{', '.join(dict.fromkeys(table['columns']))}"
        )
    names = [list(dict.fromkeys(table.loc[table["columns"] == column, "group"])) for column in columns]
    crossed = next(part for part in found.faces[0].partitions if part.columns == name)
    members = dict(zip(crossed.groups, crossed.members, strict=True))
    values, texts, few = (pd.DataFrame(fill, *names) for fill in (np.nan, "nobody", True))
    for row in rows.itertuples():
        place = members[row.group]
        few.loc[place] = row.effective < found.settings.min_size
        values.loc[place] = row.value
        texts.loc[place] = f"{'too few' if few.loc[place] else in_words(row.value)}\n{row.subjects:,}"
    width, height = max(5.2, 2.6 + 1.1 * len(names[1])), 1.8 + 0.62 * len(names[0])
    ax = ax or plt.subplots(figsize=(width, height), layout="constrained")[1]
    signed = metric == "signed error"
    top = max(values.where(~few).abs().fillna(0).to_numpy().max(), 2 * found.settings.worth.get(metric, 0.05))
    limits = {"cmap": "RdBu_r", "vmin": -top, "vmax": top} if signed else {"cmap": "Blues", "vmin": 0, "vmax": 1}
    sns.heatmap(values.where(~few), annot=texts.where(~few, ""), fmt="", annot_kws={"fontsize": 9}, cbar=False,
                linewidths=1, ax=ax, **limits)  # fmt: skip
    for i, j in np.argwhere(few.to_numpy()):
        ax.add_patch(plt.Rectangle((j, i), 1, 1, facecolor="#f6f6f4", edgecolor="#d8d8d8", hatch="///", linewidth=0))
        ax.annotate(texts.iloc[i, j], (j + 0.5, i + 0.5), ha="center", va="center", fontsize=9, color=INK,
                    bbox={"facecolor": "#f6f6f4", "edgecolor": "none", "pad": 1})  # fmt: skip
    ax.tick_params(length=0, rotation=0)
    ax.set(xlabel=columns[1], ylabel=columns[0])
    headline(ax, _title(metric, target), f"and {_persons(found)}; hatched: fewer than {found.settings.min_size}")
    return ax


def signed_errors(found: Audit, column: str, *, ax: Axes | None = None) -> Axes:
    """Which way each group is misread: the middle of the circumplex, enlarged, with what it means to be off.

    Parameters
    ----------
    found : Audit
        Of valence and arousal.
    column : str
        Of groups, or an intersection such as ``"age_band × culture"``.
    ax : Axes, optional
        Bars are intervals. In the grey circle, the error is smaller than what is worth acting on.

    Raises
    ------
    ValueError
        The audit has no such column, or not both valence and arousal.
    """
    table = found.groups
    rows = table[(table["columns"] == column) & (table["metric"] == "signed error")]
    both = [rows[rows["target"] == target].set_index("group") for target in ("valence", "arousal")]
    if both[0].empty or both[1].empty:
        raise ValueError(
            f"no signed errors of valence and arousal for {column!r}; the audit's groups are "
            f"{', '.join(dict.fromkeys(table['columns']))}"
        )
    ax = ax or plt.subplots(figsize=(6.4, 5.2), layout="constrained")[1]
    worth = found.settings.worth["signed error"]
    valence, arousal = both
    enough = valence["effective"] >= found.settings.min_size
    ends = np.abs(np.concatenate([part.loc[enough, ["value", "low", "high"]].to_numpy() for part in both]))
    reach = 1.25 * max(np.nanmax(ends, initial=0), 1.6 * worth)
    ax.add_patch(plt.Circle((0, 0), worth, facecolor="#efefec", edgecolor="none", zorder=0))
    for x, y in (((-reach, reach), (0, 0)), ((0, 0), (-reach, reach))):
        ax.plot(x, y, color=FAINT, linewidth=0.8, zorder=1)
    for words, x, y in (("angrier, tenser", -1, 1), ("happier, livelier", 1, 1), ("sadder, wearier", -1, -1),
                        ("calmer, more content", 1, -1)):  # fmt: skip
        ax.annotate(f"read as\n{words}", (0.97 * x * reach, 0.97 * y * reach), color=FAINT, fontsize=9,
                    ha="right" if x > 0 else "left", va="top" if y > 0 else "bottom")  # fmt: skip
    for k, group in enumerate(valence.index):
        (v, a), colour = (part.loc[group] for part in both), _COLOURS[k % len(_COLOURS)]
        if not enough[group] or np.isnan(v["value"]):
            continue
        ax.plot((v["low"], v["high"]), (a["value"],) * 2, color=colour, linewidth=1.2, zorder=2)
        ax.plot((v["value"],) * 2, (a["low"], a["high"]), color=colour, linewidth=1.2, zorder=2)
        ax.scatter(v["value"], a["value"], color=colour, s=45, zorder=3, edgecolor="white", label=group)
    if enough.any():
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), handletextpad=0.2, fontsize=9)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    ax.set_xlabel("less pleasant than labelled  ←  valence  →  more")
    ax.set_ylabel("calmer than labelled  ←  arousal  →  more excited")
    ax.locator_params(nbins=5)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, colors=FAINT)
    left = (~enough).sum()
    more = f"; {left} left out: too few to say" if left else ""
    headline(ax, f"Mean error by {column}", f"bars: {found.settings.level:.0%} intervals{more}")
    return ax


def coverage_map(data: DataAudit, column: str) -> Figure:
    """How many faces of each group lie where on the circumplex; crossed: others have faces there, the group none.

    Parameters
    ----------
    data : DataAudit
    column : str
        Of groups, or an intersection.

    Raises
    ------
    ValueError
        The audit has no such column, or the data no valence and arousal.
    """
    if data.coverage.empty:
        raise ValueError("the data have no valence and arousal, so nothing lies on the circumplex")
    rows = data.coverage[data.coverage["columns"] == column]
    if rows.empty:
        raise ValueError(f"no column {column!r}; there are {', '.join(dict.fromkeys(data.coverage['columns']))}")
    names = list(dict.fromkeys(rows["group"]))
    across = min(len(names), 4)
    down = -(-len(names) // across)
    figure, axes = plt.subplots(
        down, across, figsize=(2.5 * across + 0.9, 2.75 * down + 0.5), squeeze=False, layout="constrained"
    )
    norm, side = LogNorm(1, max(rows["n"].max(), 2)), 2 / CELLS
    reached = data.reach[data.reach["columns"] == column].set_index("group")["reached"]
    for ax, name in zip(axes.flat, names, strict=False):
        some = rows[rows["group"] == name]
        ax.add_patch(plt.Circle((0, 0), 1, facecolor="#f6f6f4", edgecolor=FAINT, linewidth=1, zorder=0))
        there, absent = some[some["n"] > 0], some[some["n"] == 0]
        for row in there.itertuples():
            ax.add_patch(plt.Rectangle((row.valence - side / 2, row.arousal - side / 2), side, side,
                                       facecolor=plt.cm.viridis_r(norm(row.n)), zorder=1))  # fmt: skip
        ax.scatter(absent["valence"], absent["arousal"], marker="x", color="#d55e00", s=18, linewidth=1.2, zorder=2)
        ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal", xticks=(), yticks=())
        ax.spines[:].set_visible(False)
        ax.set_title(f"{name}\n{count([there['n'].sum()])}, {reached[name]:.0%} reached", fontsize=9, color=INK)
    for ax in axes.flat[len(names) :]:
        ax.set_visible(False)
    axes[-1, 0].set_xlabel("valence →", fontsize=9)
    axes[-1, 0].set_ylabel("arousal →", fontsize=9)
    key = figure.colorbar(plt.cm.ScalarMappable(norm, "viridis_r"), ax=axes, shrink=0.6, aspect=18, pad=0.02)
    key.outline.set_visible(False)
    key.ax.yaxis.set_major_formatter("{x:,.0f}")
    key.set_label("faces", fontsize=9, color=INK)
    figure.suptitle(f"Labels by {column}; ×: others have faces there, the group none", x=0.01, ha="left", fontsize=11,
                    color=INK)  # fmt: skip
    return figure


def _tested(found: Audit, target: str, metric: str) -> pd.DataFrame:
    table = found.findings
    rows = table[(table["target"] == target) & (table["metric"] == metric)]
    if rows.empty:
        pairs = table[["metric", "target"]].drop_duplicates().to_numpy()
        raise ValueError(f"no test of {metric!r} of {target!r}; there are {', '.join(map(' of '.join, pairs))}")
    return rows


def _persons(found: Audit) -> str:
    return "persons" if "subject" in found.samples else "faces"


def _title(metric: str, target: str) -> str:
    return f"{metric[0].upper()}{metric[1:]} of {target}"


def _reading(metric: str, target: str) -> str:
    if metric != "signed error":
        return "served worse  ←  difference  →  served better"
    low, high = ("less pleasant", "more pleasant") if target == "valence" else ("calmer", "more excited")
    return f"read as {low} than the rest  ←  difference  →  read as {high}"
