"""AffectNet's files as they are, some thousand rows at a time, whatever the layout.

Each part is a table and its landmarks, (n, 136) float32. The table's index is the row that
messages name; columns ``image``, ``expression`` (code), ``valence`` and ``arousal``, and from CSV
the detector's box. NaN where a value is no number.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from emokit.data.problems import DataError, Problems
from emokit.data.unpickle import load_pickle

FACE = ["face_x", "face_y", "face_width", "face_height"]
COLUMNS = ["subDirectory_filePath", *FACE, "facial_landmarks", "expression", "valence", "arousal"]
Part = tuple[pd.DataFrame, NDArray[np.float32]]
_BLOCK = 2 * 2**20  # bytes of CSV at a time, some 2,000 rows
_CHUNK = 20_000
_PART = re.compile(r"(.+)_(?:exp|val|aro|lnd)\.npy")


def read_csv(path: Path, problems: Problems) -> Iterator[Part]:
    """Of ``training.csv`` or ``validation.csv``."""
    folder = path.parent / "Manually_Annotated_Images"
    folder = folder if folder.is_dir() else path.parent
    try:
        for rows, batch in _batches(path, problems):
            names = batch["subDirectory_filePath"].to_pylist()
            columns = {
                "image": [os.path.join(folder, name) if name else "" for name in names],
                **{name: _numbers(batch[name]) for name in (*FACE, "expression", "valence", "arousal")},
            }
            yield pd.DataFrame(columns, index=rows), _landmarks(batch["facial_landmarks"])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read ({error}); it needs the columns {', '.join(COLUMNS)}") from error


def _batches(path: Path, problems: Problems) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
    """Rows of the file, from 0, that have all cells, and these as text; the other rows are reported."""
    uneven: list[csv.InvalidRow] = []

    def note(row: csv.InvalidRow) -> str:
        uneven.append(row)
        return "skip"

    reader = csv.open_csv(
        path,
        # One thread, else pyarrow does not number the rows it skips.
        csv.ReadOptions(use_threads=False, block_size=_BLOCK),
        csv.ParseOptions(invalid_row_handler=note),
        csv.ConvertOptions(include_columns=COLUMNS, column_types=dict.fromkeys(COLUMNS, pa.string())),
    )
    reported, first = 0, 0
    while True:
        batch = next(reader, None)
        for row in uneven[reported:]:
            _refuse_open_quote(path, row.number - 2, "\n" in row.text)
            problems.add(path, row.number - 2, f"it has {row.actual_columns} cells, the header {row.expected_columns}")
        reported = len(uneven)
        if batch is None:
            return
        rows = np.arange(first, first + len(batch) + len(uneven))
        rows = rows[~np.isin(rows, [row.number - 2 for row in uneven])][: len(batch)]
        for name in COLUMNS if len(rows) else ():
            over = pc.index(pc.match_substring(batch[name], "\n"), True).as_py()
            _refuse_open_quote(path, rows[over], over >= 0)
        if len(rows):
            first = rows[-1] + 1
            yield rows, batch


def _refuse_open_quote(path: Path, row: int, found: bool) -> None:
    # Not to be skipped as one row: nobody knows how many lines it has taken in.
    if found:
        raise DataError(f"{path}, row {row}: a cell runs over several lines, because a quote stays open; close it")


def _numbers(cells: pa.StringArray) -> NDArray[np.float64]:
    try:
        return pc.cast(cells, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return pd.to_numeric(pd.Series(cells.to_pylist(), dtype=object), errors="coerce").to_numpy(np.float64)


def _landmarks(cells: pa.StringArray) -> NDArray[np.float32]:
    """(n, 136) from ``x;y;…``: all at once, and one by one only where that fails."""
    points = np.full((len(cells), 136), np.nan, np.float32)
    parts = pc.split_pattern(cells, ";")
    whole = pc.list_value_length(parts).to_numpy() == 136
    try:
        texts = (parts if whole.all() else parts.filter(pa.array(whole))).flatten()
        points[whole] = pc.cast(texts, pa.float32()).to_numpy().reshape(-1, 136)
    except pa.ArrowInvalid:
        for row in np.flatnonzero(whole):
            try:
                with np.errstate(over="ignore"):  # infinite landmarks are reported
                    points[row] = [float(text) for text in parts[row].as_py()]
            except ValueError:
                points[row] = np.nan
    return points


def read_npy(path: Path, problems: Problems) -> Iterator[Part]:
    """Of ``train_set`` or ``val_set``."""
    # Whatever is left of a face names it, so that none vanishes with a file of it.
    parts = (_PART.fullmatch(name) for name in os.listdir(path / "annotations"))
    found = {part[1] for part in parts if part} | {p.stem for p in (path / "images").glob("*.jpg")}
    names = sorted((name for name in found if name[0] != "."), key=lambda name: (len(name), name))
    for start in range(0, len(names), _CHUNK):
        rows = {}
        for name in names[start : start + _CHUNK]:
            values = {}
            for key, part in (("expression", "exp"), ("valence", "val"), ("arousal", "aro"), ("landmarks", "lnd")):
                file = path / "annotations" / f"{name}_{part}.npy"
                try:
                    values[key] = np.asarray(np.load(file, allow_pickle=False), dtype=np.float64).ravel()
                except FileNotFoundError:
                    problems.add(file, name, "the file is missing")
                    break
                except Exception as error:  # a damaged header fails in any of many ways
                    problems.add(file, name, f"cannot be read ({error})")
                    break
            else:
                rows[name] = {"image": str(path / "images" / f"{name}.jpg"), **_labels(values)}
        if rows:
            yield _part(rows)


def read_pickle(path: Path, problems: Problems) -> Iterator[Part]:
    """Of ``{subset}_fullpath.pkl``."""
    listed = load_pickle(path)
    if not isinstance(listed, dict):
        raise DataError(f"{path} holds a {type(listed).__name__}, not a dict of file name to labels")
    keys = {"expression": "expression", "valence": "valence", "arousal": "arousal", "landmarks": "landmarks_fan"}
    rows = {}
    for name, face in listed.items():
        if name == "folder":
            continue
        try:
            correct = bool(face.get("expression_correct", True))
            values = {key: np.asarray(face[of], dtype=np.float64).ravel() for key, of in keys.items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problems.add(path, name, f"expression, valence, arousal and landmarks_fan are not all there ({error!r})")
            continue
        if correct:
            rows[name] = {"image": str(path.parent / str(name)), **_labels(values)}
    if rows:
        yield _part(rows)


def _part(rows: dict[object, dict]) -> Part:
    index = pd.Index(list(rows), dtype=object, tupleize_cols=False)  # a list's keys may be anything
    table = pd.DataFrame(list(rows.values()), index=index)
    return table, np.stack(table.pop("landmarks").to_list())


def _labels(values: dict[str, NDArray]) -> dict[str, object]:
    numbers = {k: values[k][0] if values[k].size == 1 else np.nan for k in ("expression", "valence", "arousal")}
    with np.errstate(over="ignore"):  # infinite landmarks are reported
        points = values["landmarks"].astype(np.float32)
    return {**numbers, "landmarks": points if points.size == 136 else np.full(136, np.nan, np.float32)}
