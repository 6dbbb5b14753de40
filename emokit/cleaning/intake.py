"""Queue tables into a project and out again, all their columns kept."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types
from sqlalchemy import Connection, func, insert, select

from emokit.cleaning.assignment import places, refresh
from emokit.cleaning.schema import cells, columns, contents, facets, items
from emokit.data.tables import BOX, Table, _read_file, read_table

CHUNK = 5000
MAX_CHOICES = 100  # values, and characters of each, of a column that can be filtered by
_NOT_FILTERED = ("id", "image", "landmarks", *BOX)


def survey(table: Table) -> pd.DataFrame:
    """``name``, ``kind`` and ``filterable`` of every column; labels are checked before anything is written.

    Raises
    ------
    ValueError
        Valence or arousal is no number in [-1, 1]; the message names table and row.
    """
    name = "the queue" if isinstance(table, pd.DataFrame) else str(table)
    # Landmarks are most of a table; they are read with the rows.
    rows, landmarks = _without_landmarks(table)
    for target in ("valence", "arousal"):
        if target in rows:
            numbers = pd.to_numeric(rows[target], errors="coerce")
            wrong = rows[target].notna() & ~numbers.between(-1, 1)
            if wrong.any():
                row = int(wrong.argmax())
                raise ValueError(
                    f"{name}, row {row}: {target} is {rows[target].iloc[row]!r}, no number in [-1, 1]; rescale the "
                    "column, and leave empty what is not labelled"
                )
    about = [(str(column), _kind(rows[column]), _filterable(rows[column])) for column in rows]
    if landmarks:
        about.append(("landmarks", "other", False))
    return pd.DataFrame(about, columns=["name", "kind", "filterable"])


def register(connection: Connection, about: pd.DataFrame) -> None:
    """Keep columns that the project did not have."""
    known = set(connection.scalars(select(columns.c.name)))
    new = [dict(zip(about.columns, row, strict=True)) for row in about.itertuples(index=False) if row.name not in known]
    if new:
        connection.execute(insert(columns), new)


def add_rows(connection: Connection, rows: pd.DataFrame, overlap: float, annotators_per_item: int) -> int:
    """Add a chunk as `read_table` gives it; ids already there are left as they are."""
    ids = rows["id"].astype(str)
    known = set(connection.scalars(select(items.c.id).where(items.c.id.in_(ids.tolist()))))
    rows = rows.assign(id=ids)[~ids.isin(known).to_numpy()]
    if rows.empty:
        return 0
    first = (connection.scalar(select(func.max(items.c.position))) or 0) + 1
    filtered = connection.scalars(select(columns.c.name).where(columns.c.filterable).order_by(columns.c.number)).all()
    filtered = [name for name in filtered if name in rows]
    landmarks = rows.pop("landmarks") if "landmarks" in rows else [None] * len(rows)
    records = [{k: _plain(v) for k, v in row.items()} for row in rows.to_dict("records")]
    number_of = _cells(connection, records, filtered, overlap, annotators_per_item)
    new_items, new_contents = [], []
    for position, (record, cell, points) in enumerate(zip(records, number_of, landmarks, strict=True), first):
        label = {name: record.get(name) for name in ("expression", "valence", "arousal")}
        new_items.append({"position": position, "id": record["id"], "cell": cell, "holders": "", "open": True} | label)
        blob = None if points is None else np.asarray(points, dtype="<f4").tobytes()
        new_contents.append({"position": position, "row": json.dumps(record), "landmarks": blob})
    connection.execute(insert(items), new_items)
    connection.execute(insert(contents), new_contents)
    refresh(connection, Counter((cell, "") for cell in number_of))
    return len(rows)


def read_rows(connection: Connection, ids: list[str], folder: Path | None, made_in: Path | None) -> pd.DataFrame:
    """Rows of ``ids`` as they were added."""
    found = {}
    rows = select(items.c.id, contents.c.row, contents.c.landmarks).join(
        contents, contents.c.position == items.c.position
    )
    for start in range(0, len(ids), CHUNK):
        for row in connection.execute(rows.where(items.c.id.in_(ids[start : start + CHUNK]))):
            found[row.id] = json.loads(row.row)
            if row.landmarks is not None:
                found[row.id]["landmarks"] = np.frombuffer(row.landmarks, dtype="<f4").astype(np.float32)
    missing = [item for item in ids if item not in found]
    if missing:
        raise ValueError(f"the project has no item {missing[0]!r}; add() it, or see whether ids have changed")
    table = pd.DataFrame([found[item] for item in ids])
    about = connection.execute(select(columns.c.name, columns.c.kind).order_by(columns.c.number)).all()
    table = table.reindex(columns=[name for name, _ in about])
    for name, kind in about:
        if kind == "number":
            table[name] = pd.to_numeric(table[name])
        elif kind == "text":
            table[name] = table[name].astype("str")
    if "landmarks" in table:
        cells = [None if not isinstance(cell, np.ndarray) else cell for cell in table["landmarks"]]
        table["landmarks"] = pd.Series(cells, index=table.index, dtype=object)
    if "image" in table and folder != made_in:
        table["image"] = [_moved(image, made_in, folder) for image in table["image"]]
    return table


def _moved(image: str, old: Path, new: Path) -> str:
    """Where an image is now, if it lay beside the project and has moved with it."""
    path = Path(image)
    if path.is_relative_to(old) and not path.exists() and (there := new / path.relative_to(old)).exists():
        return str(there)
    return image


def _without_landmarks(table: Table) -> tuple[pd.DataFrame, bool]:
    if isinstance(table, pd.DataFrame):
        table = read_table(table.drop(columns="landmarks", errors="ignore")), "landmarks" in table
        return table
    path = Path(table)
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        names = pq.read_schema(path).names
        return _read_file(path, columns=[n for n in names if n != "landmarks"]), "landmarks" in names
    rows = _read_file(path, usecols=lambda name: name != "landmarks")
    return rows, "landmarks" in _read_file(path, nrows=0)


def _kind(column: pd.Series) -> str:
    if types.is_bool_dtype(column):
        return "other"
    if types.is_numeric_dtype(column) and column.name != "id":
        return "number"
    return "text" if column.name == "id" or types.is_string_dtype(column.dropna()) else "other"


def _filterable(column: pd.Series) -> bool:
    values = column.dropna()
    if column.name in _NOT_FILTERED or not (types.is_bool_dtype(values) or types.is_string_dtype(values)):
        return False
    values = values.astype(str).unique()
    return 0 < len(values) <= MAX_CHOICES and max(map(len, values)) <= MAX_CHOICES


def _plain(value: Any) -> Any:
    """A cell as JSON has it; empty ones are None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(v) for v in value]
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    return value if isinstance(value, str | int | float | bool) else str(value)


def _cells(
    connection: Connection, records: list[dict], filtered: list[str], overlap: float, annotators_per_item: int
) -> list[int]:
    """Number of the cell of every record; new cells are made."""
    of_record, values_of = [], {}
    for record in records:
        values = {name: str(record[name]) for name in filtered if record[name] is not None}
        wanted = places(record["id"], overlap, annotators_per_item)
        key = json.dumps([wanted, values])
        of_record.append(key)
        values_of[key] = wanted, values
    numbers = dict(connection.execute(select(cells.c.key, cells.c.number)).all())
    new = [key for key in values_of if key not in numbers]
    for number, key in enumerate(new, max(numbers.values(), default=0) + 1):
        wanted, values = values_of[key]
        numbers[key] = number
        connection.execute(insert(cells), {"number": number, "places": wanted, "key": key})
        if values:
            connection.execute(insert(facets), [{"name": n, "value": v, "cell": number} for n, v in values.items()])
    return [numbers[key] for key in of_record]
