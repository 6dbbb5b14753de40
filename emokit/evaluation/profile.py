"""How each annotator rates, next to the other humans: too high, too boldly, too noisily."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from emokit.data.tables import Table
from emokit.evaluation.agreement import average_agreement
from emokit.evaluation.intervals import Array, bootstrap, cluster_sums
from emokit.evaluation.ratings import read_ratings, widen

_OWN = ("bias", "scale", "noise")
_SCALES = ("difference", "signed", "signed")
_ROUNDING = 1e-12  # a variance below it, of numbers in [-1, 1], is a constant's


def annotator_profiles(
    ratings: Table,
    model: str | None = None,
    *,
    cluster: str | None = None,
    n_resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Bias, scale and noise of each annotator's valence and arousal, and the agreement that they leave.

    A rating is taken for scale × what the other humans see + bias + noise. Noise of two annotators
    has no covariance, so covariances tell scale from noise:

    - bias: mean difference from each other human, averaged over them;
    - scale: mean covariance with the other humans ÷ mean covariance among these: 1 where the
      annotator uses as much of the range as they do;
    - noise: standard deviation of what then is left, √(variance - scale² × covariance among the
      others), corrected for the number of items or clusters; 0 where less than nothing is left;
    - CCC (equation 4): the average over the other humans of `average_agreement`.

    Parameters
    ----------
    ratings, model, cluster, n_resamples, level, seed
        As in `average_agreement`.

    Returns
    -------
    DataFrame
        ``annotator``, ``target`` (valence, arousal), ``metric`` (bias, scale, noise, CCC),
        ``value``, ``low``, ``high`` and ``n``, the items shared with at least one other human.
        Scale and noise are NaN without two other humans whose ratings covary.

    Raises
    ------
    ValueError
        As `average_agreement`, or neither valence nor arousal is rated.
    """
    numbers = read_ratings(ratings).drop(columns="expression", errors="ignore")
    options = {"n_resamples": n_resamples, "level": level, "seed": seed}
    agreement = average_agreement(numbers, model, cluster=cluster, **options).query("metric == 'CCC'")
    agreement = agreement.set_index(["annotator", "target"])[["value", "low", "high"]]
    table = widen(numbers, cluster)
    human = np.array(table.annotators) != model
    rows = []
    for target, values in table.values.items():
        for k, name in enumerate(table.annotators):
            others = values[:, human & (np.arange(len(human)) != k)]
            shared = ~np.isnan(values[:, k]) & ~np.isnan(others).all(axis=1)
            found = _profile(values[shared, k], others[shared], table.clusters[shared], **options)
            figures = dict(zip(_OWN, found, strict=True)) | {"CCC": agreement.loc[(name, target)]}
            rows += [(name, target, metric, *figure, shared.sum()) for metric, figure in figures.items()]
    return pd.DataFrame(rows, columns=["annotator", "target", "metric", "value", "low", "high", "n"])


def _profile(own: Array, others: Array, clusters: Array, **options: float) -> Array:
    """Value, low and high of bias, scale and noise, (3, 3), from ratings (items,) and (items, others)."""
    if not len(own):
        return np.full((3, 3), np.nan)
    theirs = list(combinations(range(others.shape[1]), 2))
    first = np.column_stack([own, *[own] * others.shape[1], *(others[:, i] for i, _ in theirs)])
    second = np.column_stack([own, others, *(others[:, j] for _, j in theirs)])
    both = ~np.isnan(first + second)
    a, b = np.where(both, first, 0), np.where(both, second, 0)
    numbers = np.unique(clusters, return_inverse=True)[1]
    sums = cluster_sums(np.stack([both, a, b, a * b], axis=-1), numbers)
    with_others, among = slice(1, 1 + others.shape[1]), slice(1 + others.shape[1], None)
    bessel = len(sums) / max(len(sums) - 1, 1)

    def statistic(sums: Array) -> Array:
        n, a, b, product = np.moveaxis(sums, -1, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            difference, covariance = (a - b) / n, product / n - a / n * (b / n)
            shared = _mean(covariance[..., among])
            shared = np.where(shared > _ROUNDING, shared, np.nan)
            scale = _mean(covariance[..., with_others]) / shared
            left = bessel * (covariance[..., 0] - scale**2 * shared)
            left = np.where(np.abs(left) < _ROUNDING, 0, left)
            return np.stack([_mean(difference[..., with_others]), scale, left], axis=-1)

    found = np.stack(bootstrap(sums, statistic, _SCALES, len(sums), **options), axis=-1)
    # Cut off only now: resamples cut off at 0 would seem closer to each other than they are.
    found[2] = np.sqrt(np.maximum(found[2], 0))
    return found


def _mean(values: Array) -> Array:
    """Over the last axis, of what is known."""
    return np.nansum(values, axis=-1) / (~np.isnan(values)).sum(axis=-1)
