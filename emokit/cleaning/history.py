"""What counts, from the rows of the log alone."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import pandas as pd

from emokit.cleaning.checks import LABELS

DECISION_COLUMNS = ["id", "annotator", "time", "verdict", *LABELS, "note"]


def standing(rows: Iterable[Any], action: str = "decide") -> dict[Hashable, Any]:
    """The rows of ``action`` that count after ``rows`` of the log.

    Keys are (item, annotator); for action "adjudicate", which anybody's later one overrules, items.
    """
    left: dict[Hashable, dict[int, Any]] = {}
    taken_back: dict[int, Any] = {}
    for row in rows:
        own = left.setdefault(row.item if action == "adjudicate" else (row.item, row.annotator), {})
        if row.action == action:
            own[row.seq] = row
        elif row.action == "undo" and row.target in own:
            taken_back[row.target] = own.pop(row.target)
        elif row.action == "redo" and row.target in taken_back:
            own[row.target] = taken_back.pop(row.target)
    return {key: own[next(reversed(own))] for key, own in left.items() if own}


def replay(log: pd.DataFrame) -> pd.DataFrame:
    """Decisions as they stood after the last row of ``log``.

    Parameters
    ----------
    log : DataFrame
        From `Store.log`, whole or up to a time: ``log[log["time"] < "2026-03-02"]``.

    Returns
    -------
    DataFrame
        As `Store.decisions`, in the order in which items and annotators first met.
    """
    table = pd.DataFrame(standing(log.itertuples(index=False)).values(), columns=log.columns)
    labels = {f"new_{name}": name for name in LABELS}
    return table.rename(columns=labels | {"item": "id"})[DECISION_COLUMNS].astype({"valence": float, "arousal": float})
