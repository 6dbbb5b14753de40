"""What memory a prediction needs by the length of its table: python -m emokit.inference.memory 1000 50000"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

from emokit.data.rendered import sample_faces
from emokit.data.tables import write_table
from emokit.inference.stream import predict_table
from emokit.models.emofan import EmoFAN


def peak_memory(rows: Sequence[int]) -> pd.DataFrame:
    """Peak memory of `predict_table` on tables of so many ``rows``; not on Windows.

    The shipped rendered faces come again and again under new ids, and go through a small EmoFAN
    on 64×64 pixels. Tables are Parquet files of a single row group.

    Returns
    -------
    DataFrame
        Columns ``rows``, ``MiB`` and ``faces/s``.
    """
    found = []
    # A process's peak never falls, so each step has a new one.
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as fresh,
    ):
        for n in rows:
            table = Path(folder) / f"{n}.parquet"
            fresh.submit(_repeat, n, table).result()
            found.append({"rows": n, **fresh.submit(_measure, n, table).result()})
    return pd.DataFrame(found)


def _repeat(n: int, path: Path) -> None:
    faces = sample_faces()
    faces = faces.iloc[[k % len(faces) for k in range(n)]].assign(id=[f"{k:09}" for k in range(n)])
    write_table(faces, path)


def _measure(n: int, path: Path) -> dict[str, float]:
    start = time.perf_counter()
    predict_table(path, EmoFAN(width=16, input_size=64), path.with_suffix(".out.parquet"))
    seconds = time.perf_counter() - start
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return {"MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, "faces/s": n / seconds}


if __name__ == "__main__":
    print(peak_memory([int(n) for n in sys.argv[1:]]).round(1).to_string(index=False))
