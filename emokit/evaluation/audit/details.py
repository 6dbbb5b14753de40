"""Where and how a group is misread: regions of the circumplex, confusion, what lowers the CCC."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emokit.evaluation.audit.faces import BESIDE, kish
from emokit.evaluation.audit.figures import Drawn
from emokit.evaluation.audit.run import Audit
from emokit.evaluation.metrics import ccc_decomposition

# Neutral is what the consistency check of AffectNet's labels calls so: closer than 0.2 to the centre.
REGIONS = ("neutral", "pleasant, excited", "unpleasant, excited", "unpleasant, calm", "pleasant, calm")


def region(valence: NDArray, arousal: NDArray) -> NDArray[np.int64]:
    """Place in `REGIONS` of every label, (n,)."""
    quadrant = np.select([(valence >= 0) & (arousal >= 0), arousal >= 0, valence < 0], [1, 2, 3], 4)
    return np.where(np.hypot(valence, arousal) < 0.2, 0, quadrant)


def by_region(found: Audit) -> pd.DataFrame:
    """Error of every group in every region of the circumplex that its labels reach.

    Returns
    -------
    DataFrame
        ``columns``, ``group``, ``region``, ``target`` (valence or arousal), ``n``, ``subjects``,
        ``effective`` (Kish's number of persons there) and ``few``, whether these are less than the
        audit's ``min_size``: then figures describe these faces and nobody else; ``signed_error`` and
        ``RMSE`` with ``_low`` and ``_high``, NaN with a single person.

    Raises
    ------
    ValueError
        No face has labels of both valence and arousal.
    """
    affect = {some.target: some for some in found.faces if some.target != "expression"}
    if len(affect) < 2:
        raise ValueError("regions of the circumplex need labels of both valence and arousal; audit both targets")
    _, *places = np.intersect1d(affect["valence"].rows, affect["arousal"].rows, return_indices=True)
    if not len(places[0]):
        raise ValueError("no face has labels of both valence and arousal, which regions of the circumplex need")
    part = {target: affect[target].only(place) for target, place in zip(("valence", "arousal"), places, strict=True)}
    where = region(part["valence"].true, part["arousal"].true)
    tables = []
    for target, some in part.items():
        drawn = Drawn(some.crossed(where, REGIONS), found.settings.n_resamples, found.settings.seed)
        low, high = drawn.intervals(found.settings.level)
        counts = drawn.faces.counts
        groups = counts["group"].str.rsplit(BESIDE, n=1, expand=True)
        table = counts[["columns", "n", "subjects", "effective"]].assign(
            few=counts["effective"] < found.settings.min_size, group=groups[0], region=groups[1], target=target
        )
        for metric, name in (("signed error", "signed_error"), ("RMSE", "RMSE")):
            k = drawn.metrics.index(metric)
            table = table.assign(**{name: drawn.value[:, k], f"{name}_low": low[:, k], f"{name}_high": high[:, k]})
        tables.append(table[table["n"] > 0])
    front = ["columns", "group", "region", "target"]
    table = pd.concat(tables, ignore_index=True)
    return table[[*front, *table.columns.drop(front)]]


def confusions(found: Audit) -> pd.DataFrame:
    """Confusion of every group.

    Returns
    -------
    DataFrame
        ``columns``, ``group``, ``true``, ``predicted``, ``n`` (faces) and ``share`` of the faces of
        the group that are labelled so, NaN where there are none; ``effective`` and ``few``, as in
        `by_region`, of the persons who show the faces of the group that are labelled so.

    Raises
    ------
    ValueError
        Expressions were not audited.
    """
    some = next((some for some in found.faces if some.target == "expression"), None)
    if some is None:
        raise ValueError("expressions were not audited; samples need labels of them, and targets the expression")
    names, tables = np.union1d(some.true, some.pred), []
    # Names of many faces take long to compare; their places in the alphabet do not.
    (true, pred), size = some.numbers, len(names)
    for columns, group, own in some.each():
        if own.any():
            counts = np.bincount(true[own] * size + pred[own], minlength=size**2).reshape(size, size)
            labelled = counts.sum(axis=1, keepdims=True)
            shares = np.divide(counts, labelled, out=np.full(counts.shape, np.nan), where=labelled > 0)
            effective = [kish(np.bincount(some.persons[own & (true == k)])) for k in range(size)]
            table = pd.DataFrame({"true": names.repeat(size), "predicted": np.tile(names, size), "n": counts.ravel()})
            table = table.assign(share=shares.ravel(), effective=np.repeat(effective, size))
            tables.append(table.assign(columns=columns, group=group))
    table = pd.concat(tables, ignore_index=True).assign(few=lambda t: t["effective"] < found.settings.min_size)
    return table[["columns", "group", "true", "predicted", "n", "share", "effective", "few"]]


def decompositions(found: Audit) -> pd.DataFrame:
    """What lowers the CCC of every group: correlation, scale or location (`ccc_decomposition`).

    Returns
    -------
    DataFrame
        ``columns``, ``group``, ``target``, ``n``, ``effective`` and ``few`` as in `by_region`, and the
        fields of `ccc_decomposition`.
    """
    rows = []
    for some in found.faces:
        if some.target == "expression":
            continue
        for (columns, group, own), effective in zip(some.each(), some.counts["effective"], strict=True):
            if own.any():
                about = {"columns": columns, "group": group, "target": some.target, "n": own.sum()}
                about |= {"effective": effective, "few": effective < found.settings.min_size}
                rows.append(about | ccc_decomposition(some.true[own], some.pred[own])._asdict())
    return pd.DataFrame(rows)
