"""The samples table that every data set becomes, read from and written to anyone's files.

One row per face. Columns, all optional but ``id``: ``image`` (path, relative to the table's
file), ``x0 y0 x1 y1`` (tight box around the landmarks, pixels), ``landmarks`` (136 numbers
x;y;…, pixels), ``expression`` (name), ``valence`` and ``arousal`` in [-1, 1], ``subject``,
and any group columns.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BOX = ["x0", "y0", "x1", "y1"]


def read_samples(table: pd.DataFrame | str | os.PathLike) -> pd.DataFrame:
    """A samples table from CSV, Parquet or a DataFrame; image paths become absolute.

    Raises
    ------
    ValueError
        The file is neither CSV nor Parquet, or ``id`` is missing or repeated.
    """
    if isinstance(table, pd.DataFrame):
        samples, where = table.copy(), "the table"
    else:
        path = Path(table)
        where = str(path)
        readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
        if path.suffix not in readers:
            raise ValueError(f"{path} is neither .csv nor .parquet; convert it to one of them")
        samples = readers[path.suffix](path)
        if "image" in samples:
            samples["image"] = [str(path.parent / p) for p in samples["image"]]
    if "id" not in samples:
        raise ValueError(f"{where} has no column 'id'; it has {', '.join(map(str, samples.columns))}")
    repeated = samples["id"][samples["id"].duplicated()]
    if len(repeated):
        raise ValueError(f"{where} repeats the id {repeated.iloc[0]!r} (row {repeated.index[0]}); ids are unique")
    return samples


def landmarks_to_text(landmarks: NDArray[np.float64]) -> str:
    """68 points (68, 2) as ``x;y;…`` with a hundredth of a pixel."""
    return ";".join(f"{v:.2f}" for v in np.asarray(landmarks).ravel())


def landmarks_from_text(text: str) -> NDArray[np.float64]:
    """68 points (68, 2) from ``x;y;…``."""
    values = np.array([float(v) for v in text.split(";")])
    if values.size != 136:
        raise ValueError(f"expected 136 numbers x;y;… for 68 landmarks, got {values.size}")
    return values.reshape(68, 2)
