"""A table as a folder of Parquet files, one per chunk: whole at any moment a process may be killed."""

from __future__ import annotations

import json
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from emokit.data.tables import Chunks, write_table
from emokit.whole import whole, write_json


class ChunkFolder:
    """Predictions of ``chunks`` in the folder ``<out>.unfinished``, and in ``out`` once they are whole.

    Several processes may write to it, each its own chunks.

    Parameters
    ----------
    out : path
        Ends in ``.parquet``.
    chunks : Chunks
    about : dict
        What the predictions follow from, as JSON can hold it; a folder of another is refused.

    Raises
    ------
    ValueError
        ``out`` has another suffix, or it or its folder belongs to something else.
    """

    def __init__(self, out: Path, chunks: Chunks, about: dict[str, Any]) -> None:
        if out.suffix != ".parquet":
            raise ValueError(f"{out} does not end in .parquet; rename it")
        self.out, self.chunks, self.about = out, chunks, about
        self.folder = out.with_name(f"{out.name}.unfinished")
        self.finished = out.exists()
        if self.finished:
            self._refuse_others(out)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if any(self.folder.glob("part-*")):
            self._refuse_others(self.folder)
            return
        write_json(about, self.folder / "_about.json")

    def done(self) -> set[int]:
        """Numbers of the chunks that some process has finished."""
        return {number for number in range(len(self.chunks)) if self._part(number).exists()}

    def rows_done(self) -> int:
        """Rows of these chunks."""
        return sum(self.chunks.length(number) for number in self.done())

    def write(self, number: int, table: pa.Table, skipped: list[dict[str, str]]) -> None:
        """Add a chunk, with id, image and problem of its rows that have no prediction."""
        # What was skipped travels in the file itself: both are there, or neither.
        with whole(self._part(number)) as beside:
            pq.write_table(table.replace_schema_metadata({"skipped": json.dumps(skipped)}), beside)

    def finish(self) -> None:
        """Give a whole table its name; the process that comes last does it."""
        if self.done() == set(range(len(self.chunks))):
            with suppress(FileNotFoundError):  # another process was faster
                self._rename()

    def _rename(self) -> None:
        metadata = (pq.read_schema(self._part(number)).metadata for number in range(len(self.chunks)))
        skipped = [row for about in metadata for row in json.loads(about[b"skipped"])]
        write_table(pd.DataFrame(skipped, columns=["id", "image", "problem"]), self.folder / "_skipped.csv")
        for left in self.folder.glob(".*"):  # by processes that were killed
            left.unlink(missing_ok=True)
        self.folder.rename(self.out)
        if skipped:
            warnings.warn(
                f"{len(skipped)} of {self.chunks.rows} rows have no prediction; {self.out / '_skipped.csv'} says why",
                stacklevel=4,
            )

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:06}.parquet"

    def _refuse_others(self, folder: Path) -> None:
        path = folder / "_about.json"
        if not path.exists():
            raise ValueError(f"{folder} is there already and holds no predictions of a table; choose another out")
        before = json.loads(path.read_text())
        changed = [name for name in self.about if before.get(name) != self.about[name]]
        if changed:
            name = changed[0]
            raise ValueError(
                f"{folder} holds predictions with another {name} ({before.get(name)}, not {self.about[name]}); "
                "choose another out, or delete that folder"
            )
