"""What counts, from the rows of the log alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

DECISION_COLUMNS = ["id", "annotator", "time", "verdict", "expression", "valence", "arousal", "note"]


def standing(rows: Iterable[Any], action: str = "decide") -> Any | None:
    """The last row of ``action`` that is not taken back; ``rows`` of one item and its annotators, in order."""
    left: dict[int, Any] = {}
    taken_back: dict[int, Any] = {}
    for row in rows:
        if row.action == action:
            left[row.seq] = row
        elif row.action == "undo" and row.target in left:
            taken_back[row.target] = left.pop(row.target)
        elif row.action == "redo" and row.target in taken_back:
            left[row.target] = taken_back.pop(row.target)
    return next(reversed(left.values()), None)


def replay(log: pd.DataFrame) -> pd.DataFrame:
    """Decisions as they stood after the last row of ``log``.

    Parameters
    ----------
    log : DataFrame
        From `Store.log`, whole or up to a time: ``log[log["time"] <= monday]``.

    Returns
    -------
    DataFrame
        As `Store.decisions`, in the order of first decisions.
    """
    rows = []
    for _, own in log.groupby(["item", "annotator"], sort=False):
        row = standing(own.itertuples())
        if row is not None:
            rows.append(
                (
                    row.item,
                    row.annotator,
                    row.time,
                    row.verdict,
                    row.new_expression,
                    row.new_valence,
                    row.new_arousal,
                    row.note,
                )
            )
    return pd.DataFrame(rows, columns=DECISION_COLUMNS)
