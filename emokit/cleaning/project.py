"""The settings of a project, which it is given once."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, delete, insert, inspect, select, text

from emokit.cleaning.database import Database
from emokit.cleaning.schema import log, metadata, settings

_FORMAT = 2  # of the tables
_DEFAULTS = {"overlap": 0.0, "annotators_per_item": 2, "lease": 60.0}


def open_project(connection: Connection, database: Database, given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a project, which is made if need be.

    ``folders`` are those in which it has been, the last one now. Settings that are None are the
    project's, or the default.

    Raises
    ------
    ValueError
        The project has other settings, or is a newer emokit's.
    """
    if not inspect(connection).has_table(settings.name):
        metadata.create_all(connection)
    stored = {row.name: json.loads(row.value) for row in connection.execute(select(settings))}
    kept = stored or {
        **{name: _DEFAULTS[name] if value is None else value for name, value in given.items()},
        "format": _FORMAT,
        "folders": [],
    }
    if kept["format"] == 1:  # before the log told who had seen the model's opinion
        connection.execute(text(f"ALTER TABLE {log.name} ADD COLUMN {log.c.informed.name} BOOLEAN"))
        kept = kept | {"format": _FORMAT}
    if kept["format"] != _FORMAT:
        raise ValueError(f"{database.name} was made by a newer emokit; update yours")
    for name, value in given.items():
        if value not in (None, kept[name]):
            raise ValueError(
                f"{database.name} was made with {name}={kept[name]!r}, not {value!r}; leave that out, or make another "
                "project"
            )
    now = [str(database.folder)] if database.folder else []
    kept = kept | {"folders": [folder for folder in kept["folders"] if folder not in now] + now}
    if kept != stored:
        connection.execute(delete(settings))
        connection.execute(insert(settings), [{"name": n, "value": json.dumps(v)} for n, v in kept.items()])
    return kept
