"""Faces with labels and groups: every metric of every group, and sums from which resamples follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame
from numpy.typing import ArrayLike, NDArray

from emokit.evaluation.audit.groups import Partition
from emokit.evaluation.metrics import accuracy, ccc, icc, macro_f1, pcc, rmse, sagr

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
BESIDE = " | "  # between a group and a stratum of it
MOST_CLUSTERS = 2000  # persons; more are bundled


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
                [(*parts, name) for parts in p.members for name in names],
            )
            for p in self.partitions
        ]
        return Faces(self.target, self.rows, self.true, self.pred, self.persons, self.n_persons, parts)

    @cached_property
    def counts(self) -> pd.DataFrame:
        """For each group: n, subjects and their effective number; of the rest, n and the effective number."""
        rows = []
        for partition in self.partitions:
            for code, group in enumerate(partition.groups):
                own, others = partition.codes == code, (partition.codes != code) & (partition.codes >= 0)
                faces, rest = (np.bincount(self.persons[who]) for who in (own, others))
                rows.append(
                    (partition.columns, group, own.sum(), (faces > 0).sum(), kish(faces), others.sum(), kish(rest))
                )
        names = ["columns", "group", "n", "subjects", "effective", "n_rest", "effective_rest"]
        return pd.DataFrame(rows, columns=names)

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


def blocks(persons: NDArray[np.int64], n_persons: int, seed: int) -> tuple[NDArray[np.int64], int]:
    """Clusters (n,) to be drawn, and their number: persons, or random bundles of so many persons.

    Bundles of independent persons are as independent, and leave the variance of sums as it is.
    """
    if n_persons <= MOST_CLUSTERS:
        return persons, n_persons
    return np.random.default_rng(seed).permutation(n_persons)[persons] % MOST_CLUSTERS, MOST_CLUSTERS


def kish(faces: NDArray[np.int64]) -> float:
    """Kish's effective number of persons: all of them where they have equally many faces, 1 where one has nearly all."""
    return float(faces.sum() ** 2 / max((faces.astype(np.float64) ** 2).sum(), 1))
