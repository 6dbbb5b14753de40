"""Annotators' traces of SEWA: ratings over time."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emokit.data.problems import DataError

_MEND = "mend or leave out the recording"


def read_trace(path: str | os.PathLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times (n,) in seconds and ratings (n, annotators) of one trace file.

    A gap in an annotator's ratings is NaN.

    Raises
    ------
    DataError
        Not a table of numbers, no column of time, times that do not rise, ratings outside [-1, 1], or an
        annotator without any rating.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        separator = next((s for s in ";\t," if lines and s in lines[0]), ",")
        header = None if lines and _is_number(lines[0].split(separator)[0]) else 0
        table = pd.read_csv(path, sep=separator, header=header, encoding="utf-8-sig")
        numbers = table.apply(pd.to_numeric, errors="coerce")
        values = numbers.to_numpy(np.float64)
    except (ValueError, TypeError, OSError) as error:
        raise DataError.at(path, None, f"it is no table of numbers ({error})", _MEND) from error
    if header is not None and not re.match(r"(?i)\s*(time|t$|sec)", str(table.columns[0])):
        problem = f"the first column is {table.columns[0]!r}"
        raise DataError.at(path, None, problem, "put the time in seconds there")
    first = 0 if header is None else 1  # row numbers as an editor's lines, from 0

    def refuse(bad: NDArray[np.bool_], problem: str) -> None:
        if bad.any():
            raise DataError.at(path, int(bad.argmax()) + first, problem, _MEND)

    if values.ndim != 2 or values.shape[1] < 2 or len(values) < 2:
        needs = "it needs time and at least one annotator, and two rows"
        raise DataError.at(path, None, f"it has the shape {values.shape}", needs)
    refuse((numbers.isna() & table.notna()).any(axis=1).to_numpy(), "a cell is no number")
    time, ratings = values[:, 0], values[:, 1:]
    refuse(~np.isfinite(time), "time is no number")
    refuse(np.diff(time, prepend=-np.inf) <= 0, "time does not rise")
    refuse((np.abs(ratings) > 1).any(axis=1), "a rating is outside [-1, 1]")
    refuse(np.isnan(ratings).all(axis=1), "there is no rating")
    silent = np.isnan(ratings).all(axis=0)
    if silent.any():
        raise DataError.at(path, None, f"annotator {int(silent.argmax()) + 1} has no rating", "drop the column")
    return time, ratings


def _is_number(text: str) -> bool:
    try:
        return bool(text.strip()) and float(text) is not None
    except ValueError:
        return False
