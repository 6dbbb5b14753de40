"""What annotators do, appended to the log; all else follows from it.

A row remembers what the annotator could undo before it, so that undo and redo find their rows
however long the log is. All functions run inside one writing transaction.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from emokit import __version__
from emokit.cleaning import assignment
from emokit.cleaning.checks import LABELS, checked_annotator, checked_expression, checked_item
from emokit.cleaning.history import standing
from emokit.cleaning.schema import annotators, assignments, log, rulings


def here(connection: Connection, annotator: str, lease: float) -> Any:
    """Row of an annotator, who is here now."""
    name, now = checked_annotator(annotator), time.time()
    known = select(annotators).where(annotators.c.name == name)
    who = connection.execute(known).one_or_none()
    if who is None:
        connection.execute(insert(annotators), {"name": name, "seen": now})
        return connection.execute(known).one()
    # Only once in a while, because every write waits for the disk.
    if now - who.seen > 0.1 * 60 * lease:
        _update(connection, who, seen=now)
    return who


def decide(connection: Connection, who: Any, item: str, action: str, decision: dict[str, Any]) -> int:
    """Append a decision or an adjudication."""
    place = checked_item(connection, item)
    checked_expression(connection, decision["new_expression"])
    old = {f"old_{name}": getattr(place, name) for name in LABELS}
    kept = {f"new_{name}": getattr(place, name) for name in LABELS if decision[f"new_{name}"] is None}
    seq = _append(connection, who, place.id, action, previous=who.top, **(old | decision | kept))
    _update(connection, who, top=seq, redo=None)
    _settle(connection, who, place, action, turn=None)
    return seq


def skip(connection: Connection, who: Any, item: str) -> None:
    place = checked_item(connection, item)
    seq = _append(connection, who, place.id, "skip", previous=who.top)
    _update(connection, who, top=seq, redo=None)
    _settle(connection, who, place, "skip", turn=seq)


def undoable(connection: Connection, annotator: str) -> str | None:
    """The action that the annotator's next undo takes back."""
    name = checked_annotator(annotator)
    query = select(log.c.action).join(annotators, annotators.c.top == log.c.seq).where(annotators.c.name == name)
    return connection.scalar(query)


def undo(connection: Connection, who: Any) -> str | None:
    """Take back the last row that is left."""
    if who.top is None:
        return None
    done = _row(connection, who.top)
    seq = _append(connection, who, done.item, "undo", target=done.seq, previous=who.redo)
    _update(connection, who, top=done.previous, redo=seq)
    _settle(connection, who, checked_item(connection, done.item), done.action, turn=-seq)
    return done.item


def redo(connection: Connection, who: Any) -> str | None:
    """Take back the last undo that is left."""
    if who.redo is None:
        return None
    undone = _row(connection, who.redo)
    done = _row(connection, undone.target)
    seq = _append(connection, who, done.item, "redo", target=done.seq)
    _update(connection, who, top=done.seq, redo=undone.previous)
    turn = seq if done.action == "skip" else None
    _settle(connection, who, checked_item(connection, done.item), done.action, turn)
    return done.item


def _append(connection: Connection, who: Any, item: str, action: str, **values: Any) -> int:
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    row = {"time": now, "annotator": who.name, "item": item, "action": action, "version": __version__}
    return connection.execute(insert(log), row | values).inserted_primary_key[0]


def _row(connection: Connection, seq: int) -> Any:
    return connection.execute(select(log).where(log.c.seq == seq)).one()


def _update(connection: Connection, who: Any, **values: Any) -> None:
    connection.execute(update(annotators).where(annotators.c.number == who.number).values(**values))


def _settle(connection: Connection, who: Any, place: Any, action: str, turn: int | None) -> None:
    """Bring up to date what follows from the log for an item on which ``action`` was done or taken back."""
    rows = connection.execute(select(log).where(log.c.item == place.id).order_by(log.c.seq)).all()
    if action == "adjudicate":
        ruling = standing(rows, action).get(place.id)
        connection.execute(delete(rulings).where(rulings.c.position == place.position))
        if ruling is not None:
            connection.execute(insert(rulings), {"position": place.position, "seq": ruling.seq})
        return
    assignment.hold(connection, who.number, place.position)
    decision = standing(rows).get((place.id, who.name))
    connection.execute(
        update(assignments)
        .where(assignments.c.annotator == who.number, assignments.c.position == place.position)
        .values(turn=turn, decision=decision and decision.seq)
    )
