"""Seconds and memory that a CSV of AffectNet's size takes to read: ``python -m emokit.data.affectnet_bench``."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from emokit.data.affectnet import read_affectnet
from emokit.data.affectnet_layouts import COLUMNS


def write_faces(path: str | os.PathLike, n: int, seed: int = 0) -> None:
    """A ``training.csv`` of ``n`` labelled faces, each with landmarks of one of 500 and no picture."""
    rng = np.random.default_rng(seed)
    points = [";".join(f"{v:.2f}" for v in face) for face in rng.uniform(0, 1000, (500, 136))]
    labels = rng.uniform(-1, 1, (n, 2)).round(6)
    with open(path, "w", encoding="utf-8") as file:
        file.write(",".join(COLUMNS) + "\n")
        for k, (valence, arousal) in enumerate(labels):
            file.write(f"{k % 1000}/{k:056x}.jpg,10,12,900,900,{points[k % 500]},{k % 8},{valence},{arousal}\n")


def _peak() -> float:
    """The most memory this process has held, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m emokit.data.affectnet_bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=450_000)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "training.csv"
        write_faces(path, parser.parse_args().rows)
        before, wall, cpu = _peak(), time.perf_counter(), time.process_time()
        samples = read_affectnet(folder)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        landmarks = sum(points.nbytes for points in samples["landmarks"])
        table = (samples.memory_usage(deep=True).sum() + landmarks) / 1e6
        print(f"{len(samples):,} rows, file {path.stat().st_size / 1e6:.0f} MB")
        print(
            f"{wall:.1f} s ({cpu:.1f} s of one core), table {table:.0f} MB, peak {_peak() - before:.0f} MB above before"
        )
