"""How well predictions serve each group, and how sure one can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from emokit.data.tables import Table
from emokit.evaluation.audit.faces import Faces
from emokit.evaluation.audit.figures import Drawn
from emokit.evaluation.audit.findings import CORRECTIONS, WORTH, Settings, tested
from emokit.evaluation.audit.groups import partitions, read_samples
from emokit.evaluation.report import _checked, _clusters, _joined, _targets


@dataclass(frozen=True)
class Audit:
    """What `audit` found.

    Attributes
    ----------
    settings : Settings
    groups : DataFrame
        A row per group, target and metric: ``columns``, ``group``, ``target``, ``metric``; ``n``
        (faces), ``subjects``, ``effective`` (Kish's number: fewer where few persons have most
        faces); ``value``, ``low``, ``high``; ``difference`` to the rest, that is to all faces of
        another group of the same columns, with ``difference_low`` and ``difference_high``;
        ``best`` (the group that is served best) and the difference ``to_best``, with
        ``to_best_low`` and ``to_best_high``.
    findings : DataFrame
        What was tested, ranked: strongest verdict first, groups that are served worse than their
        rest before those that are served better, then by size. ``value``, ``rest``; ``difference``,
        ``low``, ``high``; ``worse`` (bool); ``size``, the difference in units of what is worth
        acting on; ``p``, ``p_adjusted``, ``test`` (permutation or bootstrap);
        ``detectable``, the true difference that this many persons reveal with the power wanted;
        ``verdict`` (`VERDICTS`).
    tests : int
        Size of the family over which p-values are corrected.
    permutations : int
        That were made for each of them; 0 where all were by bootstrap.
    samples, predictions : DataFrame
        Row by row the same faces, indexed by id.
    faces : list of Faces
        One per target, for what follows from them: `by_region`, `confusions`, `decompositions`,
        `causes`.
    """

    settings: Settings
    groups: pd.DataFrame
    findings: pd.DataFrame
    tests: int
    permutations: int
    samples: pd.DataFrame
    predictions: pd.DataFrame
    faces: list[Faces]


def audit(
    predictions: Table,
    samples: Table,
    groups: Sequence[str],
    *,
    targets: str | Sequence[str] | None = None,
    intersections: int = 2,
    min_size: int = 20,
    alpha: float = 0.05,
    correction: str = "holm",
    worth: Mapping[str, float] | None = None,
    power: float = 0.9,
    n_resamples: int = 2000,
    n_permutations: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    progress: bool = True,
) -> Audit:
    """Every metric of every group and intersection, and tests of what sets groups apart.

    Persons are the unit where samples have a column ``subject``, otherwise faces. One family of
    tests holds, for every group and intersection of at least ``min_size`` persons whose rest has as
    many: CCC and signed error of valence and of arousal, and accuracy of expressions, each against
    the rest. Both groups of a column of two make one test. Other metrics describe.

    Tests are studentised permutations of groups over persons (`emokit.evaluation.audit.differences`).
    Where a person's faces are in several groups of a column, groups can't be shuffled over persons;
    where there are more than 2,000 persons, they need not be: then the difference over its bootstrap
    error is held against Student's t.

    Parameters
    ----------
    predictions, samples : DataFrame or path
        As in `emokit.evaluation.report`, from emokit or anyone.
    groups : sequence of str
        Columns of samples; `join_groups` adds them from another table. Nothing is guessed from
        pictures. Of a CSV, they are text as it stands: "None" is a group. Faces whose cell is empty
        are in no group of that column, nor in the rest.
    targets : {"expression", "valence", "arousal"} or a sequence of them, optional
        By default those that samples have labels of.
    intersections : int
        How many columns are crossed at most; 1 for none.
    min_size : int
        Persons, in effect (Kish), below which there are "too few to say".
    alpha : float
        Family-wise error of ``"holm"``; share of false findings for ``"fdr_bh"``.
    correction : {"holm", "fdr_bh"}
    worth : mapping, optional
        Differences worth acting on: by default 0.1 CCC, 0.05 signed error, 0.05 accuracy.
    power : float
        With which ``detectable`` differences would be found.
    n_resamples, n_permutations : int
        More permutations are made if the family is so large that it takes them.
    level : float
        Of the intervals, each for itself.
    seed : int
    progress : bool
        Show a bar, on a terminal.

    Returns
    -------
    Audit

    Raises
    ------
    ValueError
        As `emokit.evaluation.report`; samples have no row; a column of groups is missing, empty, or
        has too many values; an option is out of its range.
    """
    worth = WORTH | dict(worth or {})
    if not (
        0 < alpha < 1 and 0 < power < 1 and 0 < level < 1 and min_size >= 2 and min(n_resamples, n_permutations) > 1
    ):
        raise ValueError(
            "alpha, power and level lie between 0 and 1, min_size, n_resamples and n_permutations are at least 2; "
            f"got {alpha}, {power}, {level}, {min_size}, {n_resamples} and {n_permutations}"
        )
    if correction not in CORRECTIONS or set(worth) > set(WORTH) or not all(x > 0 for x in worth.values()):
        raise ValueError(
            f"correction is one of {', '.join(CORRECTIONS)}, and worth is above 0 for {', '.join(WORTH)}; "
            f"got {correction!r} and {worth}"
        )
    true, pred = _joined(predictions, read_samples(samples, groups))
    faces = faces_of(true, pred, groups, targets, intersections)
    settings = Settings(
        tuple(groups), intersections, min_size, alpha, correction, worth, power, n_resamples, n_permutations, level, seed
    )  # fmt: skip
    with tqdm(desc="audit", total=len(faces) * n_resamples + n_permutations, leave=False,
              disable=None if progress else True) as bar:  # fmt: skip
        drawn = [Drawn(some, n_resamples, seed, bar.update) for some in faces]
        table = pd.concat([_described(some, settings) for some in drawn], ignore_index=True)
        results = tested(drawn, settings, bar.update)
    return Audit(settings, table, *results, true, pred, faces)


def faces_of(
    true: pd.DataFrame, pred: pd.DataFrame, groups: Sequence[str], targets: str | Sequence[str] | None, depth: int
) -> list[Faces]:
    """Labels, predictions and groups of every target."""
    parts, persons = partitions(true, groups, depth), _clusters(true)
    found = []
    for target in _targets(true, pred, targets):
        has = true[target].notna().to_numpy()
        labels, answers = _checked(target, true.loc[has, target], pred.loc[has, target], pred.columns)
        own = [part._replace(codes=part.codes[has]) for part in parts]
        found.append(Faces(target, np.flatnonzero(has), labels, answers, persons[has], int(persons.max()) + 1, own))
    return found


def _described(drawn: Drawn, settings: Settings) -> pd.DataFrame:
    """The table of groups for one target."""
    faces, metrics = drawn.faces, drawn.metrics
    value = faces.values()
    low, high = drawn.intervals(settings.level)
    difference, difference_low, difference_high = drawn.differences(settings.level)
    best = drawn.best(settings.min_size)
    to_best, best_low, best_high = drawn.to_best(best, settings.level)
    shape = value.shape
    names = faces.counts["group"].to_numpy(object)
    counts = faces.counts.drop(columns=["n_rest", "effective_rest"]).loc[np.repeat(np.arange(shape[0]), shape[1])]
    table = counts.reset_index(drop=True)
    table.insert(2, "target", faces.target)
    table.insert(3, "metric", metrics * shape[0])
    columns = {
        "value": value, "low": low, "high": high,
        "difference": difference, "difference_low": difference_low, "difference_high": difference_high,
        "best": np.where(best < 0, None, names[best]),
        "to_best": to_best, "to_best_low": best_low, "to_best_high": best_high,
    }  # fmt: skip
    return table.assign(**{name: array.ravel() for name, array in columns.items()})
