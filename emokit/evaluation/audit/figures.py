"""Figures of every group, their differences to the rest and to the best group, with intervals.

fairlearn's own bootstrap draws faces one by one, which frames of one person do not allow; here
persons are drawn, with all their faces in whatever groups, from sums
(`emokit.evaluation.intervals`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from emokit.evaluation.audit.faces import METRICS, Array, Faces, blocks, kish
from emokit.evaluation.audit.shares import SHARES, lacking
from emokit.evaluation.intervals import SCALES, interval, resamples
from emokit.evaluation.metrics import Moments

# On these scales of `emokit.evaluation.intervals` each is nearly normal.
SCALE = {
    "accuracy": "accuracy", "macro F1": "accuracy", "RMSE": "RMSE", "SAGR": "SAGR", "PCC": "PCC", "CCC": "CCC",
    "ICC": "CCC", "signed error": "difference",
}  # fmt: skip

RANGE = {"CCC": 2.0, "signed error": 2.0, "accuracy": 1.0}
SIDES = (("n", "effective"), ("n_rest", "effective_rest"))  # faces and persons of a group, and of its rest
_ROUNDING = 1e-12  # a variance below it, of numbers in [-1, 1], is a constant's
_EDGE = 1e-9  # figures keep this distance from the ends of a scale that is infinite there


class Drawn:
    """Figures of each group and of its rest, and of resamples of persons.

    ``step`` hears how many resamples more are done.

    Attributes
    ----------
    value, rest : array, shape (groups, m)
    many, many_rest : array, shape (resamples, groups, m)
    """

    def __init__(
        self, faces: Faces, n_resamples: int, seed: int, step: Callable[[int], object] = lambda n: None
    ) -> None:
        clusters, n = blocks(faces.persons, faces.n_persons, seed)
        terms, figures = terms_and_figures(faces)
        sums = faces.sums(terms, clusters, n)
        flat, shape = sums.reshape(n, -1), sums.shape[1:]
        total = sums.sum(axis=0)
        self.value, self.rest = figures(total), figures(faces.rest(total))
        parts: list[tuple[Array, Array, Array]] = []
        for counts in resamples(n, n_resamples, seed):
            some = (counts @ flat).reshape(-1, *shape)
            parts.append(
                (figures(some), figures(faces.rest(some)), figures(np.add.reduceat(some, faces.starts, axis=1)))
            )
            step(len(counts))
        self.many, self.many_rest, whole = map(np.concatenate, zip(*parts, strict=True))
        self._whole = figures(np.add.reduceat(total, faces.starts))[faces.partition_of]
        self._spread = _spread(whole)[faces.partition_of]
        self.metrics = list(METRICS[faces.target])
        self.faces = faces
        counts = faces.counts
        self._is_share = np.isin(self.metrics, SHARES)
        self._sizes = [counts[[n, persons]].to_numpy(np.float64).T for n, persons in SIDES]
        self._lacks, self._lacks_rest = (
            self._lacking(value, _spread(many) ** 2, *sizes)
            for value, many, sizes in zip(
                (self.value, self.rest), (self.many, self.many_rest), self._sizes, strict=True
            )
        )

    def _lacking(self, value: Array, variance: Array, n: Array, persons: Array) -> Array:
        """What the bootstrap's ``variance`` (groups, m) of shares lacks; 0 for other metrics."""
        return np.where(self._is_share, lacking(value, variance, n[:, None], persons[:, None]), 0)

    @property
    def own(self) -> Array:
        """(groups,): persons in effect; less than two tell of no interval."""
        return _several(self.faces.counts["effective"])

    @property
    def fewer(self) -> Array:
        """(groups,): persons in the group or in its rest, whichever are fewer."""
        return _several(self.faces.counts[["effective", "effective_rest"]].min(axis=1))

    def intervals(self, level: float) -> tuple[Array, Array]:
        """Ends of the intervals (groups, m); NaN where no resample changes the figure, which is not to be sure of it."""
        ends = interval(self.value, self.many, [SCALE[name] for name in self.metrics], self.own, level)
        ends = _wider(self.value, ends, self._lacks, self.own, level)
        return tuple(np.where(self._is_share, np.clip(end, 0, 1), end) for end in ends)

    def differences(self, level: float) -> tuple[Array, Array, Array]:
        """Difference to the rest and the ends of its interval, each (groups, m); NaN as in `intervals`."""
        value = self.value - self.rest
        plain = ["difference"] * len(self.metrics)
        ends = interval(value, self.many - self.many_rest, plain, self.fewer, level)
        return value, *_wider(value, ends, self._lacks + self._lacks_rest, self.fewer, level)

    def best(self, min_size: float) -> NDArray[np.int64]:
        """Place (groups, m) of the best group of the same columns with ``min_size`` persons; -1 if there is none."""
        merits = np.stack([merit(*pair) for pair in zip(self.metrics, self.value.T, strict=True)], axis=1)
        merits = np.where((self.own >= min_size)[:, None] & np.isfinite(merits), merits, -np.inf)
        places = []
        for start, size in zip(self.faces.starts, self.faces.sizes, strict=True):
            part = merits[start : start + size]
            place = np.where(np.isfinite(part.max(axis=0)), start + part.argmax(axis=0), -1)
            places.append(np.tile(place, (size, 1)))
        return np.concatenate(places)

    def to_best(self, best: NDArray[np.int64], level: float) -> tuple[Array, Array, Array]:
        """Difference to the ``best`` group and the ends of its interval, each (groups, m)."""
        there, column = best >= 0, np.arange(len(self.metrics))
        value = np.where(there, self.value - self.value[best, column], np.nan)
        many = np.where(there, self.many - self.many[:, best, column], np.nan)
        fewer = np.minimum(self.own[:, None], self.own[best])
        lacks = self._lacks + self._lacks[best, column]
        ends = []
        for k in column:
            own, persons = value[:, [k]], fewer[:, k]
            end = interval(own, many[..., [k]], ["difference"], persons, level)
            ends.append(_wider(own, end, lacks[:, [k]], persons, level))
        low, high = (np.concatenate([pair[end] for pair in ends], axis=1) for end in (0, 1))
        return value, low, high

    def detectable(self, metric: str, alpha: float, power: float) -> Array:
        """True difference to the rest (groups,) found with this ``power``, if faces are like all; inf if none is.

        NaN where no resample changes the metric of all faces.
        """
        k = self.metrics.index(metric)
        whole = np.array([kish(np.bincount(self.faces.persons[p.codes >= 0])) for p in self.faces.partitions])
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = 0.0
            for n, persons in self._sizes:
                part = (self._spread**2) * (whole[self.faces.partition_of] / persons)[:, None]
                variance = variance + (part + self._lacking(self._whole, part, n, persons))[:, k]
            error = np.where(variance > _EDGE**2, np.sqrt(variance), np.nan)
            found = error * (stats.t.isf(alpha / 2, np.maximum(self.fewer - 1, 1e-9)) + stats.norm.ppf(power))
        within = np.where((found <= RANGE[metric]) | np.isnan(found), found, np.inf)
        return np.where(self.fewer > 1, within, np.inf)

    def p_values(self, metric: str) -> Array:
        """Student's t test (groups,) of the difference to the rest, by its error over resamples."""
        # A share is compared as it is: no scale makes its difference normal where one side has no errors.
        k, there = self.metrics.index(metric), np.asarray if metric in SHARES else scale(metric)
        difference = there(self.value[:, k]) - there(self.rest[:, k])
        clusters = np.maximum(self.fewer, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = _spread(there(self.many[..., k]) - there(self.many_rest[..., k])) ** 2
            error = np.sqrt(variance + self._lacks[:, k] + self._lacks_rest[:, k])
            statistic = ratio(difference, error * np.sqrt(clusters / (clusters - 1)))
            return 2 * stats.t.sf(np.abs(statistic), clusters - 1)


def merit(metric: str, value: Array) -> Array:
    """What is larger the better: errors are better the closer they are to 0."""
    return -np.abs(value) if metric in ("RMSE", "signed error") else value


def scale(metric: str) -> Callable[[Array], Array]:
    """The scale of a tested metric, finite everywhere."""
    there = SCALES[SCALE[metric]][0]
    ends = {"accuracy": (0, 1), "CCC": (_EDGE - 1, 1 - _EDGE)}.get(metric, (-np.inf, np.inf))
    return lambda x: there(np.clip(x, *ends))


def ratio(difference: Array, error: Array) -> Array:
    """Difference over error; 0 where figures are the same, however small the error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.abs(difference) > _EDGE, difference / error, np.where(np.isnan(difference), np.nan, 0))


def terms_and_figures(faces: Faces) -> tuple[list[Array], Callable[[Array], Array]]:
    """Terms (n,) to be summed, and the metrics (..., m) of sums (..., k)."""
    one = np.ones(len(faces.true))
    if faces.target == "expression":
        true, pred = faces.numbers
        classes = range(max(true.max(), pred.max()) + 1)
        hits = [(true == k) & (pred == k) for k in classes]
        shown = [(true == k).astype(float) + (pred == k) for k in classes]
        return [one, true == pred, *hits, *shown], _expression_figures
    t, p = faces.true, faces.pred
    return [one, t, p, t * t, p * p, (t - p) ** 2, np.sign(t) == np.sign(p)], _affect_figures


def _expression_figures(sums: Array) -> Array:
    classes = (sums.shape[-1] - 2) // 2
    hits, shown = sums[..., 2 : 2 + classes], sums[..., 2 + classes :]
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = np.where(shown > 0, 2 * hits / shown, 0).sum(axis=-1) / (shown > 0).sum(axis=-1)
        return np.stack((sums[..., 1] / sums[..., 0], f1), axis=-1)


def _affect_figures(sums: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        t, p, t2, p2, error2, agree = np.moveaxis(sums[..., 1:] / sums[..., :1], -1, 0)
        var_t, var_p = (np.where(var > _ROUNDING, var, 0 * var) for var in (t2 - t * t, p2 - p * p))
        m = Moments(t, p, var_t, var_p, (t2 + p2 - error2) / 2 - t * p)
        return np.stack((np.sqrt(error2), agree, m.pcc, m.ccc, m.icc, p - t), axis=-1)


def _spread(many: Array) -> Array:
    """Standard deviation over resamples, of those that are finite; NaN where fewer than two are."""
    finite = np.isfinite(many)
    n = finite.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.where(finite, many - np.where(finite, many, 0).sum(axis=0) / n, 0)
        return np.sqrt((off**2).sum(axis=0) / np.where(n > 1, n - 1, np.nan))


def _wider(value: Array, ends: tuple[Array, Array], lacks: Array, persons: Array, level: float) -> tuple[Array, Array]:
    """Intervals (groups, m) that also hold the variance that the bootstrap ``lacks``; NaN where then nothing moves."""
    persons = np.maximum(persons, 1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = stats.t.isf((1 - level) / 2, persons - 1) * np.sqrt(persons / (persons - 1))
        more = np.where(lacks > 0, reach**2 * lacks, 0)
        low, high = (value + side * np.sqrt((end - value) ** 2 + more) for side, end in zip((-1, 1), ends, strict=True))
        moves = high - low > _EDGE
    return np.where(moves, low, np.nan), np.where(moves, high, np.nan)


def _several(persons: pd.Series) -> Array:
    return persons.where(persons >= 2, 1).to_numpy()
