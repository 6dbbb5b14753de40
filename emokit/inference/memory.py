"""What memory predictions need by the length of their table: python -m emokit.inference.memory 1000 50000"""

from __future__ import annotations

import argparse
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
from emokit.inference.predict import predict
from emokit.inference.stream import predict_table
from emokit.models.emofan import EmoFAN


def peak_memory(rows: Sequence[int], function: str = "predict_table") -> pd.DataFrame:
    """Peak memory of a process that reads tables of so many ``rows``; not on Windows.

    The shipped rendered faces come again and again under new ids, and go through an untrained
    EmoFAN of 16 channels on 64×64 pixels, the narrowest there is: a full one would add the same
    to the peak of every table. Tables are Parquet files of a single row group.

    Parameters
    ----------
    rows : sequence of int
    function : {"predict_table", "predict"}
        The first writes what it finds to disk; the second returns it, and grows with it.

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
            found.append({"rows": n, **fresh.submit(_measure, n, table, function).result()})
    return pd.DataFrame(found)


def _repeat(n: int, path: Path) -> None:
    faces = sample_faces()
    faces = faces.iloc[[k % len(faces) for k in range(n)]].assign(id=[f"{k:09}" for k in range(n)])
    write_table(faces, path)


def _measure(n: int, path: Path, function: str) -> dict[str, float]:
    model, start = EmoFAN(width=16, input_size=64), time.perf_counter()
    if function == "predict":
        predict(path, model)
    else:
        predict_table(path, model, path.with_suffix(".out.parquet"))
    seconds = time.perf_counter() - start
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return {"MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, "faces/s": n / seconds}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m emokit.inference.memory", description=__doc__)
    parser.add_argument("rows", type=int, nargs="+", help="of each table, such as 1000 50000")
    parser.add_argument("--function", choices=["predict_table", "predict"], default="predict_table")
    args = parser.parse_args()
    print(peak_memory(args.rows, args.function).round(1).to_string(index=False))
