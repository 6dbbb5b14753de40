"""The two tables that join everything: anyone's CSV, Parquet or DataFrame.

*Samples*, one row per face; all columns optional but ``id``: ``image`` (path, relative to the
table's file), ``x0 y0 x1 y1`` (tight box around the landmarks, pixels), ``landmarks``,
``expression`` (name), ``valence`` and ``arousal`` in [-1, 1], ``subject``, and any group
columns. *Predictions*: see `emokit.inference.predict`.

A cell of ``landmarks`` holds 136 numbers x, y, x, y, … in pixels: a float32 array in memory
and in Parquet, text ``x;y;…`` in CSV, None where there are none.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

BOX = ["x0", "y0", "x1", "y1"]
Table = pd.DataFrame | str | os.PathLike


def read_table(table: Table) -> pd.DataFrame:
    """A table of faces; paths in ``image`` become absolute, landmarks become arrays.

    Raises
    ------
    ValueError
        The file is neither CSV nor Parquet or cannot be read, ``id`` is missing, empty or
        repeated, or a cell of ``landmarks`` is not 136 numbers. The message names file and row.
    """
    if isinstance(table, pd.DataFrame):
        faces, where = table.copy(), "the table"
    else:
        path = Path(table)
        faces, where = _read_file(path), str(path)
        if "image" in faces:
            faces["image"] = [str(path.parent / p) for p in faces["image"]]
    if "id" not in faces:
        raise ValueError(f"{where} has no column 'id'; it has {', '.join(map(str, faces.columns))}")
    for problem, rows in (("an empty", faces["id"].isna()), ("a repeated", faces["id"].duplicated())):
        if rows.any():
            row = int(np.argmax(rows))
            raise ValueError(f"{where}, row {row}: {problem} id ({faces['id'].iloc[row]!r}); ids are unique")
    if "landmarks" in faces:
        faces["landmarks"] = pd.Series(
            [_to_points(cell, where, row) for row, cell in enumerate(faces["landmarks"])],
            index=faces.index,
            dtype=object,
        )
    return faces


def write_table(table: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write ``table`` to a ``.csv`` or ``.parquet`` file that `read_table` reads back.

    Raises
    ------
    ValueError
        Another suffix.
    """
    path = Path(path)
    # Written beside and moved, so that a crash leaves the old file whole.
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    if path.suffix == ".parquet":
        table.to_parquet(beside, index=False)
    elif path.suffix == ".csv":
        if "landmarks" in table:
            table = table.assign(landmarks=[_to_text(cell) for cell in table["landmarks"]])
        table.to_csv(beside, index=False)
    else:
        raise ValueError(f"{path} ends in neither .csv nor .parquet; choose one of them")
    beside.replace(path)


def landmarks_of(table: pd.DataFrame) -> NDArray[np.float64]:
    """Landmarks of every row, (n, 68, 2) in pixels; NaN where a row has none."""
    points = np.full((len(table), 68, 2), np.nan)
    for row, cell in enumerate(table["landmarks"]):
        if cell is not None:
            points[row] = np.asarray(cell, dtype=np.float64).reshape(68, 2)
    return points


def landmarks_column(points: ArrayLike) -> list[NDArray[np.float32]]:
    """Cells of the ``landmarks`` column from ``points`` (n, 68, 2)."""
    return list(np.asarray(points, dtype=np.float32).reshape(-1, 136))


def _read_file(path: Path) -> pd.DataFrame:
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    if path.suffix not in readers:
        raise ValueError(f"{path} is neither .csv nor .parquet; convert it to one of them")
    try:
        return readers[path.suffix](path)
    except FileNotFoundError:
        raise
    except (ValueError, OSError) as error:  # pandas and pyarrow raise their own kinds of these
        raise ValueError(f"{path} cannot be read as {path.suffix[1:]} ({error})") from error


def _to_points(cell: object, where: str, row: int) -> NDArray[np.float32] | None:
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return None
    try:
        values = cell.split(";") if isinstance(cell, str) else cell
        points = np.asarray(values, dtype=np.float32).ravel()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}, row {row}: landmarks are not numbers ({error})") from error
    if points.size != 136:
        raise ValueError(f"{where}, row {row}: landmarks are 136 numbers x;y;… for 68 points, got {points.size}")
    return points


def _to_text(cell: object) -> str | None:
    return None if cell is None else ";".join(f"{v:.2f}" for v in np.asarray(cell).ravel())
