"""Mitigations to compare, each with what it costs the other groups. None of them undoes a harm.

Recalibration needs a face's group when the network is used: that is a decision about people, not
a technical detail. Reweighted training does not, but draws the same few persons more often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from emokit.data.tables import Table
from emokit.evaluation.audit.faces import Faces
from emokit.evaluation.audit.figures import Drawn, merit
from emokit.evaluation.audit.groups import TIMES, Partition, partitions, read_samples
from emokit.evaluation.audit.run import Audit, faces_of
from emokit.evaluation.intervals import interval
from emokit.evaluation.report import _clusters, _joined

SHOWN = ("accuracy", "CCC", "RMSE", "signed error")
EVERYONE = "everyone"


def recalibrated(
    predictions: Table, samples: Table, groups: Sequence[str], *, folds: int = 5, min_size: int = 20, seed: int = 0
) -> pd.DataFrame:
    """Predictions whose valence and arousal have, in every group, the mean and spread of its labels.

    A linear change per group, the one that takes its CCC to its PCC; expressions stay. It is learnt
    from other persons than those it is applied to, in ``folds``, so that the audit of the result is
    fair.

    Parameters
    ----------
    predictions, samples : DataFrame or path
    groups : sequence of str
        Columns, taken together: every intersection is a group.
    folds : int
    min_size : int
        Persons that a fold must leave of a group; with fewer, or where a cell is empty, the change
        is that of all faces.
    seed : int

    Returns
    -------
    DataFrame
        The predictions table, of the samples' faces.

    Raises
    ------
    ValueError
        As `audit`, or there are fewer persons than folds.
    """
    true, pred = _joined(predictions, read_samples(samples, groups))
    part, persons = partitions(true, groups, len(groups))[-1], _clusters(true)
    n = int(persons.max()) + 1
    if not 2 <= folds <= n:
        raise ValueError(f"folds lie between 2 and the number of persons, {n}; got {folds}")
    fold = (np.random.default_rng(seed).permutation(n) % folds)[persons]
    pred = pred.copy()
    for target in ("valence", "arousal"):
        if target not in true or target not in pred:
            continue
        labels, answers = (table[target].to_numpy(np.float64) for table in (true, pred))
        changed = answers.copy()
        for k in range(folds):
            for code in range(-1, len(part.groups)):
                own, learnt = part.codes == code, (fold != k) & np.isfinite(labels)
                if code >= 0 and len(np.unique(persons[learnt & own])) >= min_size:
                    learnt &= own
                t, p = labels[learnt], answers[learnt]
                scale = t.std() / p.std() if p.std() > 0 else 0.0
                now = own & (fold == k)
                changed[now] = np.clip(t.mean() + scale * (answers[now] - p.mean()), -1, 1)
        pred[target] = changed
    return pred.reset_index(drop=True)


def training_weights(samples: Table, groups: Sequence[str], most: float = 10.0) -> pd.Series:
    """Weights of faces under which every group counts alike in training, mean 1.

    Parameters
    ----------
    samples : DataFrame or path
    groups : sequence of str
        Columns, taken together; faces with an empty cell are one more group.
    most : float
        No face weighs more than this many times the lightest: rare faces are few, and a network
        learns few faces by heart.

    Returns
    -------
    Series
        Indexed like ``samples``. `emokit.training.sampler.FaceSampler` takes it; `balanced` makes a
        table of it, for any training.
    """
    samples = read_samples(samples, groups)
    if most < 1:
        raise ValueError(f"most is at least 1, got {most}")
    codes = partitions(samples, groups, len(groups))[-1].codes
    _, where, counts = np.unique(codes, return_inverse=True, return_counts=True)
    weights = 1 / counts[where]
    weights = np.minimum(weights, most * weights.min())
    return pd.Series(weights / weights.mean(), samples.index, name="weight")


def balanced(samples: Table, groups: Sequence[str], most: float = 10.0, seed: int = 0) -> pd.DataFrame:
    """As many faces, drawn from ``samples`` with `training_weights`: a table that any training takes.

    Faces that come again have ids such as ``f7/2``.
    """
    samples = read_samples(samples, groups)
    weights = training_weights(samples, groups, most).to_numpy()
    rng = np.random.default_rng(seed)
    drawn = samples.iloc[np.sort(rng.choice(len(samples), len(samples), p=weights / weights.sum()))].reset_index(
        drop=True
    )
    again = drawn.groupby("id").cumcount() + 1
    drawn["id"] = drawn["id"].astype(str).where(again == 1, drawn["id"].astype(str) + "/" + again.astype(str))
    return drawn


def compare_mitigations(found: Audit, mitigated: Mapping[str, Table], columns: Sequence[str]) -> pd.DataFrame:
    """What each mitigation does to every group, the harmed and the others.

    Parameters
    ----------
    found : Audit
        Of the predictions as they were.
    mitigated : mapping
        Name to predictions table, of the same samples.
    columns : sequence of str
        The groups to show, one column or intersection.

    Returns
    -------
    DataFrame
        ``mitigation``, ``group`` ("everyone" last), ``target``, ``metric``, ``n``, ``effective``
        (Kish's number of persons) and ``few``, whether these are less than the audit's ``min_size``;
        ``before``, ``after``; ``change`` for the better, with ``low`` and ``high``: signed error and
        RMSE improve when they come closer to 0.

    Raises
    ------
    ValueError
        The audit has no such columns, there is no mitigation, or as `emokit.evaluation.report`.
    """
    name = TIMES.join([columns] if isinstance(columns, str) else columns)
    if name not in {part.columns for part in found.faces[0].partitions}:
        known = ", ".join(part.columns for part in found.faces[0].partitions)
        raise ValueError(f"the audit has no columns {name!r}; it has {known}")
    if not mitigated:
        raise ValueError("there is no mitigation to compare; give at least one name with its predictions table")
    settings, tables = found.settings, []
    before = [Drawn(_whole(some, name), settings.n_resamples, settings.seed) for some in found.faces]
    for mitigation, predictions in mitigated.items():
        true, pred = _joined(predictions, found.samples)
        targets = [some.target for some in found.faces]
        later = faces_of(true, pred, settings.groups, targets, settings.intersections)
        for old, some in zip(before, later, strict=True):
            new = Drawn(_whole(some, name), settings.n_resamples, settings.seed)
            for k, metric in enumerate(old.metrics):
                if metric not in SHOWN:
                    continue
                # The same persons are drawn before and after.
                better = [
                    merit(metric, b[..., k]) - merit(metric, a[..., k])
                    for a, b in ((old.value, new.value), (old.many, new.many))
                ]
                change, many = (x[..., None] for x in better)
                low, high = interval(change, many, ["difference"], old.own, settings.level)
                table = old.faces.counts[["group", "n", "effective"]].assign(
                    few=lambda t: t["effective"] < settings.min_size, mitigation=mitigation, target=some.target, metric=metric, before=old.value[:, k], after=new.value[:, k],
                    change=change[:, 0], low=low[:, 0], high=high[:, 0],
                )  # fmt: skip
                tables.append(table)
    front = ["mitigation", "group", "target", "metric"]
    table = pd.concat(tables, ignore_index=True)
    return table[[*front, *table.columns.drop(front)]]


def _whole(faces: Faces, columns: str) -> Faces:
    """The same faces, told apart by these columns; and everyone."""
    own = [part for part in faces.partitions if part.columns == columns]
    everyone = Partition(EVERYONE, [EVERYONE], np.zeros(len(faces.true), dtype=np.int64), [(EVERYONE,)])
    return Faces(faces.target, faces.rows, faces.true, faces.pred, faces.persons, faces.n_persons, [*own, everyone])
