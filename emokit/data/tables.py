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
from collections.abc import Container, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from emokit.whole import whole

BOX = ["x0", "y0", "x1", "y1"]
Table = pd.DataFrame | str | os.PathLike
_AS_TEXT = {"id": str}  # ids of CSV, else 007 would be 7


def read_table(table: Table) -> pd.DataFrame:
    """A table of faces; paths in ``image`` become absolute, landmarks arrays, and ids of CSV are text.

    Raises
    ------
    ValueError
        The file is neither CSV nor Parquet or cannot be read, ``id`` is missing, empty or
        repeated, or a cell of ``landmarks`` is not 136 numbers. The message names file and row.
    """
    path = None if isinstance(table, pd.DataFrame) else Path(table)
    faces = table.copy() if path is None else _read_file(path)
    _check_ids(faces, path)
    return _as_faces(faces, path)


class Chunks:
    """A table of faces, ``size`` rows at a time; of a file, only these are in memory, and at first all ids.

    Parameters
    ----------
    table : DataFrame or path
    size : int

    Raises
    ------
    ValueError
        As `read_table`: at once for the file and its ids, while reading for landmarks.
    """

    def __init__(self, table: Table, size: int) -> None:
        if size < 1:
            raise ValueError(f"a chunk has at least one row, got {size}")
        self.size = size
        self._table = read_table(table) if isinstance(table, pd.DataFrame) else Path(table)
        if isinstance(self._table, Path):
            csv = self._table.suffix == ".csv"
            ids = _read_file(self._table, **({"usecols": ["id"]} if csv else {"columns": ["id"]}))
            _check_ids(ids, self._table)
        else:
            ids = self._table
        self.rows = len(ids)

    def __len__(self) -> int:
        """Number of chunks; an empty table has one."""
        return max(1, -(-self.rows // self.size))

    def length(self, number: int) -> int:
        """Rows of a chunk."""
        return min(self.size, self.rows - number * self.size)

    def read(self, numbers: Container[int]) -> Iterator[tuple[int, pd.DataFrame]]:
        """Chunks of these ``numbers``, from 0, with their rows as `read_table` gives them."""
        path = self._table if isinstance(self._table, Path) else None
        for number, faces in enumerate(self._all()):
            if number in numbers:
                yield number, _as_faces(faces, path, number * self.size)

    def _all(self) -> Iterator[pd.DataFrame]:
        if isinstance(self._table, pd.DataFrame):
            for number in range(len(self)):
                yield self._table.iloc[number * self.size :][: self.size].copy()
            return
        with _named_errors(self._table):
            if self._table.suffix == ".csv":
                yield from pd.read_csv(self._table, chunksize=self.size, dtype=_AS_TEXT)
                return
            # Pages, because pyarrow would otherwise take in whole row groups.
            with pq.ParquetFile(self._table, buffer_size=2**20, pre_buffer=False) as file:
                empty = [] if self.rows else [file.schema_arrow.empty_table()]
                for rows in chain(file.iter_batches(self.size), empty):
                    yield rows.to_pandas()


def write_table(table: pd.DataFrame, path: str | os.PathLike) -> None:
    """Write ``table`` to a ``.csv`` or ``.parquet`` file that `read_table` reads back.

    Raises
    ------
    ValueError
        Another suffix.
    """
    path = Path(path)
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"{path} ends in neither .csv nor .parquet; choose one of them")
    with whole(path) as beside:
        if path.suffix == ".parquet":
            table.to_parquet(beside, index=False)
            return
        if "landmarks" in table:
            table = table.assign(landmarks=[_to_text(cell) for cell in table["landmarks"]])
        table.to_csv(beside, index=False)


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


def _check_ids(faces: pd.DataFrame, path: Path | None) -> None:
    where = path or "the table"
    if "id" not in faces:
        raise ValueError(f"{where} has no column 'id'; it has {', '.join(map(str, faces.columns))}")
    for problem, rows in (("an empty", faces["id"].isna()), ("a repeated", faces["id"].duplicated())):
        if rows.any():
            row = int(np.argmax(rows))
            cell = faces["id"].astype(object).iloc[row]
            raise ValueError(f"{where}, row {row}: {problem} id ({cell!r}); ids are unique, and NA is none")


def _as_faces(faces: pd.DataFrame, path: Path | None, first: int = 0) -> pd.DataFrame:
    """Absolute paths and arrays of landmarks in ``faces``, rows of ``path`` from ``first`` on."""
    if path is not None and "image" in faces:
        folder = path.parent.absolute()
        faces["image"] = [None if pd.isna(p) else str(folder / str(p)) for p in faces["image"]]
    if "landmarks" in faces:
        where = path or "the table"
        faces["landmarks"] = pd.Series(
            [_to_points(cell, where, row) for row, cell in enumerate(faces["landmarks"], first)],
            index=faces.index,
            dtype=object,
        )
    return faces


def _read_file(path: Path, **options: Any) -> pd.DataFrame:
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    if path.suffix not in readers:
        raise ValueError(f"{path} is neither .csv nor .parquet; convert it to one of them")
    if path.suffix == ".csv":
        options["dtype"] = _AS_TEXT
    with _named_errors(path):
        return readers[path.suffix](path, **options)


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
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
