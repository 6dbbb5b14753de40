"""Predictions of a table of any length: in chunks, by one process or several, resumed where they stopped."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import lightning
import pandas as pd
import pyarrow as pa
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from emokit.data.tables import BOX, Chunks, Table, read_table
from emokit.inference.faces import CascadeDetector, Detector, described
from emokit.inference.folder import ChunkFolder
from emokit.inference.landmarks import fingerprint, network_fingerprint
from emokit.inference.modes import evaluating
from emokit.inference.prepare import faces_together, ready
from emokit.inference.quiet import interruptible, quiet
from emokit.inference.reading import Face, Source, check, check_count, input_size, open_faces, read_faces, table_sources


def predict_table(
    samples: Table,
    model: nn.Module,
    out: str | os.PathLike,
    detector: Detector | None = None,
    *,
    chunk: int = 2048,
    batch_size: int | None = None,
    workers: int = 0,
    flip: bool = False,
    precision: str = "32-true",
    on_error: str = "raise",
    progress: bool = True,
) -> Path:
    """What `predict` says of every row of ``samples``, written to disk chunk by chunk.

    The same call goes on where an earlier one was stopped or killed; only the chunks in hand
    are read again. Under ``torchrun`` each process takes every n-th chunk, on a GPU of its own
    where there are any. Memory does not grow with the table, if that is a file.

    Parameters
    ----------
    samples : path or DataFrame
        With ``id`` and ``image``; each row is one face, as in `predict`.
    model : EmoFAN or ResNet18
        Lightning chooses the device.
    out : path
        Ends in ``.parquet``: a folder that `read_table`, pandas and others read as one table,
        rows in the order of ``samples``. Until it is whole, it is called
        ``<out>.unfinished``. Its ``_skipped.csv`` has id, image and problem of every row that
        has no prediction.
    detector : Detector, optional
        For rows without box and landmarks; `CascadeDetector` by default.
    chunk : int
        Rows of one file of ``out``.
    batch_size : int, optional
        Rows that go through the network together; by default as in `predict`.
    workers : int
        Further processes that open pictures and look for faces; a GPU waits without them.
    flip : bool
        As in `predict`.
    precision : str
        Lightning's name: "bf16-mixed" is faster where the hardware has it.
    on_error : {"raise", "skip"}
        What to do with pictures that cannot be read and boxes that are none. Rows in which the
        detector finds no face are skipped in both cases.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Path
        ``out``. Where several processes work, it is there when the last of them is done.

    Raises
    ------
    ImageError
        A picture cannot be read; the message names it. Chunks before it are kept.
    ValueError
        ``out`` belongs to another table, network or option, or has another suffix; or
        ``samples`` is no samples table.
    """
    check(model, on_error)
    out, detector = Path(out), detector or CascadeDetector()
    if batch_size is not None:
        check_count("batch_size", batch_size)
    chunks = Chunks(samples, chunk)
    about = {
        "table": _table_fingerprint(samples),
        "network": network_fingerprint(model),
        "detector": described(detector),
        "chunk": chunk,
        "flip": flip,
        "precision": precision,
    }
    folder = ChunkFolder(out, chunks, about)
    if folder.finished:
        return out
    opener = _Opener(detector, input_size(model), on_error)
    device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
    try:
        with quiet(), interruptible(), evaluating(model):
            trainer = _trainer(precision)
            numbers = set(range(trainer.global_rank, len(chunks), trainer.world_size)) - folder.done()
            network = ready(model, trainer.strategy.root_device)
            rows = _batches(chunks, numbers, batch_size or faces_together(network))
            # As an iterator, because Lightning would put its own sampler into a loader.
            batches = iter(DataLoader(opener, batch_size=None, sampler=rows, num_workers=workers))
            with _progress_bar(folder, progress and trainer.is_global_zero) as bar:
                trainer.callbacks.append(_Parts(folder, _schema(model.expressions), bar))
                trainer.predict(_Reader(network, flip), batches, return_predictions=False)
    finally:
        model.to(device)
    folder.finish()
    return out


def _trainer(precision: str) -> lightning.Trainer:
    return lightning.Trainer(
        devices=int(os.environ.get("LOCAL_WORLD_SIZE", 1)),
        num_nodes=int(os.environ.get("GROUP_WORLD_SIZE", 1)),
        strategy="ddp" if int(os.environ.get("WORLD_SIZE", 1)) > 1 else "auto",
        precision=precision,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _progress_bar(folder: ChunkFolder, shown: bool) -> tqdm:
    """Counts what earlier calls have done, but not for the rate and the time left."""
    return tqdm(desc="faces", total=folder.chunks.rows, initial=folder.rows_done(), unit=" faces", disable=not shown)


class _Rows(NamedTuple):
    """Rows of one chunk that go through the network together."""

    chunk: int
    sources: list[Source]
    last: bool


@dataclass
class _Batch:
    """As many ``rows`` opened: ``faces``, and ``skipped`` for rows without one."""

    chunk: int
    rows: int
    faces: list[Face]
    skipped: list[dict[str, str]]
    last: bool


def _batches(chunks: Chunks, numbers: set[int], batch_size: int) -> Iterator[_Rows]:
    for number, rows in chunks.read(numbers):
        sources = list(table_sources(rows, number * chunks.size))
        for first in range(0, max(1, len(sources)), batch_size):
            last = first + batch_size >= len(sources)
            yield _Rows(number, sources[first : first + batch_size], last)


class _Opener(Dataset):
    """Rows to faces, in the loader's processes."""

    def __init__(self, detector: Detector, size: int, on_error: str) -> None:
        self.detector, self.size, self.on_error = detector, size, on_error

    def __getitem__(self, rows: _Rows) -> _Batch | ValueError:
        problems: dict[str, str] = {}
        try:
            faces = list(open_faces(rows.sources, self.detector, self.size, self.on_error, problems, []))
        except ValueError as error:
            return error  # raised later, because loaders put a traceback into what their processes raise
        found = {face.id for face in faces}
        skipped = [
            {"id": str(row.id), "image": row.name, "problem": problems.get(str(row.id), "no face found")}
            for row in rows.sources
            if row.id not in found
        ]
        return _Batch(rows.chunk, len(rows.sources), faces, skipped, rows.last)


class _Reader(lightning.LightningModule):
    """Faces to rows of the predictions table."""

    def __init__(self, model: nn.Module, flip: bool) -> None:
        super().__init__()
        self.model, self.flip = model, flip

    def predict_step(self, batch: _Batch | ValueError) -> pd.DataFrame:
        if isinstance(batch, ValueError):
            raise batch
        return read_faces(batch.faces, self.model, self.flip)


class _Parts(Callback):
    """Batches put together to chunks on disk."""

    def __init__(self, folder: ChunkFolder, schema: pa.Schema, bar: tqdm) -> None:
        self.folder, self.schema, self.bar = folder, schema, bar
        self.tables: list[pa.Table] = []
        self.skipped: list[dict[str, str]] = []

    def on_predict_batch_end(
        self,
        trainer: lightning.Trainer,
        module: lightning.LightningModule,
        outputs: pd.DataFrame,
        batch: _Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.tables.append(pa.Table.from_pandas(outputs, self.schema, preserve_index=False))
        self.skipped += batch.skipped
        self.bar.update(batch.rows)
        if batch.last:
            self.folder.write(batch.chunk, pa.concat_tables(self.tables), self.skipped)
            self.tables, self.skipped = [], []
            # Other processes' chunks count too.
            self.bar.update(max(0, self.folder.rows_done() - self.bar.n))


def _schema(expressions: tuple[str, ...]) -> pa.Schema:
    """Of a predictions table, so that chunks without a face or without landmarks have it too."""
    text, double, single = pa.string(), pa.float64(), pa.float32()
    return pa.schema(
        [
            ("id", text),
            ("image", text),
            ("face", pa.int64()),
            *((name, double) for name in (*BOX, "score")),
            ("expression", text),
            *((f"p_{name}", single) for name in expressions),
            ("valence", single),
            ("arousal", single),
            ("landmarks", pa.list_(single)),
            ("confidence", single),
        ]
    )


def _table_fingerprint(samples: Table) -> str:
    if isinstance(samples, pd.DataFrame):
        return fingerprint(read_table(samples), "", sizes=False)
    with open(samples, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
