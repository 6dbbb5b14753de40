"""Tables of a review project, the same on SQLite and PostgreSQL.

The log is what annotators entered; triggers refuse to change it. Items, their contents and the
settings are what the project was made of. All other tables say what follows from these, so that
nothing needs to be counted or replayed while an annotator waits.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    event,
)

_MARK = "\ufeff"


class AnyText(TypeDecorator):
    """Text of any characters; PostgreSQL refuses NUL, so that is stored as JSON after a mark."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        marked = value is not None and ("\0" in value or value.startswith(_MARK))
        return _MARK + json.dumps(value) if marked else value

    def process_result_value(self, value: str | None, dialect: Any) -> str | None:
        return json.loads(value[1:]) if value is not None and value.startswith(_MARK) else value


metadata = MetaData()
# So that the tables stand apart in a team's database.
_PREFIX = "cleaning_"
# SQLite numbers rows by itself only where the key is a plain integer.
_Number = BigInteger().with_variant(Integer, "sqlite")


def _table(name: str, *parts: Any, **options: Any) -> Table:
    return Table(_PREFIX + name, metadata, *parts, **options)


settings = _table("settings", Column("name", Text, primary_key=True), Column("value", Text, nullable=False))

# Every row ever appended. `target` is the row that an undo or redo is about; `previous` is what the
# annotator can undo (or redo, for a row of undo) once this row itself is taken back.
log = _table(
    "log",
    Column("seq", _Number, primary_key=True),
    Column("time", Text, nullable=False),
    Column("annotator", AnyText, nullable=False),
    Column("item", AnyText, nullable=False),
    Column("action", Text, nullable=False),
    Column("old_expression", AnyText),
    Column("old_valence", Double),
    Column("old_arousal", Double),
    Column("new_expression", AnyText),
    Column("new_valence", Double),
    Column("new_arousal", Double),
    Column("verdict", Text),
    Column("note", AnyText),
    Column("informed", Boolean),
    Column("version", Text, nullable=False),
    Column("target", _Number),
    Column("previous", _Number),
    sqlite_autoincrement=True,
)
Index(f"{_PREFIX}log_item", log.c.item)

# The columns of the tables that were added, in order.
columns = _table(
    "columns",
    Column("number", Integer, primary_key=True),
    Column("name", AnyText, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("filterable", Boolean, nullable=False),
)

# A cell is all items that share the values of filterable columns and the number of annotators wanted.
cells = _table(
    "cells",
    Column("number", Integer, primary_key=True),
    Column("places", Integer, nullable=False),
    Column("key", AnyText, nullable=False, unique=True),
)
facets = _table(
    "facets",
    Column("name", AnyText, primary_key=True),
    Column("value", AnyText, primary_key=True),
    Column("cell", Integer, primary_key=True),
    sqlite_with_rowid=False,
)

# `holders` are the numbers of the annotators who have the item, as ",2,5,"; `open` while it wants more.
items = _table(
    "items",
    Column("position", _Number, primary_key=True, autoincrement=False),
    Column("id", AnyText, nullable=False, unique=True),
    Column("cell", Integer, nullable=False),
    Column("holders", Text, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("expression", AnyText),
    Column("valence", Double),
    Column("arousal", Double),
)
# In the very words of the index, by which SQLite finds it.
OPEN = items.c.open.is_(True)
Index(
    f"{_PREFIX}items_open",
    items.c.cell,
    items.c.holders,
    items.c.position,
    sqlite_where=OPEN,
    postgresql_where=OPEN,
)

# What only shows: apart from the items, which stay small enough to be read through.
contents = _table(
    "contents",
    Column("position", _Number, primary_key=True, autoincrement=False),
    Column("row", Text, nullable=False),
    Column("landmarks", LargeBinary),
)

# A pool is the `n` open items of a cell that the same annotators have; `first`, if there is one, comes next.
pools = _table(
    "pools",
    Column("cell", Integer, primary_key=True),
    Column("holders", Text, primary_key=True),
    Column("n", Integer, nullable=False),
    Column("first", _Number),
    sqlite_with_rowid=False,
)
NOT_EMPTY = pools.c.first.is_not(None)
Index(f"{_PREFIX}pools_first", pools.c.first, sqlite_where=NOT_EMPTY, postgresql_where=NOT_EMPTY)

# `top` and `redo` are the rows of the log that the next undo and redo are about.
annotators = _table(
    "annotators",
    Column("number", Integer, primary_key=True),
    Column("name", AnyText, nullable=False, unique=True),
    Column("seen", Double, nullable=False),
    Column("top", _Number),
    Column("redo", _Number),
)

# `turn` is NULL once decided; else an undone item has less than 0, a skipped one more.
assignments = _table(
    "assignments",
    Column("annotator", Integer, primary_key=True),
    Column("position", _Number, primary_key=True),
    Column("cell", Integer, nullable=False),
    Column("turn", BigInteger),
    Column("decision", BigInteger),
    sqlite_with_rowid=False,
)
_undecided, _decided = assignments.c.turn.is_not(None), assignments.c.turn.is_(None)
Index(f"{_PREFIX}assignments_position", assignments.c.position)
Index(
    f"{_PREFIX}assignments_open",
    assignments.c.annotator,
    assignments.c.turn,
    assignments.c.position,
    sqlite_where=_undecided,
    postgresql_where=_undecided,
)
Index(
    f"{_PREFIX}assignments_done",
    assignments.c.annotator,
    assignments.c.cell,
    sqlite_where=_decided,
    postgresql_where=_decided,
)

# The adjudication of an item that counts.
rulings = _table("rulings", Column("position", _Number, primary_key=True, autoincrement=False), Column("seq", _Number))

_APPEND_ONLY = "the log is append-only: undo appends, too"
for change in ("UPDATE", "DELETE"):
    event.listen(
        log,
        "after_create",
        DDL(
            f"CREATE TRIGGER {log.name}_no_{change.lower()} BEFORE {change} ON {log.name} "
            f"BEGIN SELECT RAISE(ABORT, '{_APPEND_ONLY}'); END"
        ).execute_if(dialect="sqlite"),
    )
event.listen(
    log,
    "after_create",
    DDL(
        f"CREATE FUNCTION {log.name}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_APPEND_ONLY}'; END $$"
    ).execute_if(dialect="postgresql"),
)
event.listen(
    log,
    "after_create",
    DDL(
        f"CREATE TRIGGER {log.name}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {log.name} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {log.name}_append_only()"
    ).execute_if(dialect="postgresql"),
)
