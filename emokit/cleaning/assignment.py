"""Who reviews which item next: no item goes to more annotators than it wants.

All functions run inside one writing transaction (`emokit.cleaning.database`), so that two annotators
never choose at the same time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from emokit.cleaning.schema import annotators, assignments, cells, facets, items, pools


def places(item: str, overlap: float, annotators_per_item: int) -> int:
    """How many annotators an item wants: a hash of its id decides, so it is the same everywhere."""
    share = int.from_bytes(hashlib.sha256(item.encode("utf-8", "surrogatepass")).digest()[:8]) / 2**64
    return annotators_per_item if share < overlap else 1


def within(cell, where: Mapping[str, str]) -> list:
    """Conditions on a column of cells: that they have the values of ``where``."""
    return [
        cell.in_(select(facets.c.cell).where(facets.c.name == name, facets.c.value == value))
        for name, value in where.items()
    ]


def take(connection: Connection, who: int, n: int, where: Mapping[str, str]) -> list[str]:
    """Ids of the next ``n`` items of annotator ``who``; new ones are assigned."""
    turn, position = assignments.c.turn, assignments.c.position
    own = select(position).where(assignments.c.annotator == who, *within(assignments.c.cell, where))
    next_up = connection.scalars(own.where(turn <= 0).order_by(turn, position).limit(n)).all()
    if len(next_up) < n:
        next_up += _claim(connection, who, n - len(next_up), where)
    if len(next_up) < n:
        next_up += connection.scalars(own.where(turn > 0).order_by(turn).limit(n - len(next_up))).all()
    ids = dict(connection.execute(select(items.c.position, items.c.id).where(items.c.position.in_(next_up))).all())
    return [ids[p] for p in next_up]


def hold(connection: Connection, who: int, position: int, cell: int) -> None:
    """Give an item to an annotator who deals with it, assigned or not."""
    mine = (assignments.c.annotator == who, assignments.c.position == position)
    if connection.scalar(select(assignments.c.cell).where(*mine)) is None:
        _assign(connection, who, [position])


def release(connection: Connection, before: float, but: int) -> None:
    """Return what annotators who were not seen since ``before`` have open, except annotator ``but``."""
    gone = connection.execute(
        select(assignments.c.annotator, assignments.c.position)
        .join(annotators, annotators.c.number == assignments.c.annotator)
        .where(assignments.c.turn.is_not(None), annotators.c.seen < before, annotators.c.number != but)
    ).all()
    for who in {row.annotator for row in gone}:
        positions = [row.position for row in gone if row.annotator == who]
        mine = (assignments.c.annotator == who, assignments.c.position.in_(positions))
        # One who wanted to think again has still decided.
        connection.execute(update(assignments).where(*mine, assignments.c.decision.is_not(None)).values(turn=None))
        left = connection.scalars(select(assignments.c.position).where(*mine, assignments.c.turn.is_not(None))).all()
        connection.execute(delete(assignments).where(*mine, assignments.c.turn.is_not(None)))
        _move(connection, left, lambda holders, who=who: holders - {who})


def open_for(connection: Connection, who: int | None, where: Mapping[str, str]) -> int:
    """Opinions still to be given by annotator ``who``, or by all."""
    wanted = connection.execute(
        select(pools.c.holders, cells.c.places, func.sum(pools.c.n).label("n"))
        .join(cells, cells.c.number == pools.c.cell)
        .where(pools.c.n > 0, *within(pools.c.cell, where))
        .group_by(pools.c.holders, cells.c.places)
    ).all()
    assigned = select(func.count()).where(assignments.c.turn.is_not(None), *within(assignments.c.cell, where))
    if who is None:
        return connection.scalar(assigned) + sum(int(n) * (places - len(_held(held))) for held, places, n in wanted)
    mine = connection.scalar(assigned.where(assignments.c.annotator == who))
    return mine + sum(int(row.n) for row in wanted if who not in _held(row.holders))


def refresh(connection: Connection, changes: Mapping[tuple[int, str], int]) -> None:
    """Bring pools up to date, given by how many items each has grown."""
    of_pool = (items.c.cell == bindparam("c"), items.c.holders == bindparam("h"), items.c.open)
    first = select(func.min(items.c.position)).where(*of_pool).scalar_subquery()
    this = (pools.c.cell == bindparam("c"), pools.c.holders == bindparam("h"))
    for (cell, holders), change in changes.items():
        values = {"c": cell, "h": holders, "d": change}
        found = connection.execute(update(pools).where(*this).values(n=pools.c.n + bindparam("d"), first=first), values)
        if not found.rowcount:
            new = select(bindparam("c"), bindparam("h"), bindparam("d"), first)
            connection.execute(insert(pools).from_select(["cell", "holders", "n", "first"], new), values)


def _claim(connection: Connection, who: int, n: int, where: Mapping[str, str]) -> list[int]:
    """Assign up to ``n`` new items, the first in the queue that want another annotator."""
    candidates = connection.execute(
        select(pools.c.cell, pools.c.holders, pools.c.first)
        .where(pools.c.n > 0, pools.c.holders.not_like(f"%,{who},%"), *within(pools.c.cell, where))
        .order_by(pools.c.first)
        .limit(n)
    ).all()
    # The first n lie in the n pools that begin first, and each pool is in order.
    found: list[int] = []
    for cell, holders, first in candidates:
        if len(found) == n and first > found[-1]:
            break
        of_pool = (items.c.cell == cell, items.c.holders == holders, items.c.open)
        found += connection.scalars(select(items.c.position).where(*of_pool).order_by(items.c.position).limit(n)).all()
        found = sorted(found)[:n]
    _assign(connection, who, found)
    return found


def _assign(connection: Connection, who: int, positions: list[int]) -> None:
    if positions:
        place = connection.execute(select(items.c.position, items.c.cell).where(items.c.position.in_(positions)))
        rows = [{"annotator": who, "position": p, "cell": c, "turn": 0} for p, c in place]
        connection.execute(insert(assignments), rows)
        _move(connection, positions, lambda holders: holders | {who})


def _move(connection: Connection, positions: Iterable[int], change) -> None:
    """Give items other holders, and thereby to other pools."""
    moved, grown = [], Counter()
    rows = select(items.c.position, items.c.cell, items.c.holders, items.c.open, cells.c.places).join(
        cells, cells.c.number == items.c.cell
    )
    for row in connection.execute(rows.where(items.c.position.in_(positions))).all():
        held = change(_held(row.holders))
        holders = f",{','.join(map(str, sorted(held)))}," if held else ""
        still_open = len(held) < row.places
        moved.append({"p": row.position, "holders": holders, "open": still_open})
        grown[row.cell, row.holders] -= row.open
        grown[row.cell, holders] += still_open
    if moved:
        connection.execute(update(items).where(items.c.position == bindparam("p")), moved)
        refresh(connection, {pool: n for pool, n in grown.items() if n})


def _held(holders: str) -> set[int]:
    return {int(number) for number in holders.split(",") if number}
