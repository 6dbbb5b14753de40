"""How far annotators agree with each other, and the model with them (the protocol of the paper's Table 4).

All functions take a long table of ratings (`emokit.evaluation.ratings`) and use what annotators
rated in common: nobody has to rate everything. All metrics are symmetric, so that neither of two
annotators is the truth. Intervals tell how far other items, rated by the same annotators, would
move a figure; they say nothing about other annotators.
"""

from __future__ import annotations

import warnings
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emokit.data.tables import Table
from emokit.evaluation.intervals import Array
from emokit.evaluation.pairs import METRICS, Sides, averages, figures
from emokit.evaluation.ratings import Wide, read_ratings, widen

HUMANS = "mean of humans"


def pairwise(
    ratings: Table, *, cluster: str | None = None, n_resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """Agreement of every two annotators.

    Parameters
    ----------
    ratings : DataFrame or path
        Long table.
    cluster : str, optional
        Column of what is resampled whole: "subject" by default where there is one (frames of
        one person are not independent), else "item".
    n_resamples : int
        Of the bootstrap.
    level : float
        Of the intervals.
    seed : int

    Returns
    -------
    DataFrame
        ``first``, ``second``, ``target``, ``metric`` (accuracy; RMSE, SAGR, PCC, CCC: equations 1
        to 4), ``value``, ``low``, ``high`` and ``n``, the items that both rated. Two who share
        none have n = 0 and NaN. PCC is NaN where one of them says always the same.

    Raises
    ------
    ValueError
        See `emokit.evaluation.ratings.read_ratings`; there are less than two annotators; the
        cluster of an item is missing or not unique; ``n_resamples`` is below 2, or ``level`` does
        not lie between 0 and 1.
    """
    table = widen(ratings, cluster)
    pairs = list(combinations(table.annotators, 2))
    about = pd.DataFrame(pairs, columns=["first", "second"])
    options = {"n_resamples": n_resamples, "level": level, "seed": seed}
    return figures(_sides(table, pairs), table.clusters, about, np.eye(len(pairs), dtype=bool), **options)


def average_agreement(
    ratings: Table,
    model: str | None = None,
    *,
    cluster: str | None = None,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Each annotator's average agreement with the humans: Table 4's protocol.

    Parameters
    ----------
    ratings : DataFrame or path
        Long table.
    model : str, optional
        The annotator that is none of the humans (`add_model` adds it). Its average is over all
        humans, a human's over the other humans.
    cluster, n_resamples, level, seed
        As in `pairwise`.

    Returns
    -------
    DataFrame
        ``annotator``, ``target``, ``metric``, ``value``, ``low``, ``high`` and ``n``, the items
        shared with at least one human. ``annotator`` is a name, or "mean of humans": the mean
        over all pairs of them. Pairs without a value are left out of averages; a warning names
        those who share no item.

    Raises
    ------
    ValueError
        As `pairwise`, or there is no such model.
    """
    table = widen(ratings, cluster)
    humans = _humans(table, model)
    pairs = list(combinations(table.annotators, 2))
    rows = {HUMANS: _among(pairs, humans)} | {name: _with(pairs, name, humans) for name in table.annotators}
    about, sides = pd.DataFrame({"annotator": list(rows)}), _sides(table, pairs)
    _warn_of_strangers(sides, pairs)
    options = {"n_resamples": n_resamples, "level": level, "seed": seed}
    return figures(sides, table.clusters, about, np.array(list(rows.values())), **options)


def leave_one_out(
    ratings: Table,
    model: str | None = None,
    *,
    cluster: str | None = None,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Each annotator's agreement with the consensus of the other humans.

    The consensus is the mean of their valence and arousal, and their most frequent expression;
    where two are equally frequent, there is none.

    Parameters
    ----------
    ratings, model, cluster, n_resamples, level, seed
        As in `average_agreement`.

    Returns
    -------
    DataFrame
        ``annotator``, ``target``, ``metric``, ``value``, ``low``, ``high`` and ``n``, the items
        that the annotator and at least one other human rated.

    Raises
    ------
    ValueError
        As `average_agreement`.
    """
    table = widen(ratings, cluster)
    humans = np.isin(table.annotators, _humans(table, model))
    sides: Sides = {}
    for target, values in table.values.items():
        consensus = _majority if target == "expression" else _mean
        others = [humans & (np.arange(len(humans)) != k) for k in range(len(humans))]
        sides[target] = [(values[:, k], consensus(values[:, chosen])) for k, chosen in enumerate(others)]
    about = pd.DataFrame({"annotator": table.annotators})
    options = {"n_resamples": n_resamples, "level": level, "seed": seed}
    return figures(sides, table.clusters, about, np.eye(len(humans), dtype=bool), **options)


def against_humans(
    ratings: Table,
    model: str = "model",
    *,
    cluster: str | None = None,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """The model's average agreement with the humans less theirs with each other.

    Parameters
    ----------
    ratings, model, cluster, n_resamples, level, seed
        As in `average_agreement`.

    Returns
    -------
    DataFrame
        ``against`` ("mean of humans", and each of them), ``target``, ``metric``, ``model`` and
        ``human`` (average agreements), ``difference`` (model less human) with ``low`` and
        ``high``, from the same resamples of both, ``n``, and ``verdict``: the model is "above" or
        "below" where the interval leaves out 0, else "within"; "unknown" without an interval.
        Above is closer agreement, for the RMSE a smaller one.

    Raises
    ------
    ValueError
        As `average_agreement`, or there are less than two humans.
    """
    table = widen(ratings, cluster)
    humans = _humans(table, model)
    if len(humans) < 2:
        raise ValueError(f"agreement of humans needs two of them, the ratings have {', '.join(humans)}")
    pairs = list(combinations(table.annotators, 2))
    rows = {HUMANS: _among(pairs, humans)} | {name: _with(pairs, name, humans) for name in humans}
    about, sides = pd.DataFrame({"against": list(rows)}), _sides(table, pairs)
    _warn_of_strangers(sides, pairs)
    theirs = np.array(list(rows.values()))
    own = np.broadcast_to(_with(pairs, model, humans), theirs.shape)
    options = {"n_resamples": n_resamples, "level": level, "seed": seed}
    result = figures(sides, table.clusters, about, own, theirs, **options).rename(columns={"value": "difference"})
    for place, (name, chosen) in enumerate({"model": own, "human": theirs}.items(), 3):
        result.insert(place, name, averages(sides, chosen))
    worse = result["metric"] == "RMSE"
    low, high = result["low"].mask(worse, -result["high"]), result["high"].mask(worse, -result["low"])
    result["verdict"] = np.select([low > 0, high < 0, low.notna()], ["above", "below", "within"], "unknown")
    return result


def statement(
    ratings: Table,
    model: str = "model",
    target: str = "valence",
    metric: str = "CCC",
    *,
    cluster: str | None = None,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> str:
    """One sentence: whether the model is within, above or below human agreement.

    "Within" says that the interval of the difference holds 0: the data cannot tell the model
    from the humans, which few items never can.

    Parameters
    ----------
    ratings, model, cluster, n_resamples, level, seed
        As in `average_agreement`.
    target : {"expression", "valence", "arousal"}
    metric : {"accuracy", "RMSE", "SAGR", "PCC", "CCC"}

    Raises
    ------
    ValueError
        As `against_humans`; the ratings lack the target, or it has no such metric.
    """
    if metric not in METRICS.get(target, ()):
        known = "; ".join(f"{name}: {', '.join(metrics)}" for name, metrics in METRICS.items())
        raise ValueError(f"no {metric!r} of {target!r}; there are {known}")
    table = read_ratings(ratings)
    if target not in table:
        raise ValueError(f"the ratings have no column {target!r}")
    table = table[table[target].notna()].drop(columns=[name for name in METRICS if name != target], errors="ignore")
    result = against_humans(table, model, cluster=cluster, n_resamples=n_resamples, level=level, seed=seed)
    result = result[result["metric"] == metric].set_index("against")
    mean, each = result.loc[HUMANS], result.drop(HUMANS)["verdict"].value_counts()
    about = f"{target.capitalize()}, {metric}" + " (smaller is closer)" * (metric == "RMSE")
    if np.isnan(mean["difference"]):
        return f"{about}: nothing can be told, because ratings do not vary, or too few items are rated by two."
    verdict = {
        "above": "the model is above human agreement",
        "below": "the model is below human agreement",
        "within": "the model is within human agreement",
        "unknown": "which is too little to tell",
    }[mean["verdict"]]
    counts = ", ".join(f"{kind} {each[kind]}" for kind in ("above", "within", "below", "unknown") if kind in each)
    interval = f"{100 * level:g} % interval {mean['low']:.2f} to {mean['high']:.2f}"
    if np.isnan(mean["low"]):
        interval = "no interval"
    return (
        f"{about}: the model's average agreement with the {len(result) - 1} humans is {mean['model']:.2f}, "
        f"theirs with each other {mean['human']:.2f}; the difference is {mean['difference']:.2f} "
        f"({interval}): {verdict} (humans one by one: {counts})."
    )


def _humans(table: Wide, model: str | None) -> list[str]:
    if model is not None and model not in table.annotators:
        raise ValueError(f"there is no annotator {model!r}; there are {', '.join(table.annotators)}")
    return [name for name in table.annotators if name != model]


def _sides(table: Wide, pairs: list[tuple[str, str]]) -> Sides:
    where = {name: k for k, name in enumerate(table.annotators)}
    return {t: [(v[:, where[a]], v[:, where[b]]) for a, b in pairs] for t, v in table.values.items()}


def _among(pairs: list[tuple[str, str]], humans: list[str]) -> NDArray[np.bool_]:
    """Which pairs are of humans."""
    return np.array([set(pair) <= set(humans) for pair in pairs])


def _with(pairs: list[tuple[str, str]], name: str, humans: list[str]) -> NDArray[np.bool_]:
    """Which pairs are of ``name`` and a human."""
    return np.array([name in pair and set(pair) <= {name, *humans} for pair in pairs])


def _warn_of_strangers(sides: Sides, pairs: list[tuple[str, str]]) -> None:
    for target, both in sides.items():
        apart = [" and ".join(p) for p, (a, b) in zip(pairs, both, strict=True) if not (~np.isnan(a + b)).any()]
        if apart:
            warnings.warn(
                f"no item's {target} is rated by both of {'; '.join(apart)}: left out of averages", stacklevel=3
            )


def _mean(values: Array) -> Array:
    known = ~np.isnan(values)
    n = known.sum(axis=1)
    return np.where(n, np.where(known, values, 0).sum(axis=1) / np.maximum(n, 1), np.nan)


def _majority(codes: Array) -> Array:
    kinds = np.unique(codes[~np.isnan(codes)])
    counts = (codes[:, :, None] == kinds).sum(axis=1)
    if not len(kinds):
        return np.full(len(codes), np.nan)
    only = (counts == counts.max(axis=1, keepdims=True)).sum(axis=1) == 1
    return np.where(only, kinds[counts.argmax(axis=1)], np.nan)
