"""Every metric of every group, its difference to the rest and to the best group, with intervals.

Values are fairlearn's `MetricFrame` over emokit's metrics. Its own bootstrap draws faces one by
one, which frames of one person do not allow; intervals here draw persons, with all their faces in
whatever groups, from sums (`emokit.evaluation.intervals`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from emokit.evaluation.audit.groups import Partition
from emokit.evaluation.intervals import SCALES, interval, resamples
from emokit.evaluation.metrics import Moments, accuracy, ccc, icc, macro_f1, pcc, rmse, sagr

Array = NDArray[np.float64]


def signed_error(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Mean of prediction less label: above 0 where faces are read as more pleasant, or more excited, than labelled."""
    return float(np.mean(np.subtract(y_pred, y_true)))


_REGRESSION = {"RMSE": rmse, "SAGR": sagr, "PCC": pcc, "CCC": ccc, "ICC": icc, "signed error": signed_error}
METRICS: dict[str, dict[str, Callable]] = {
    "expression": {"accuracy": accuracy, "macro F1": macro_f1},
    "valence": _REGRESSION,
    "arousal": _REGRESSION,
}
# On these scales of `emokit.evaluation.intervals` each is nearly normal.
SCALE = {
    "accuracy": "accuracy", "macro F1": "accuracy", "RMSE": "RMSE", "SAGR": "SAGR", "PCC": "PCC", "CCC": "CCC",
    "ICC": "CCC", "signed error": "difference",
}  # fmt: skip

SMALLER_IS_BETTER = ("RMSE", "signed error")  # in absolute value
RANGE = {"CCC": 2.0, "signed error": 2.0, "accuracy": 1.0}

BESIDE = " | "  # between a group and a stratum of it
MOST_CLUSTERS = 2000  # persons; more are bundled
_ROUNDING = 1e-12  # a variance below it, of numbers in [-1, 1], is a constant's
_EDGE = 1e-9  # figures keep this distance from the ends of a scale that is infinite there


class Faces:
    """Faces with a label of one target, and who they belong to.

    Parameters
    ----------
    target : {"expression", "valence", "arousal"}
    rows : array of int, shape (n,)
        Places in the table of samples.
    true, pred : array, shape (n,)
    persons : array of int, shape (n,)
        Number of the person of each face, of all persons of the audit.
    n_persons : int
    partitions : list of Partition
        With codes of these faces.
    """

    def __init__(
        self, target: str, rows: NDArray, true: NDArray, pred: NDArray, persons: NDArray, n_persons: int,
        partitions: list[Partition],
    ) -> None:  # fmt: skip
        self.target, self.rows, self.true, self.pred, self.partitions = target, rows, true, pred, partitions
        self.persons, self.n_persons = persons, n_persons
        self.sizes = [len(p.groups) for p in partitions]
        self.starts = np.cumsum([0, *self.sizes[:-1]])
        self.partition_of = np.repeat(np.arange(len(partitions)), self.sizes)

    def each(self) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
        """Columns, group and faces (n,) of every group."""
        for partition in self.partitions:
            for code, group in enumerate(partition.groups):
                yield partition.columns, group, partition.codes == code

    def only(self, places: NDArray) -> Faces:
        """Some of the faces."""
        parts = [p._replace(codes=p.codes[places]) for p in self.partitions]
        chosen = (x[places] for x in (self.rows, self.true, self.pred, self.persons))
        return Faces(self.target, *chosen, self.n_persons, parts)

    def crossed(self, strata: NDArray[np.int64], names: Sequence[str]) -> Faces:
        """The same faces with groups crossed with ``strata`` (n,): of each group, one part per name."""
        parts = [
            Partition(
                p.columns,
                [group + BESIDE + name for group in p.groups for name in names],
                np.where(p.codes < 0, -1, p.codes * len(names) + strata),
            )
            for p in self.partitions
        ]
        return Faces(self.target, self.rows, self.true, self.pred, self.persons, self.n_persons, parts)

    @cached_property
    def counts(self) -> pd.DataFrame:
        """For each group: n, subjects and their effective number, and the effective number of the rest."""
        rows = []
        for partition in self.partitions:
            for code, group in enumerate(partition.groups):
                own, others = partition.codes == code, (partition.codes != code) & (partition.codes >= 0)
                faces, rest = (np.bincount(self.persons[who]) for who in (own, others))
                rows.append((partition.columns, group, own.sum(), (faces > 0).sum(), _kish(faces), _kish(rest)))
        return pd.DataFrame(rows, columns=["columns", "group", "n", "subjects", "effective", "effective_rest"])

    def sums(self, terms: list[Array], clusters: NDArray[np.int64], n: int) -> Array:
        """Sums (clusters, groups, k) of k ``terms`` (n,)."""
        parts = []
        for partition, size in zip(self.partitions, self.sizes, strict=True):
            known = partition.codes >= 0
            place = clusters[known] * size + partition.codes[known]
            sums = [np.bincount(place, term[known], n * size).reshape(n, size) for term in terms]
            parts.append(np.stack(sums, axis=-1))
        return np.concatenate(parts, axis=1)

    def rest(self, sums: Array) -> Array:
        """Sums (..., groups, k) over the faces of the same columns that are in another group."""
        return np.add.reduceat(sums, self.starts, axis=-2)[..., self.partition_of, :] - sums

    @property
    def is_twin(self) -> NDArray[np.bool_]:
        """(groups,): the second group of columns with two, whose rest is the first."""
        sizes = np.array(self.sizes)[self.partition_of]
        return (sizes == 2) & (np.arange(len(sizes)) > self.starts[self.partition_of])

    def values(self) -> Array:
        """Metrics (groups, m); NaN for groups without a face, of which there are none to measure."""
        # fairlearn copies faces one by one for every metric: all metrics at once, and numbers for names, are faster.
        metrics, (true, pred) = METRICS[self.target].values(), self.numbers
        parts = []
        for partition, size in zip(self.partitions, self.sizes, strict=True):
            known = partition.codes >= 0
            frame = MetricFrame(
                metrics=lambda t, p: tuple(metric(t, p) for metric in metrics),
                y_true=true[known],
                y_pred=pred[known],
                sensitive_features=pd.Series(partition.codes[known], name="group"),
            )
            absent = (np.nan,) * len(metrics)
            parts += [frame.by_group.get(code, absent) for code in range(size)]
        return np.array(parts, dtype=np.float64)

    @cached_property
    def numbers(self) -> tuple[Array, Array]:
        """Labels and predictions; of expressions, their places in the alphabet."""
        if self.target != "expression":
            return self.true, self.pred
        names = np.union1d(self.true, self.pred)
        return np.searchsorted(names, self.true), np.searchsorted(names, self.pred)


class Drawn:
    """Figures of each group and of its rest, and of resamples of persons.

    Attributes
    ----------
    value, rest : array, shape (groups, m)
    many, many_rest : array, shape (resamples, groups, m)
    """

    def __init__(self, faces: Faces, n_resamples: int, seed: int) -> None:
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
        self.many, self.many_rest, whole = map(np.concatenate, zip(*parts, strict=True))
        self._spread = _spread(whole)[faces.partition_of]
        self.metrics = list(METRICS[faces.target])
        self.faces = faces

    @property
    def own(self) -> Array:
        """(groups,): persons in effect; less than two tell of no interval."""
        return _several(self.faces.counts["effective"])

    @property
    def fewer(self) -> Array:
        """(groups,): persons in the group or in its rest, whichever are fewer."""
        return _several(self.faces.counts[["effective", "effective_rest"]].min(axis=1))

    def intervals(self, level: float) -> tuple[Array, Array]:
        return interval(self.value, self.many, [SCALE[name] for name in self.metrics], self.own, level)

    def differences(self, level: float) -> tuple[Array, Array, Array]:
        """Difference to the rest and the ends of its interval, each (groups, m)."""
        value = self.value - self.rest
        plain = ["difference"] * len(self.metrics)
        return value, *interval(value, self.many - self.many_rest, plain, self.fewer, level)

    def best(self, min_size: float) -> NDArray[np.int64]:
        """Place (groups, m) of the best group of the same columns with ``min_size`` persons; -1 if there is none."""
        merit = np.stack(
            [
                -np.abs(x) if name in SMALLER_IS_BETTER else x
                for name, x in zip(self.metrics, self.value.T, strict=True)
            ],
            1,
        )
        merit = np.where((self.own >= min_size)[:, None] & np.isfinite(merit), merit, -np.inf)
        places = []
        for start, size in zip(self.faces.starts, self.faces.sizes, strict=True):
            part = merit[start : start + size]
            place = np.where(np.isfinite(part.max(axis=0)), start + part.argmax(axis=0), -1)
            places.append(np.tile(place, (size, 1)))
        return np.concatenate(places)

    def to_best(self, best: NDArray[np.int64], level: float) -> tuple[Array, Array, Array]:
        """Difference to the ``best`` group and the ends of its interval, each (groups, m)."""
        there, column = best >= 0, np.arange(len(self.metrics))
        value = np.where(there, self.value - self.value[best, column], np.nan)
        many = np.where(there, self.many - self.many[:, best, column], np.nan)
        fewer = np.minimum(self.own[:, None], self.own[best])
        ends = [interval(value[:, [k]], many[..., [k]], ["difference"], fewer[:, k], level) for k in column]
        low, high = (np.concatenate([pair[end] for pair in ends], axis=1) for end in (0, 1))
        return value, low, high

    def detectable(self, metric: str, alpha: float, power: float) -> Array:
        """True difference to the rest (groups,) found with this ``power``, if faces are like all; inf if none is."""
        counts, k = self.faces.counts, self.metrics.index(metric)
        whole = np.array([_kish(np.bincount(self.faces.persons[p.codes >= 0])) for p in self.faces.partitions])
        with np.errstate(divide="ignore", invalid="ignore"):
            error = self._spread[:, k] * np.sqrt(
                whole[self.faces.partition_of] * (1 / counts["effective"] + 1 / counts["effective_rest"])
            )
            found = error * (stats.t.isf(alpha / 2, np.maximum(self.fewer - 1, 1e-9)) + stats.norm.ppf(power))
        return np.where((self.fewer > 1) & (found <= RANGE[metric]), found, np.inf)

    def p_values(self, metric: str) -> Array:
        """Student's t test (groups,) of the difference to the rest, by its error over resamples."""
        k, there = self.metrics.index(metric), scale(metric)
        difference = there(self.value[:, k]) - there(self.rest[:, k])
        clusters = np.maximum(self.fewer, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            error = _spread(there(self.many[..., k]) - there(self.many_rest[..., k]))
            statistic = ratio(difference, error * np.sqrt(clusters / (clusters - 1)))
            return 2 * stats.t.sf(np.abs(statistic), clusters - 1)


def scale(metric: str) -> Callable[[Array], Array]:
    """The scale of a tested metric, finite everywhere."""
    there = SCALES[SCALE[metric]][0]
    ends = {"accuracy": (0, 1), "CCC": (_EDGE - 1, 1 - _EDGE)}.get(metric, (-np.inf, np.inf))
    return lambda x: there(np.clip(x, *ends))


def ratio(difference: Array, error: Array) -> Array:
    """Difference over error; 0 where figures are the same, however small the error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.abs(difference) > _EDGE, difference / error, np.where(np.isnan(difference), np.nan, 0))


def blocks(persons: NDArray[np.int64], n_persons: int, seed: int) -> tuple[NDArray[np.int64], int]:
    """Clusters (n,) to be drawn, and their number: persons, or random bundles of so many persons.

    Bundles of independent persons are as independent, and leave the variance of sums as it is.
    """
    if n_persons <= MOST_CLUSTERS:
        return persons, n_persons
    return np.random.default_rng(seed).permutation(n_persons)[persons] % MOST_CLUSTERS, MOST_CLUSTERS


def _spread(many: Array) -> Array:
    """Standard deviation over resamples, of those that are finite; NaN where fewer than two are."""
    finite = np.isfinite(many)
    n = finite.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.where(finite, many - np.where(finite, many, 0).sum(axis=0) / n, 0)
        return np.sqrt((off**2).sum(axis=0) / np.where(n > 1, n - 1, np.nan))


def _several(persons: pd.Series) -> Array:
    return persons.where(persons >= 2, 1).to_numpy()


def _kish(faces: NDArray[np.int64]) -> float:
    """Kish's effective number of persons: all of them where they have equally many faces, 1 where one has nearly all."""
    return float(faces.sum() ** 2 / max((faces.astype(np.float64) ** 2).sum(), 1))


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


def chunks(rows: int, width: int) -> Iterator[int]:
    """Numbers of rows, together ``rows``, of blocks of at most some millions of numbers."""
    size = max(1, 2**22 // max(width, 1))
    yield from (min(size, rows - start) for start in range(0, rows, size))
