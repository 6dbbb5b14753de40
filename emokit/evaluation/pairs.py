"""Metrics of many pairs of annotators at once, and their averages, from sums over items."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emokit.evaluation.intervals import Array, bootstrap, cluster_sums
from emokit.evaluation.metrics import Moments

METRICS = {"expression": ("accuracy",)} | dict.fromkeys(("valence", "arousal"), ("RMSE", "SAGR", "PCC", "CCC"))

# Of each target, two annotators' ratings (items,) for every pair; NaN where unrated.
Sides = dict[str, list[tuple[Array, Array]]]

_ROUNDING = 1e-12  # a variance below it, of numbers in [-1, 1], is a constant's


def figures(
    sides: Sides,
    clusters: NDArray[np.int64],
    about: pd.DataFrame,
    chosen: NDArray[np.bool_],
    minus: NDArray[np.bool_] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Metrics averaged over pairs, less those over other pairs, with intervals.

    Parameters
    ----------
    sides : dict
    clusters : array, shape (items,)
        Which items are resampled together.
    about : DataFrame
        A row for every average.
    chosen, minus : bool array, shape (rows, pairs)
    **options
        Of `emokit.evaluation.intervals.bootstrap`.

    Returns
    -------
    DataFrame
        The rows of ``about`` for every target and metric, with ``value``, ``low``, ``high`` and
        ``n``, the items that one of the pairs rated.
    """
    used = (chosen if minus is None else chosen | minus).astype(np.float64)
    parts = []
    for target, pairs in sides.items():
        metrics = METRICS[target]
        sums = np.stack([cluster_sums(_terms(target, *pair), clusters) for pair in pairs], axis=1)

        def statistic(totals: Array, target: str = target) -> Array:
            mean = _average(target, totals, chosen)
            return mean if minus is None else mean - _average(target, totals, minus)

        scales = metrics if minus is None else ["difference"] * len(metrics)
        informative = (sums[..., 0] @ used.T > 0).sum(axis=0)
        value, low, high = bootstrap(sums, statistic, scales, informative, **options)
        shared = ~np.isnan(np.stack([a + b for a, b in pairs], axis=1))
        n = (shared @ used.T > 0).sum(axis=0)
        part = about.loc[about.index.repeat(len(metrics))].assign(target=target, metric=metrics * len(about))
        parts.append(part.assign(value=value.ravel(), low=low.ravel(), high=high.ravel(), n=n.repeat(len(metrics))))
    return pd.concat(parts, ignore_index=True)


def averages(sides: Sides, chosen: NDArray[np.bool_]) -> Array:
    """The values of `figures` alone."""
    values = []
    for target, pairs in sides.items():
        sums = np.stack([_terms(target, *pair).sum(axis=0) for pair in pairs])
        values.append(_average(target, sums, chosen).ravel())
    return np.concatenate(values)


def _terms(target: str, a: Array, b: Array) -> Array:
    """What all metrics of two annotators follow from by summing, (items, k), the count first."""
    both = ~np.isnan(a + b)
    a, b = np.where(both, a, 0), np.where(both, b, 0)
    if target == "expression":
        return np.stack([both, both & (a == b)], axis=1).astype(np.float64)
    return np.stack([both, a, b, a * a, b * b, (a - b) ** 2, both & (np.sign(a) == np.sign(b))], axis=1)


def _metrics(target: str, sums: Array) -> Array:
    """Metrics (..., m) from sums (..., k)."""
    with np.errstate(invalid="ignore"):
        means = sums[..., 1:] / sums[..., :1]
    if target == "expression":
        return means
    a, b, aa, bb, error, same = np.moveaxis(means, -1, 0)
    var_a, var_b = (np.where(var < _ROUNDING, 0, var) for var in (aa - a * a, bb - b * b))
    covariance = ((aa + bb - error) / 2 - a * b) * ((var_a > 0) & (var_b > 0))
    moments = Moments(a, b, var_a, var_b, covariance)
    return np.stack([np.sqrt(error), same, moments.pcc, moments.ccc], axis=-1)


def _average(target: str, sums: Array, chosen: NDArray[np.bool_]) -> Array:
    """Metrics (..., rows, m) averaged over the ``chosen`` pairs, from sums (..., pairs, k)."""
    metrics = _metrics(target, sums)
    known, weight = ~np.isnan(metrics), chosen.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return (weight @ np.where(known, metrics, 0)) / (weight @ known)
