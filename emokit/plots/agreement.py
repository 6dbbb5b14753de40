"""Annotators beside each other, and the model as one of them."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emokit.plots.circumplex import FAINT, INK
from emokit.plots.parts import count, headline

_TARGETS = {"valence": "#0072b2", "arousal": "#d55e00"}
# What each panel of a profile shows, and its value for an annotator like the others.
_PANELS = {
    "bias": ("bias\nabove the others", 0),
    "scale": ("scale\n÷ that of the others", 1),
    "noise": ("noise\nstandard deviation", None),
    "CCC": ("agreement\nmean CCC with the others", None),
}


def agreement_matrix(
    pairs: pd.DataFrame, target: str = "valence", metric: str = "CCC", model: str | None = None, ax: Axes | None = None
) -> Axes:
    """Agreement of every two annotators, darker where it is closer, with its interval.

    Parameters
    ----------
    pairs : DataFrame
        From `emokit.evaluation.pairwise`.
    target : {"valence", "arousal", "expression"}
    metric : {"CCC", "PCC", "SAGR", "RMSE", "accuracy"}
    model : str, optional
        The annotator who comes last, in bold.
    ax : Axes, optional

    Raises
    ------
    ValueError
        The table has no such target, metric or annotator.
    """
    rows = pairs[(pairs["target"] == target) & (pairs["metric"] == metric)]
    if rows.empty:
        known = " and ".join(map(" of ".join, pairs[["metric", "target"]].drop_duplicates().to_numpy())) or "nothing"
        raise ValueError(f"the table has no {metric!r} of {target!r}; it has {known}")
    names = _last(list(dict.fromkeys([*rows["first"], *rows["second"]])), model)
    place = {name: k for k, name in enumerate(names)}
    values = pd.DataFrame(np.nan, names, names)
    texts = pd.DataFrame("", names, names)
    absent = {}
    for row in rows.itertuples():
        later, earlier = sorted((row.first, row.second), key=place.get, reverse=True)
        values.loc[later, earlier] = row.value
        if np.isnan(row.value):
            absent[place[earlier], place[later]] = "undefined" if row.n else "never\noverlap"
            continue
        interval = "" if np.isnan(row.low) else f"\n{row.low:.2f} to {row.high:.2f}"
        texts.loc[later, earlier] = (f"{row.value:.2f}" + interval).replace("-", "−")
    values, texts = values.iloc[1:, :-1], texts.iloc[1:, :-1]
    size = len(names) - 1
    ax = ax or plt.subplots(figsize=(max(4.5, 2.4 + 0.95 * size), 1.3 + 0.62 * size), layout="constrained")[1]
    smaller = metric == "RMSE"
    low, high = (0, values.max(axis=None)) if smaller else (min(0, values.min(axis=None)), 1)
    sns.heatmap(
        values, annot=texts, fmt="", annot_kws={"fontsize": 9}, vmin=low, vmax=high,
        cmap="Blues_r" if smaller else "Blues", cbar=False, linewidths=1, ax=ax,
    )  # fmt: skip
    for (x, y), why in absent.items():
        ax.add_patch(
            plt.Rectangle((x, y - 1), 1, 1, facecolor="#f6f6f4", edgecolor="#d8d8d8", hatch="///", linewidth=0)
        )
        ax.annotate(why, (x + 0.5, y - 0.5), ha="center", va="center", fontsize=9, color=INK,
                    bbox={"facecolor": "#f6f6f4", "edgecolor": "none", "pad": 1})  # fmt: skip
    ax.tick_params(length=0, rotation=0)
    _embolden(ax, model)
    n = rows.loc[rows["n"] > 0, "n"]
    title = f"{metric[0].upper()}{metric[1:]} of {target}, two by two" + " (smaller is closer)" * smaller
    headline(ax, title, f"on {count(n, 'item')} that both rated" if len(n) else "no two rated the same item")
    return ax


def annotator_profile(profiles: pd.DataFrame, model: str | None = None) -> Figure:
    """Bias, scale and noise of each annotator, and the agreement that they leave, with intervals.

    Parameters
    ----------
    profiles : DataFrame
        From `emokit.evaluation.annotator_profiles`.
    model : str, optional
        The annotator who comes last, in bold.

    Raises
    ------
    ValueError
        The table is empty, or has no such annotator.
    """
    if profiles.empty:
        raise ValueError("the table of profiles is empty")
    names = _last(list(dict.fromkeys(profiles["annotator"])), model)
    targets = [name for name in _TARGETS if name in set(profiles["target"])]
    figure, axes = plt.subplots(
        1, len(_PANELS), figsize=(10, 1.6 + 0.45 * len(names)), sharey=True, layout="constrained"
    )
    for ax, (metric, (title, usual)) in zip(axes, _PANELS.items(), strict=True):
        for target, shift in zip(targets, (-0.12, 0.12) if len(targets) > 1 else (0,), strict=True):
            rows = profiles[(profiles["metric"] == metric) & (profiles["target"] == target)]
            rows = rows.set_index("annotator").loc[names]
            place = np.arange(len(names)) + shift
            ax.hlines(place, rows["low"], rows["high"], color=_TARGETS[target], linewidth=1.5)
            ax.scatter(rows["value"], place, color=_TARGETS[target], s=25, label=target, zorder=3)
        _look_at_most(ax, profiles[profiles["metric"] == metric])
        if profiles.loc[profiles["metric"] == metric, "value"].isna().all():
            ax.annotate("needs two other humans", (0.5, 0.5), xycoords="axes fraction", ha="center", fontsize=9)
            ax.set_xticks(())
        elif usual is not None:
            ax.axvline(usual, color=FAINT, linewidth=1, zorder=0)
        ax.set_title(title, loc="left", fontsize=10, color=INK)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        ax.locator_params(axis="x", nbins=4)
        ax.grid(axis="x", color=FAINT, alpha=0.3)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    axes[2].set_xlim(left=0)
    _embolden(axes[0], model)
    if len(targets) > 1:
        axes[-1].legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    what = "" if len(targets) > 1 else f" {targets[0]}"
    title = f"How {len(names)} annotators rate{what}: {count(profiles['n'], 'item')} each"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK)
    return figure


def _look_at_most(ax: Axes, rows: pd.DataFrame) -> None:
    """An interval so wide that it says nothing runs out of the picture instead of squeezing the others."""
    reach = 3 * (rows["high"] - rows["low"]).median() / 2
    if np.isfinite(reach):
        low, high = ax.get_xlim()
        ax.set_xlim(max(low, rows["value"].min() - reach), min(high, rows["value"].max() + reach))


def _last(names: list[str], model: str | None) -> list[str]:
    """``names`` with the model at the end."""
    if model is not None and model not in names:
        raise ValueError(f"there is no annotator {model!r}; there are {', '.join(names)}")
    return [name for name in names if name != model] + ([] if model is None else [model])


def _embolden(ax: Axes, model: str | None) -> None:
    for label in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        if label.get_text() == model:
            label.set_weight("bold")
