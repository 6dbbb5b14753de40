"""Metrics of the paper and its field, each a plain function; equation numbers are the paper's.

All take labels, then predictions, both (n,), and optionally weights (n,), none negative. A weight
of 2 counts a face twice; a face of weight 0 is left out. Empty input, lengths that differ, and
labels, predictions or weights that are missing or not finite raise ValueError. Numbers may have
any range. Variances divide by n, as in the paper and in Lin's CCC.

A constant has no correlation: PCC is NaN where labels or predictions are constant. ICC, CCC and
its decomposition are NaN only where their denominator is 0: both are constant and, for the CCC, equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score, root_mean_squared_error


class Moments(NamedTuple):
    """Means, variances and covariance of labels and predictions: scalars, or arrays of many samples at once."""

    mean_true: NDArray[np.float64]
    mean_pred: NDArray[np.float64]
    var_true: NDArray[np.float64]
    var_pred: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @property
    def pcc(self) -> NDArray[np.float64]:
        # Rounding can lead beyond 1.
        return np.clip(_ratio(self.covariance, np.sqrt(self.var_true) * np.sqrt(self.var_pred)), -1, 1)

    @property
    def ccc(self) -> NDArray[np.float64]:
        return _ratio(2 * self.covariance, self.spread)

    @property
    def icc(self) -> NDArray[np.float64]:
        return _ratio(2 * self.covariance, self.var_true + self.var_pred)

    @property
    def spread(self) -> NDArray[np.float64]:
        """The denominator of the CCC: the mean squared error that uncorrelated predictions would have."""
        return self.var_true + self.var_pred + (self.mean_true - self.mean_pred) ** 2


def rmse(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Root mean squared error, 0 at best (equation 1)."""
    true, pred, weight = _numbers(y_true, y_pred, sample_weight)
    return float(root_mean_squared_error(true, pred, sample_weight=weight))


def sagr(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Share of faces whose prediction has the sign of the label, in [0, 1] (equation 2).

    Zero has a sign of its own: it agrees with zero only. Labels of exactly 0, common in AFEW-VA,
    therefore count against any network.
    """
    true, pred, weight = _numbers(y_true, y_pred, sample_weight)
    return float(np.average(np.sign(true) == np.sign(pred), weights=weight))


def pcc(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Pearson correlation coefficient, in [-1, 1] (equation 3)."""
    return float(_moments(y_true, y_pred, sample_weight).pcc)


def ccc(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Concordance correlation coefficient, in [-1, 1] (equation 4)."""
    return float(_moments(y_true, y_pred, sample_weight).ccc)


def icc(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Intraclass correlation ICC(3,1) of labels and predictions as two raters, in [-1, 1].

    Shrout and Fleiss's consistency of single ratings: unlike the CCC, it forgives a constant shift.
    """
    return float(_moments(y_true, y_pred, sample_weight).icc)


class CCCDecomposition(NamedTuple):
    """What `ccc_decomposition` returns."""

    ccc: float
    pcc: float
    bias_correction: float
    scale_shift: float
    location_shift: float
    correlation: float
    scale: float
    location: float


def ccc_decomposition(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> CCCDecomposition:
    """Why the CCC is below 1, and below the PCC.

    With standard deviations σ, means μ, and D = σ_t² + σ_p² + (μ_p - μ_t)²::

        1 - CCC = 2 σ_t σ_p (1 - PCC) / D + (σ_p - σ_t)² / D + (μ_p - μ_t)² / D

    Returns
    -------
    CCCDecomposition
        ``ccc`` = ``pcc`` × ``bias_correction``, Lin's C_b = 2 / (v + 1/v + u²), in [0, 1];
        ``scale_shift`` v = σ_p / σ_t, above 1 where predictions spread more than the labels;
        ``location_shift`` u = (μ_p - μ_t) / √(σ_t σ_p), above 0 where predictions are too high;
        ``correlation``, ``scale`` and ``location``, the three terms above, which add up to
        1 - CCC. Where labels or predictions are constant, the terms still are defined, and PCC
        and the shifts whose denominator is 0 are NaN.
    """
    m = _moments(y_true, y_pred, sample_weight)
    sd_true, sd_pred = np.sqrt(m.var_true), np.sqrt(m.var_pred)
    shift = m.mean_pred - m.mean_true
    values = (
        m.ccc,
        m.pcc,
        _ratio(2 * sd_true * sd_pred, m.spread),
        _ratio(sd_pred, sd_true),
        _ratio(shift, np.sqrt(sd_true * sd_pred)),
        _ratio(2 * (sd_true * sd_pred - m.covariance), m.spread),
        _ratio((sd_pred - sd_true) ** 2, m.spread),
        _ratio(shift**2, m.spread),
    )
    return CCCDecomposition(*map(float, values))


def accuracy(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Share of faces whose expression is predicted, in [0, 1]."""
    true, pred, weight = _names(y_true, y_pred, sample_weight)
    return float(accuracy_score(true, pred, sample_weight=weight))


def macro_f1(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Mean F1 score, in [0, 1], of all expressions that labels or predictions hold, each counted alike."""
    true, pred, weight = _names(y_true, y_pred, sample_weight)
    return float(f1_score(true, pred, average="macro", sample_weight=weight))


def per_class_accuracy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    labels: Sequence | None = None,
) -> pd.Series:
    """Share of each expression's faces whose expression is predicted (its recall), in [0, 1].

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n,)
        Names or codes.
    sample_weight : array-like, shape (n,), optional
    labels : sequence, optional
        All expressions, in the order wanted; by default those that occur, sorted.

    Returns
    -------
    Series
        Indexed by expression; NaN for one without a labelled face.
    """
    true, pred, weight = _names(y_true, y_pred, sample_weight, labels)
    labels = np.union1d(true, pred) if labels is None else labels
    recall = recall_score(true, pred, labels=labels, average=None, sample_weight=weight, zero_division=np.nan)
    return pd.Series(recall, index=pd.Index(labels, name="expression"), name="accuracy")


def confusion(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    labels: Sequence | None = None,
    normalize: str | None = None,
) -> pd.DataFrame:
    """Confusion matrix: labels in rows, predictions in columns.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n,)
        Names or codes.
    sample_weight : array-like, shape (n,), optional
    labels : sequence, optional
        All expressions, in the order wanted; by default those that occur, sorted.
    normalize : {"true", "pred", "all"}, optional
        Shares of rows, of columns or of all faces instead of counts. An empty row or column is 0.
    """
    true, pred, weight = _names(y_true, y_pred, sample_weight, labels)
    labels = np.union1d(true, pred) if labels is None else labels
    counts = confusion_matrix(true, pred, labels=labels, sample_weight=weight, normalize=normalize)
    return pd.DataFrame(counts, pd.Index(labels, name="true"), pd.Index(labels, name="predicted"))


def _moments(y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None) -> Moments:
    true, pred, weight = _numbers(y_true, y_pred, sample_weight)
    # From the first value on, a constant's deviations are exactly 0.
    first_true, first_pred = true[0], pred[0]
    true, pred = true - first_true, pred - first_pred
    mean_true, mean_pred = (np.average(x, weights=weight) for x in (true, pred))
    t, p = true - mean_true, pred - mean_pred
    var_true, var_pred, covariance = (np.average(x, weights=weight) for x in (t * t, p * p, t * p))
    return Moments(first_true + mean_true, first_pred + mean_pred, var_true, var_pred, covariance)


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """NaN where ``below`` is 0."""
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=np.asarray(below) > 0)


def _numbers(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]:
    true, pred = (np.asarray(y, dtype=np.float64) for y in (y_true, y_pred))
    return _checked(true, pred, sample_weight, *(~np.isfinite(y) for y in (true, pred)))


def _names(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None, labels: Sequence | None = None
) -> tuple[NDArray, NDArray, NDArray[np.float64] | None]:
    true, pred = (np.asarray(y) for y in (y_true, y_pred))
    true, pred, weight = _checked(true, pred, sample_weight, *(np.asarray(pd.isna(y)) for y in (true, pred)))
    if labels is not None:
        unknown = sorted({*true, *pred} - set(labels), key=str)
        if unknown:
            raise ValueError(f"{str(unknown[0])!r} is not among labels; name every expression that occurs")
    return true, pred, weight


def _checked(
    true: NDArray, pred: NDArray, sample_weight: ArrayLike | None, no_true: NDArray, no_pred: NDArray
) -> tuple[NDArray, NDArray, NDArray[np.float64] | None]:
    """Both without the faces of weight 0; ``no_true`` and ``no_pred`` are where a value is missing."""
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    shapes = {"y_true": true.shape, "y_pred": pred.shape} | ({} if weight is None else {"sample_weight": weight.shape})
    if true.ndim != 1 or len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"labels, predictions and weights are one number or name per face, equally many; got {found}")
    if not len(true):
        raise ValueError("there is no face to measure")
    for name, missing in (("y_true", no_true), ("y_pred", no_pred)):
        if missing.any():
            raise ValueError(
                f"{name} is missing or not finite for {missing.sum()} of {len(true)} faces, "
                f"first at position {missing.argmax()}; leave such faces out, and say so"
            )
    if weight is None:
        return true, pred, None
    if not np.isfinite(weight).all() or (weight < 0).any() or not weight.any():
        raise ValueError("weights are finite and not negative, and one at least is above 0")
    return true[weight > 0], pred[weight > 0], weight[weight > 0]
