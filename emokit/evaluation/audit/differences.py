"""Is a group's figure another than the rest's? A studentised permutation test, by person.

Who is in which group is shuffled over persons: all their faces move together. If groups did not
matter, every shuffle would be as likely as the truth, so the test is exact. Groups may also differ
in what does not count as harm: in spread of labels, in noise, in faces per person. The difference
is therefore divided by its own error, in the truth and in every shuffle (Janssen 1997; Chung and
Romano 2013): then the test holds its level for equal figures of unequal groups too, as the number
of persons grows. Figures are compared on scales on which they are nearly normal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from emokit.evaluation.audit.faces import Faces
from emokit.evaluation.audit.figures import ratio, scale

Array = NDArray[np.float64]

TESTED = {"expression": ("accuracy",), "valence": ("CCC", "signed error"), "arousal": ("CCC", "signed error")}

_MOST_NUMBERS = 2**22  # in a block of shuffles


def permutation_p(
    faces: Sequence[Faces], n_permutations: int, seed: int, step: Callable[[int], object] = lambda n: None
) -> dict[tuple[str, str], Array]:
    """p-values (groups,) of the differences to the rest, two-sided; NaN where a figure is undefined.

    Parameters
    ----------
    faces : sequence of Faces
        Of the targets, with the same partitions of the same persons; each person in one group of
        a partition, or in none.
    n_permutations, seed : int
    step : callable
        Hears how many permutations more are done.

    Returns
    -------
    dict
        By target and metric, as `TESTED` lists them.
    """
    first = faces[0]
    n, groups = first.n_persons, len(first.partition_of)
    member = np.zeros((n, groups))
    for some in faces:
        for start, partition in zip(some.starts, some.partitions, strict=True):
            known = partition.codes >= 0
            member[some.persons[known], start + partition.codes[known]] = 1
    features = [_features(some) for some in faces]
    ends = np.cumsum([f.shape[1] for f in features])[:-1]
    table = np.concatenate(features, axis=1)
    corrections = [_corrections(some) for some in faces]

    def statistics(sums: Array) -> Array:
        parts = zip(faces, np.split(sums, ends, axis=-1), corrections, strict=True)
        return np.concatenate([_statistics(*part) for part in parts], axis=-1)

    found = np.abs(statistics(member.T @ table))
    reached, rng = np.ones_like(found), np.random.default_rng(seed)
    block = max(1, _MOST_NUMBERS // (n * groups))
    for start in range(0, n_permutations, block):
        rows = min(block, n_permutations - start)
        shuffled = member[rng.permuted(np.tile(np.arange(n), (rows, 1)), axis=1)]
        drawn = np.abs(statistics(shuffled.transpose(0, 2, 1) @ table))
        # Equal up to rounding counts as reached; an undefined shuffle counts against the finding.
        reached += (~(drawn < found * (1 - 1e-9))).sum(axis=0)
        step(rows)
    p = np.where(np.isnan(found), np.nan, reached / (1 + n_permutations))
    names = [(some.target, metric) for some in faces for metric in TESTED[some.target]]
    return dict(zip(names, p.T, strict=True))


def in_one_group(faces: Faces) -> NDArray[np.bool_]:
    """(groups,): whether these columns put all faces of a person into one group, or none, so that persons can be shuffled."""
    alone = []
    for partition in faces.partitions:
        low, high = np.full(faces.n_persons, len(partition.groups)), np.full(faces.n_persons, -1)
        np.minimum.at(low, faces.persons, partition.codes)
        np.maximum.at(high, faces.persons, partition.codes)
        alone.append(bool((high <= low).all()))
    return np.array(alone)[faces.partition_of]


def _terms(faces: Faces) -> list[Array]:
    if faces.target == "expression":
        return [np.ones(len(faces.true)), (faces.true == faces.pred).astype(float)]
    t, p = faces.true, faces.pred
    return [np.ones(len(t)), t, p, t * p, t * t + p * p]


def _features(faces: Faces) -> Array:
    """Of every person, (persons, k + k (k + 1) / 2): sums of k terms, and products of every two sums."""
    sums = [np.bincount(faces.persons, term, faces.n_persons) for term in _terms(faces)]
    return np.stack([*sums, *(a * b for a, b in combinations_with_replacement(sums, 2))], axis=1)


def _corrections(faces: Faces) -> tuple[Array, Array]:
    """c / (c - 1) for the c persons of each group and of its rest."""
    counts = faces.counts[["effective", "effective_rest"]].to_numpy().T
    return tuple(np.where(c > 1, c / np.maximum(c - 1, 1e-3), 1) for c in counts)


def _statistics(faces: Faces, sums: Array, corrections: tuple[Array, Array]) -> Array:
    """Differences to the rest over their errors, (..., groups, metrics), from sums of features."""
    own, rest = (_figures(faces.target, part) for part in (sums, faces.rest(sums)))
    return np.stack(
        [
            ratio(a - b, np.sqrt(u * corrections[0] + v * corrections[1]))
            for (a, u), (b, v) in zip(own, rest, strict=True)
        ],
        axis=-1,
    )


def _figures(target: str, sums: Array) -> list[tuple[Array, Array]]:
    """Each tested metric on its scale, (..., groups), and its variance over persons (delta method)."""
    k = {"expression": 2}.get(target, 5)
    n = sums[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        means = sums[..., 1:k] / n[..., None]
        if target == "expression":
            hit = means[..., 0]
            slopes = {"accuracy": (hit, [0.5 / np.sqrt(np.clip(hit * (1 - hit), 1e-18, None))])}
        else:
            t, p, tp, squares = np.moveaxis(means, -1, 0)
            spread = squares - 2 * t * p  # the denominator of the CCC
            ccc = np.where(spread > 1e-12, 2 * (tp - t * p) / spread, np.nan)
            steep = 1 / np.clip(1 - ccc**2, 1e-9, None) / spread
            slopes = {
                "CCC": (ccc, [-2 * p * (1 - ccc) * steep, -2 * t * (1 - ccc) * steep, 2 * steep, -ccc * steep]),
                "signed error": (p - t, [-np.ones_like(t), np.ones_like(t)]),
            }
        return [(scale(name)(value), _variance(sums, means, slope, k)) for name, (value, slope) in slopes.items()]


def _variance(sums: Array, means: Array, slope: list[Array], k: int) -> Array:
    """Sum over persons of the squared influence of each, slope · (their sums - n × means) / n."""
    gradient = [-sum(g * means[..., j] for j, g in enumerate(slope)), *slope]
    products = zip(combinations_with_replacement(range(k), 2), np.moveaxis(sums[..., k:], -1, 0), strict=True)
    total = 0.0
    for (i, j), product in products:
        if j < len(gradient):
            total = total + (1 if i == j else 2) * gradient[i] * gradient[j] * product
    return np.maximum(total, 0) / sums[..., 0] ** 2
