"""Where and how a group is misread: regions of the circumplex, confusion, what lowers the CCC."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emokit.evaluation.audit.faces import BESIDE
from emokit.evaluation.audit.figures import Drawn
from emokit.evaluation.audit.run import Audit
from emokit.evaluation.metrics import ccc_decomposition, confusion

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
        ``columns``, ``group``, ``region``, ``target`` (valence or arousal), ``n``, ``subjects``;
        ``signed_error`` and ``RMSE`` with ``_low`` and ``_high``, NaN with a single person.

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
        table = counts[["columns", "n", "subjects"]].assign(group=groups[0], region=groups[1], target=target)
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
        the group that are labelled so, NaN where there are none.

    Raises
    ------
    ValueError
        Expressions were not audited.
    """
    some = next((some for some in found.faces if some.target == "expression"), None)
    if some is None:
        raise ValueError("expressions were not audited; samples need labels of them, and targets the expression")
    names, tables = np.union1d(some.true, some.pred), []
    for columns, group, own in some.each():
        if own.any():
            counts = confusion(some.true[own], some.pred[own], labels=names)
            shares = counts.div(counts.sum(axis=1).where(lambda n: n > 0), axis=0)
            table = pd.DataFrame({"n": counts.stack(), "share": shares.stack()}).reset_index()
            tables.append(table.assign(columns=columns, group=group))
    table = pd.concat(tables, ignore_index=True)
    return table[["columns", "group", "true", "predicted", "n", "share"]]


def decompositions(found: Audit) -> pd.DataFrame:
    """What lowers the CCC of every group: correlation, scale or location (`ccc_decomposition`).

    Returns
    -------
    DataFrame
        ``columns``, ``group``, ``target``, ``n``, and the fields of `ccc_decomposition`.
    """
    rows = [
        {"columns": columns, "group": group, "target": some.target, "n": own.sum()}
        | ccc_decomposition(some.true[own], some.pred[own])._asdict()
        for some in found.faces
        if some.target != "expression"
        for columns, group, own in some.each()
        if own.any()
    ]
    return pd.DataFrame(rows)
