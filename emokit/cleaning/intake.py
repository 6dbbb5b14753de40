"""Queue tables into a project and out again, with all their columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from pandas.api import types
from sqlalchemy import Connection, func, insert, literal, select
from sqlalchemy import Table as SQLTable

from emokit.cleaning.assignment import grow, places
from emokit.cleaning.checks import unknown_item
from emokit.cleaning.schema import cells, columns, contents, facets, items, pools
from emokit.data.tables import BOX, Table, _read_file

CHUNK = 5000  # rows written at once
MAX_CHOICES = 100  # values, and characters of each, of a column that can be filtered by
MAX_NUMBERS = 20  # values of a column of whole numbers: more are no groups
_LABELS = {"expression": str, "valence": float, "arousal": float}
_NUMBERS = ("valence", "arousal", *BOX)
_NOT_FILTERED = ("id", "image", "landmarks", "why", "score", *_NUMBERS)


def survey(table: Table) -> pd.DataFrame:
    """``name``, ``kind`` and ``filterable`` of every column, once labels and ids are checked.

    Raises
    ------
    ValueError
        Valence or arousal is no number in [-1, 1], or two ids read the same. The message names
        table and row.
    """
    rows, name = _without_landmarks(table)
    for target in ("valence", "arousal"):
        if target in rows:
            wrong = rows[target].notna() & ~pd.to_numeric(rows[target], errors="coerce").between(-1, 1)
            if wrong.any():
                row = int(np.argmax(wrong))
                raise ValueError(
                    f"{name}, row {row}: {target} is {rows[target].iloc[row]}, no number in [-1, 1]; rescale the "
                    "column, and leave empty what is not labelled"
                )
    twice = rows["id"].astype(str).duplicated()
    if twice.any():
        row = int(np.argmax(twice))
        raise ValueError(f"{name}, row {row}: id {rows['id'].iloc[row]!r} reads as one before it; rename it")
    about = [(str(column), _kind(rows[column]), _filterable(rows[column])) for column in rows]
    return pd.DataFrame(about, columns=["name", "kind", "filterable"])


def register(connection: Connection, about: pd.DataFrame) -> None:
    """Keep what is known of columns that the project did not have.

    Raises
    ------
    ValueError
        A column holds text here and numbers in the project, or the other way round.
    """
    known = dict(connection.execute(select(columns.c.name, columns.c.kind)).all())
    for name, kind in zip(about["name"], about["kind"], strict=True):
        if {kind, known.get(name, kind)} == {"text", "number"}:
            raise ValueError(f"the column {name!r} holds a {kind} here, and a {known[name]} in the project; rename it")
    new = about[~about["name"].isin(known)].to_dict("records")
    if new:
        connection.execute(insert(columns), new)


def add_rows(connection: Connection, rows: pd.DataFrame, overlap: float, annotators_per_item: int) -> int:
    """Add a chunk as `read_table` gives it, but for ids that are there already."""
    rows = rows.rename(columns=str).assign(id=rows["id"].astype(str))
    known = set(connection.scalars(select(items.c.id).where(items.c.id.in_(rows["id"].tolist()))))
    rows = rows[~rows["id"].isin(known)]
    if rows.empty:
        return 0
    landmarks = rows["landmarks"] if "landmarks" in rows else [None] * len(rows)
    rows = rows.drop(columns="landmarks", errors="ignore")
    filtered = set(connection.scalars(select(columns.c.name).where(columns.c.filterable)))
    records = rows.astype(object).where(rows.notna(), None).to_dict("records")
    wanted = [places(record["id"], overlap, annotators_per_item) for record in records]
    values = [{k: _choice(v) for k, v in record.items() if k in filtered and v is not None} for record in records]
    number = _cells(connection, list(zip(wanted, values, strict=True)))
    first = (connection.scalar(select(func.max(items.c.position))) or 0) + 1
    new_items, new_contents = [], []
    for position, (record, cell, points) in enumerate(zip(records, number, landmarks, strict=True), first):
        labels = {name: record.get(name) and kind(record[name]) for name, kind in _LABELS.items()}
        new_items.append({"position": position, "id": record["id"], "cell": cell, "holders": "", "open": True} | labels)
        row, points = json.dumps(record, default=_plain), None if points is None else points.astype("<f4").tobytes()
        new_contents.append({"position": position, "row": row, "landmarks": points})
    _insert(connection, items, new_items)
    _insert(connection, contents, new_contents)
    grow(connection, first)
    return len(rows)


def read_rows(connection: Connection, ids: Sequence[str]) -> pd.DataFrame:
    """Rows as they were added, in the order of ``ids``."""
    ids, found = [str(item) for item in ids], {}
    query = select(items.c.id, contents.c.row, contents.c.landmarks)
    query = query.join(contents, contents.c.position == items.c.position)
    for start in range(0, len(ids), CHUNK):
        for item, row, points in connection.execute(query.where(items.c.id.in_(ids[start : start + CHUNK]))):
            points = None if points is None else np.frombuffer(points, "<f4").astype(np.float32)
            found[item] = json.loads(row) | {"landmarks": points}
    for item in ids:
        if item not in found:
            raise unknown_item(item)
    about = connection.execute(select(columns.c.name, columns.c.kind).order_by(columns.c.number)).all()
    return pd.DataFrame({name: _column([found[item].get(name) for item in ids], kind) for name, kind in about})


def _column(values: list[Any], kind: str) -> pd.Series:
    """Empty cells are NaN, but for those of landmarks and the like, which are None."""
    if kind == "number":
        return pd.to_numeric(pd.Series(values, dtype=object))
    return pd.Series(values, dtype="str" if kind == "text" else object)


def _without_landmarks(table: Table) -> tuple[pd.DataFrame, str]:
    """A table and its name; landmarks, which are most of a file, are left empty."""
    if isinstance(table, pd.DataFrame):
        return table, "the table"
    path = Path(table)
    if path.suffix == ".parquet":
        names = pq.read_schema(path).names
        rows = _read_file(path, columns=[name for name in names if name != "landmarks"])
    else:
        names = list(_read_file(path, nrows=0))
        rows = _read_file(path, usecols=lambda name: name != "landmarks")
    names = [name for name in names if name in rows or name == "landmarks"]
    return rows.assign(landmarks=None)[names], str(path)


def _kind(column: pd.Series) -> str:
    values = column.dropna()
    if column.name == "landmarks":
        return "other"
    if column.name in _NUMBERS or (types.is_numeric_dtype(values) and not types.is_bool_dtype(values) and len(values)):
        return "text" if column.name == "id" else "number"
    return "text" if len(values) and types.is_string_dtype(values) else "other"


def _filterable(column: pd.Series) -> bool:
    values = column.dropna()
    if column.name in _NOT_FILTERED:
        return False
    if types.is_numeric_dtype(values) and not types.is_bool_dtype(values) and column.name != "subject":
        values = values.unique()
        return 0 < len(values) <= MAX_NUMBERS and bool((values == np.floor(values)).all())
    if not (types.is_bool_dtype(values) or types.is_string_dtype(values)):
        return False
    values = values.astype(str).unique()
    return 0 < len(values) <= MAX_CHOICES and max(map(len, values)) <= MAX_CHOICES


def _choice(value: Any) -> str:
    """A value to filter by: a whole number reads the same beside empty cells, which make it a float."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _plain(value: Any) -> Any:
    """What JSON does not know: arrays become lists, all else text."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _cells(connection: Connection, of_rows: list[tuple[int, dict[str, str]]]) -> list[int]:
    """Numbers of the cells of rows, by places and values; new ones are made."""
    by_key = {json.dumps(cell): cell for cell in of_rows}
    number = dict(connection.execute(select(cells.c.key, cells.c.number)).all())
    new_cells, new_facets = [], []
    for key in [key for key in by_key if key not in number]:
        wanted, values = by_key[key]
        number[key] = len(number) + 1
        new_cells.append({"number": number[key], "places": wanted, "key": key})
        new_facets += [{"name": name, "value": value, "cell": number[key]} for name, value in values.items()]
    _insert(connection, cells, new_cells)
    _insert(connection, facets, new_facets)
    _insert(connection, pools, [{"cell": cell["number"], "holders": "", "n": 0} for cell in new_cells])
    return [number[json.dumps(cell)] for cell in of_rows]


def _insert(connection: Connection, table: SQLTable, rows: list[dict[str, Any]]) -> None:
    if rows:
        # Where something is to be returned, PostgreSQL gets many rows in one statement, else one by one.
        connection.execute(insert(table).returning(literal(1)), rows)
