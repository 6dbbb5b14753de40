"""Rows of the log that count now, read from the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from emokit.cleaning.assignment import within
from emokit.cleaning.checks import LABELS
from emokit.cleaning.schema import assignments, items, log, rulings

DECISION = [
    log.c.item.label("id"),
    log.c.annotator,
    log.c.time,
    log.c.verdict,
    *(log.c[f"new_{name}"].label(name) for name in LABELS),
    log.c.note,
]


def counting(*also: Any) -> Select:
    """Decisions that count, in the order of the queue."""
    query = select(*DECISION, *also).join(assignments, assignments.c.decision == log.c.seq)
    return query.order_by(assignments.c.position, log.c.seq)


def ruling(*also: Any) -> Select:
    """Adjudications that count."""
    return select(*DECISION, *also).join(rulings, rulings.c.seq == log.c.seq)


def shared() -> ColumnElement[bool]:
    """That several annotators have decided on the item."""
    position = assignments.c.position
    decided = select(position).where(assignments.c.decision.is_not(None))
    return position.in_(decided.group_by(position).having(func.count() > 1))


def disagreeing(where: Mapping[str, str], tolerance: float) -> Select:
    """Ids, in the order of the queue, on which annotators disagree and no ruling counts."""
    said = (
        select(assignments.c.position).join(log, log.c.seq == assignments.c.decision).group_by(assignments.c.position)
    )
    unruled = assignments.c.position.not_in(select(rulings.c.position))
    differ = [func.count(func.distinct(what)) > 1 for what in (log.c.verdict, func.coalesce(log.c.new_expression, ""))]
    # Where one annotator gives none, that does not tell.
    differ += [func.max(what) - func.min(what) > tolerance for what in (log.c.new_valence, log.c.new_arousal)]
    found = said.where(shared(), unruled, *within(assignments.c.cell, where)).having(or_(*differ))
    return select(items.c.id).where(items.c.position.in_(found)).order_by(items.c.position)


def read_log(connection: Connection, query: Select) -> pd.DataFrame:
    """Rows of the log as a table."""
    result = connection.execute(query)
    table = pd.DataFrame(result.all(), columns=list(result.keys()))
    affect = [name for name in table if name.endswith(("valence", "arousal"))]
    return table.assign(time=pd.to_datetime(table["time"], utc=True, format="ISO8601")).astype(
        dict.fromkeys(affect, float)
    )
