"""Pictures in, predictions table out (paper, Fig. 2)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn
from tqdm.auto import tqdm

from emokit.data.images import Picture
from emokit.data.tables import read_table
from emokit.inference.faces import CascadeDetector, Detector
from emokit.inference.modes import evaluating
from emokit.inference.prepare import faces_together, ready
from emokit.inference.reading import (
    Face,
    Source,
    check,
    check_count,
    input_size,
    open_faces,
    picture_name,
    read_faces,
    table_sources,
)

# Detected faces wait for a full batch with the part of their photograph around them; a batch
# of enormous faces goes early.
_MAX_WAITING_BYTES = 256 * 2**20


def predict(
    images: Picture | Iterable[Picture] | pd.DataFrame,
    model: nn.Module,
    detector: Detector | None = None,
    *,
    batch_size: int | None = None,
    flip: bool = False,
    on_error: str = "raise",
    progress: bool = True,
) -> pd.DataFrame:
    """Landmarks, expression, valence and arousal of every face in ``images``.

    A detector's box is only a start: the network finds the landmarks in its crop, and reads
    the face again from the tight crop around them, as in the paper's pipeline. Faces whose
    box or landmarks a samples table knows are read once.

    Parameters
    ----------
    images : path, array, PIL image, an iterable of them, or a samples table
        A table is a DataFrame or the path of a ``.csv`` or ``.parquet`` file with columns
        ``id`` and ``image``; each row is one face: the one at its box or landmarks where it
        has them, otherwise the largest that the detector finds.
    model : EmoFAN or ResNet18
        `prepare` makes it ready for the device it is on; what it gives with other options goes
        here too, as does any module with ``expressions`` that returns an `AffectOutput`.
    detector : Detector, optional
        `CascadeDetector` by default.
    batch_size : int, optional
        Faces that go through the network together; by default as many as suit the device: its memory on
        a GPU, its cache and cores on a processor.
    flip : bool
        Average valence and arousal over the face and its mirror image, as the paper's test
        script does; expression and landmarks stay those of the face. Takes twice the time.
    on_error : {"raise", "skip"}
        With "skip", pictures that cannot be read or rows whose box is no box are left out
        with a warning; ``attrs["skipped"]`` of the result lists them.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        One row per face: ``id``; ``image`` (its path, or "image 0" for pictures in memory);
        ``face`` (number within the picture); ``x0 y0 x1 y1`` (the box read, pixels);
        ``score`` (the detector's; NaN without one); ``expression`` and ``p_<class>``
        (probabilities); ``valence`` and ``arousal`` clipped to [-1, 1]; ``landmarks`` (136
        numbers x, y, … in pixels of the upright picture, or None; `landmarks_of` makes an
        array of them) and ``confidence`` (mean height of the 68 peaks, in [0, 1]). Pictures
        without a face have no row; a warning names them.

    Raises
    ------
    ImageError
        A picture cannot be read; the message names it.
    ValueError
        ``images`` is no picture, list or table, a table's row has no usable box, or ``batch_size`` is
        no number of faces.
    """
    check(model, on_error)
    if batch_size is not None:
        check_count("batch_size", batch_size)
    detector = detector or CascadeDetector()
    sources, total = _sources(images)
    skipped: dict[str, str] = {}
    empty: list[str] = []
    tables: list[pd.DataFrame] = []
    network = ready(model)
    with evaluating(model):
        bar = tqdm(sources, "faces", total, disable=not progress or total == 1, leave=False)
        opened = open_faces(bar, detector, input_size(model), on_error, skipped, empty)
        for faces in _ahead(_batches(opened, batch_size or faces_together(network))):
            tables.append(read_faces(faces, network, flip))
    if empty:
        warnings.warn(f"no face found in {_some(empty)}; pass a box, or another detector", stacklevel=2)
    if skipped:
        warnings.warn(f"skipped {_some([f'{k}: {v}' for k, v in skipped.items()])}", stacklevel=2)
    table = pd.concat(tables or [read_faces([], model, flip)], ignore_index=True)
    table.attrs["skipped"] = skipped
    return table


def _sources(images: object) -> tuple[Iterator[Source], int | None]:
    """Pictures to open one at a time, and how many where that is known."""
    if isinstance(images, str | os.PathLike) and Path(images).suffix in (".csv", ".parquet"):
        images = read_table(images)
    if isinstance(images, pd.DataFrame):
        return table_sources(read_table(images)), len(images)
    # PIL images and open files are single pictures, whatever iterating over them gives.
    single = any(hasattr(images, name) for name in ("convert", "read", "__fspath__")) or isinstance(images, str)
    if single or not isinstance(images, Iterable) or (isinstance(images, np.ndarray) and images.ndim < 4):
        images = [images]
    total = len(images) if hasattr(images, "__len__") else None
    return (Source(picture_name(picture, i), picture) for i, picture in enumerate(images)), total


def _batches(faces: Iterable[Face], batch_size: int) -> Iterator[list[Face]]:
    waiting: list[Face] = []
    for face in faces:
        waiting.append(face)
        if len(waiting) == batch_size or sum(f.pixels.nbytes for f in waiting) > _MAX_WAITING_BYTES:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _ahead(batches: Iterator[list[Face]]) -> Iterator[list[Face]]:
    """``batches``, the next one opened while the network reads the last."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while (faces := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield faces


def _some(names: list[str]) -> str:
    """Up to five names, and how many more."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
