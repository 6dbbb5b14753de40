"""Coefficients of agreement among all annotators at once: Krippendorff's alpha, kappas, intraclass correlations."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from statsmodels.stats.inter_rater import cohens_kappa, fleiss_kappa

from emokit.data.tables import Table
from emokit.evaluation.intervals import Array, bootstrap, cluster_sums, interval, resamples
from emokit.evaluation.ratings import widen

ICC = ("ICC(2,1)", "ICC(3,1)", "ICC(2,k)", "ICC(3,k)")


def krippendorff_alpha(ratings: ArrayLike, measurement: str = "nominal") -> float:
    """Krippendorff's alpha: 1 less observed over expected disagreement (Krippendorff 2011).

    Parameters
    ----------
    ratings : array-like, shape (items, annotators)
        Names, codes or numbers; NaN or None where unrated. Items with a single rating do not count.
    measurement : {"nominal", "interval"}
        Ratings are different or not; or differ by the square of their distance.

    Returns
    -------
    float
        1 is perfect, 0 chance; NaN where all ratings are alike, or no item has two.

    Raises
    ------
    ValueError
        Another measurement, no table, or interval ratings that are no numbers.
    """
    if measurement not in _ALPHA:
        raise ValueError(f"measurement is 'nominal' or 'interval', got {measurement!r}")
    terms, alpha = _ALPHA[measurement]
    table = _table(ratings, object)
    values = _codes(table) if measurement == "nominal" else pd.DataFrame(table).astype(float).to_numpy()
    return float(alpha(terms(values).sum(axis=0))[0])


def intraclass_correlations(ratings: ArrayLike) -> pd.Series:
    """Intraclass correlations of a two-way table (Shrout & Fleiss 1979).

    Parameters
    ----------
    ratings : array-like, shape (items, annotators)
        NaN where unrated: such items do not count.

    Returns
    -------
    Series
        ICC(2,1) and ICC(2,k), absolute agreement of one annotator and of the mean of all k, who
        stand for others; ICC(3,1) and ICC(3,k), consistency of just these, which forgives a bias.
        NaN with less than two complete items.

    Raises
    ------
    ValueError
        No table, or not of numbers.
    """
    values = _table(ratings, np.float64)
    return pd.Series(_icc(_icc_terms(values).sum(axis=0)), index=ICC)


def coefficients(
    ratings: Table, *, cluster: str | None = None, n_resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """All coefficients that suit each target, with bootstrap intervals.

    Parameters
    ----------
    ratings : DataFrame or path
        Long table; leave the model out to measure the humans.
    cluster, n_resamples, level, seed
        As in `emokit.evaluation.agreement.pairwise`.

    Returns
    -------
    DataFrame
        ``target``, ``coefficient``, ``value``, ``low``, ``high``, ``n`` (items that count).
        Expression has Krippendorff's nominal alpha, Fleiss' kappa and Cohen's kappa, averaged
        over pairs; valence and arousal Krippendorff's interval alpha and the ICCs. Alpha and
        Cohen's kappa take items with two ratings, the others only those that all have rated.

    Raises
    ------
    ValueError
        As `emokit.evaluation.agreement.pairwise`.
    """
    table = widen(ratings, cluster)
    options = {"n_resamples": n_resamples, "level": level, "seed": seed}
    parts = []
    for target, values in table.values.items():
        measurement = "nominal" if target == "expression" else "interval"
        several, whole = (~np.isnan(values)).sum(axis=1) > 1, ~np.isnan(values).any(axis=1)
        groups = [(("Krippendorff's alpha",), several, _by_sums(*_ALPHA[measurement]))]
        if target == "expression":
            groups += [(("Fleiss' kappa",), whole, _fleiss), (("Cohen's kappa",), several, _cohen)]
        else:
            groups += [(ICC, whole, _by_sums(_icc_terms, _icc))]
        for names, counted, estimate in groups:
            # Clusters in which nothing counts would be drawn for nothing.
            clusters = pd.factorize(table.clusters[counted])[0]
            if counted.any():
                value, low, high = estimate(values[counted], clusters, **options)
            else:
                value = low = high = np.nan
            about = {"target": target, "coefficient": names, "value": value, "low": low, "high": high}
            parts.append(pd.DataFrame(about | {"n": counted.sum()}, index=range(len(names))))
    return pd.concat(parts, ignore_index=True)


def _by_sums(terms: Callable[[Array], Array], statistic: Callable[[Array], Array]) -> Callable:
    def estimate(values: Array, clusters: NDArray[np.int64], **options) -> tuple[Array, Array, Array]:
        sums = cluster_sums(terms(values), clusters)
        scales = ["coefficient"] * len(statistic(sums[0]))
        return bootstrap(sums, statistic, scales, len(sums), **options)

    return estimate


def _nominal_terms(codes: Array) -> Array:
    """Agreeing pairs of an item, each over its ratings less one; and its ratings of every kind."""
    counts = (codes[:, :, None] == np.unique(codes[~np.isnan(codes)])).sum(axis=1).astype(np.float64)
    m = counts.sum(axis=1, keepdims=True)
    counts *= m > 1
    agree = (counts * (counts - 1)).sum(axis=1, keepdims=True) / np.maximum(m - 1, 1)
    return np.hstack([agree, counts])


def _nominal_alpha(sums: Array) -> Array:
    agree, kinds = sums[..., :1], sums[..., 1:]
    n = kinds.sum(axis=-1, keepdims=True)
    return _one_less((n - agree) * (n - 1), n**2 - (kinds**2).sum(axis=-1, keepdims=True))


def _interval_terms(values: Array) -> Array:
    """Squared distances of an item's ratings, over their number less one; number, sum and squares."""
    known = ~np.isnan(values)
    m, values = known.sum(axis=1), np.where(known, values, 0)
    counted, total, squares = m > 1, values.sum(axis=1), (values**2).sum(axis=1)
    distance = 2 * (m * squares - total**2) / np.maximum(m - 1, 1)
    return np.stack([distance, m, total, squares], axis=1) * counted[:, None]


def _interval_alpha(sums: Array) -> Array:
    distance, n, total, squares = (sums[..., k : k + 1] for k in range(4))
    return _one_less(distance * (n - 1), 2 * (n * squares - total**2))


def _one_less(above: Array, below: Array) -> Array:
    # What rounding leaves of ratings that are all alike is no disagreement.
    return 1 - np.divide(above, below, out=np.full_like(below, np.nan), where=below > 1e-12)


_ALPHA = {"nominal": (_nominal_terms, _nominal_alpha), "interval": (_interval_terms, _interval_alpha)}


def _icc_terms(values: Array) -> Array:
    """One, squares, squared sum over k, and the ratings themselves, of items that all have rated."""
    whole = ~np.isnan(values).any(axis=1)
    values, k = np.where(whole[:, None], values, 0), values.shape[1]
    return np.column_stack([whole, (values**2).sum(axis=1), values.sum(axis=1) ** 2 / k, values])


def _icc(sums: Array) -> Array:
    n, squares, rows, columns = sums[..., 0], sums[..., 1], sums[..., 2], sums[..., 3:]
    k = columns.shape[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        everything = columns.sum(axis=-1) ** 2 / (n * k)
        annotators = (columns**2).sum(axis=-1) / n - everything
        items = rows - everything
        # Mean squares between items and annotators, and of what is left.
        bms, jms = items / (n - 1), annotators / (k - 1)
        ems = (squares - everything - annotators - items) / ((n - 1) * (k - 1))
        return np.stack(
            [
                (bms - ems) / (bms + (k - 1) * ems + k * (jms - ems) / n),
                (bms - ems) / (bms + (k - 1) * ems),
                (bms - ems) / (bms + (jms - ems) / n),
                (bms - ems) / bms,
            ],
            axis=-1,
        )


def _fleiss(codes: Array, clusters: NDArray[np.int64], *, n_resamples: int, level: float, seed: int):
    counts = _nominal_terms(codes)[:, 1:]

    def kappa(times: Array) -> float:
        return fleiss_kappa(np.repeat(counts, times[clusters].astype(int), axis=0))

    return _resampled(kappa, clusters, n_resamples, level, seed)


def _cohen(codes: Array, clusters: NDArray[np.int64], *, n_resamples: int, level: float, seed: int):
    shape = (int(clusters.max()) + 1, int(np.nanmax(codes)) + 1)
    # Contingency tables of all pairs, one after the other in the columns: few cells are filled.
    sums = sparse.hstack([_contingency(a, b, clusters, *shape) for a, b in combinations(codes.T, 2)], format="csr")

    def kappa(times: Array) -> float:
        tables = (times @ sums).reshape(-1, shape[1], shape[1])
        kappas = [cohens_kappa(table, return_results=False) for table in tables if table.any()]
        known = [k for k in kappas if not np.isnan(k)]
        return np.mean(known) if known else np.nan

    return _resampled(kappa, clusters, n_resamples, level, seed)


def _contingency(a: Array, b: Array, clusters: NDArray[np.int64], n: int, kinds: int) -> sparse.coo_array:
    """How often two annotators say what, (n, kinds²), a row for every cluster."""
    both = ~np.isnan(a + b)
    cell = (kinds * a + b)[both].astype(np.int64)
    return sparse.coo_array((np.ones(len(cell)), (clusters[both], cell)), (n, kinds**2))


def _resampled(
    kappa: Callable[[Array], float], clusters: NDArray[np.int64], n_resamples: int, level: float, seed: int
) -> tuple[Array, Array, Array]:
    n = int(clusters.max()) + 1
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.array([kappa(np.ones(n))])
        drawn = np.array([[kappa(times)] for block in resamples(n, n_resamples, seed) for times in block])
    return value, *interval(value, drawn, ["coefficient"], n, level)


def _table(ratings: ArrayLike, kind: type) -> NDArray:
    table = np.asarray(ratings, dtype=kind)
    if table.ndim != 2:
        raise ValueError(f"ratings are a table, a row for each item and a column for each annotator, got {table.shape}")
    return table


def _codes(names: NDArray) -> Array:
    """Codes of the names (items, annotators); NaN where there is none."""
    codes = pd.factorize(names.ravel())[0].reshape(names.shape).astype(np.float64)
    return np.where(codes < 0, np.nan, codes)
