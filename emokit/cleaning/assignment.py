"""Who reviews which item next: no item goes to more annotators than it wants.

Open items lie in pools (`emokit.cleaning.schema`), each in the order of the queue. An annotator's next
item is the first of the pools that they are not among the holders of, so that finding it takes
no longer at the end of a project than at its beginning. What writes runs inside one writing
transaction: two annotators never choose at the same time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, insert, select, update

from emokit.cleaning.schema import NOT_EMPTY, OPEN, annotators, assignments, cells, facets, items, pools

MOST = 1000  # items taken at once


def places(item: str, overlap: float, annotators_per_item: int) -> int:
    """How many annotators an item wants: a hash of its id decides, so it is the same everywhere."""
    share = int.from_bytes(hashlib.sha256(item.encode()).digest()[:8]) / 2**64
    return annotators_per_item if share < overlap else 1


def within(cell: ColumnElement[int], where: Mapping[str, str]) -> list[ColumnElement[bool]]:
    """Conditions on a column of cells: that they have the values of ``where``."""
    return [
        cell.in_(select(facets.c.cell).where(facets.c.name == name, facets.c.value == value))
        for name, value in where.items()
    ]


def take(connection: Connection, who: int, n: int, where: Mapping[str, str]) -> list[str]:
    """Ids of the next ``n`` items of annotator ``who``; new ones are assigned."""
    turn, position = assignments.c.turn, assignments.c.position
    own = select(position).where(assignments.c.annotator == who, *within(assignments.c.cell, where))
    chosen = list(connection.scalars(own.where(turn <= 0).order_by(turn, position).limit(n)))
    if len(chosen) < n:
        chosen += _claim(connection, who, n - len(chosen), where)
    if len(chosen) < n:
        chosen += connection.scalars(own.where(turn > 0).order_by(turn).limit(n - len(chosen)))
    ids = select(items.c.position, items.c.id).where(items.c.position.in_(chosen))
    id_of = {row.position: row.id for row in connection.execute(ids)}
    return [id_of[p] for p in chosen]


def hold(connection: Connection, who: int, position: int) -> None:
    """Assign an item to an annotator who deals with it, whether it wants them or not."""
    mine = (assignments.c.annotator == who, assignments.c.position == position)
    if connection.scalar(select(assignments.c.cell).where(*mine)) is None:
        _assign(connection, who, [position])


def release(connection: Connection, before: float, but: int) -> None:
    """Return what annotators who were not seen since ``before`` have open, except annotator ``but``."""
    away = annotators.c.seen < before, annotators.c.number != but
    numbers = connection.scalars(select(annotators.c.number).where(*away)).all()
    if not numbers:
        return
    held, position = assignments.c.annotator, assignments.c.position
    gone = connection.execute(
        select(held, position, assignments.c.decision)
        .where(held.in_(numbers), assignments.c.turn.is_not(None))
        .limit(MOST)
    ).all()
    for who in {row.annotator for row in gone}:
        # Who wanted to think again has still decided.
        again = [row.position for row in gone if row.annotator == who and row.decision is not None]
        never = [row.position for row in gone if row.annotator == who and row.decision is None]
        connection.execute(update(assignments).where(held == who, position.in_(again)).values(turn=None))
        connection.execute(delete(assignments).where(held == who, position.in_(never)))
        _move(connection, never, lambda holders, who=who: holders - {who})


def open_for(connection: Connection, who: int | None, where: Mapping[str, str]) -> int:
    """Opinions still to be given by annotator ``who``, or by anybody."""
    wanted = connection.execute(
        select(pools.c.holders, cells.c.places, func.sum(pools.c.n).label("n"))
        .join(cells, cells.c.number == pools.c.cell)
        .where(NOT_EMPTY, *within(pools.c.cell, where))
        .group_by(pools.c.holders, cells.c.places)
    ).all()
    assigned = select(func.count()).where(assignments.c.turn.is_not(None), *within(assignments.c.cell, where))
    if who is None:
        return connection.scalar(assigned) + sum(int(n) * (most - len(_held(held))) for held, most, n in wanted)
    mine = connection.scalar(assigned.where(assignments.c.annotator == who))
    return mine + sum(int(row.n) for row in wanted if who not in _held(row.holders))


def grow(connection: Connection, start: int) -> None:
    """Bring pools up to date once items from position ``start`` on are new."""
    of_pool = (items.c.cell == pools.c.cell, items.c.holders == "", OPEN)
    added = select(func.count()).where(*of_pool, items.c.position >= start).scalar_subquery()
    first = select(func.min(items.c.position)).where(*of_pool).scalar_subquery()
    grown = pools.c.cell.in_(select(items.c.cell).where(items.c.position >= start))
    connection.execute(update(pools).where(pools.c.holders == "", grown).values(n=pools.c.n + added, first=first))


def _claim(connection: Connection, who: int, n: int, where: Mapping[str, str]) -> list[int]:
    """Assign up to ``n`` new items, the first in the queue that want another annotator."""
    candidates = connection.execute(
        select(pools.c.cell, pools.c.holders, pools.c.first)
        .where(NOT_EMPTY, pools.c.holders.not_like(f"%,{who},%"), *within(pools.c.cell, where))
        .order_by(pools.c.first)
        .limit(n)
    ).all()
    found: list[int] = []
    for cell, holders, first in candidates:
        if len(found) == n and first > found[-1]:
            break
        of_pool = (items.c.cell == cell, items.c.holders == holders, OPEN)
        found += connection.scalars(select(items.c.position).where(*of_pool).order_by(items.c.position).limit(n))
        found = sorted(found)[:n]
    _assign(connection, who, found)
    return found


def _assign(connection: Connection, who: int, positions: Sequence[int]) -> None:
    chosen = connection.execute(select(items.c.position, items.c.cell).where(items.c.position.in_(positions)))
    rows = [{"annotator": who, "position": position, "cell": cell, "turn": 0} for position, cell in chosen]
    if rows:
        connection.execute(insert(assignments), rows)
        _move(connection, positions, lambda holders: holders | {who})


def _move(connection: Connection, positions: Sequence[int], change: Callable[[set[int]], set[int]]) -> None:
    """Give items other holders, and thereby to other pools."""
    of_items = select(items.c.position, items.c.cell, items.c.holders, items.c.open, cells.c.places)
    of_items = of_items.join(cells, cells.c.number == items.c.cell).where(items.c.position.in_(positions))
    moved, grown = [], Counter()
    for position, cell, holders, is_open, most in connection.execute(of_items).all():
        held = sorted(change(_held(holders)))
        new, still_open = "".join(f",{number}" for number in held) + "," * bool(held), len(held) < most
        moved.append({"p": position, "holders": new, "open": still_open})
        grown[cell, holders] -= is_open
        grown[cell, new] += still_open
    if moved:
        connection.execute(update(items).where(items.c.position == bindparam("p")), moved)
        _refresh(connection, {pool: n for pool, n in grown.items() if n})


def _refresh(connection: Connection, grown: Mapping[tuple[int, str], int]) -> None:
    """Bring pools up to date, given by how many items each has grown."""
    if not grown:
        return
    rows = [{"c": cell, "h": holders, "d": n} for (cell, holders), n in grown.items()]
    of_cells = select(pools.c.cell, pools.c.holders).where(pools.c.cell.in_({row["c"] for row in rows}))
    known = set(map(tuple, connection.execute(of_cells)))
    new = [{"cell": row["c"], "holders": row["h"], "n": 0} for row in rows if (row["c"], row["h"]) not in known]
    if new:
        connection.execute(insert(pools), new)
    of_pool = (items.c.cell == bindparam("c"), items.c.holders == bindparam("h"), OPEN)
    first = select(func.min(items.c.position)).where(*of_pool).scalar_subquery()
    this = (pools.c.cell == bindparam("c"), pools.c.holders == bindparam("h"))
    connection.execute(update(pools).where(*this).values(n=pools.c.n + bindparam("d"), first=first), rows)


def _held(holders: str) -> set[int]:
    return {int(number) for number in holders.split(",") if number}
