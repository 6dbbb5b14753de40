"""A table written part by part, and finished as one file: whole at any moment a process may be killed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from emokit.whole import whole, write_json


class Parts:
    """Parts of ``out`` in the folder ``<out>.unfinished``, each with the state of who wrote it.

    Parameters
    ----------
    out : path
        Ends in ``.parquet``.
    about : dict
        What the table follows from, as JSON can hold it; parts of another are refused.

    Raises
    ------
    ValueError
        ``out`` has another suffix, or it or its folder belongs to something else.
    """

    def __init__(self, out: str | os.PathLike, about: dict[str, Any]) -> None:
        self.out, self.about = Path(out), about
        if self.out.suffix != ".parquet":
            raise ValueError(f"{self.out} does not end in .parquet; rename it")
        self.folder = self.out.with_name(f"{self.out.name}.unfinished")
        self._about_path = self.folder / "_about.json"
        ours = self._about_path.exists()
        self.finished = self.out.exists()
        if self.finished:
            self._refuse_others(self.out, _metadata(self.out, "about"))
            if ours:  # left by a process that was killed at its very end
                shutil.rmtree(self.folder)
            return
        if self.files or (self.folder.exists() and not ours):
            self._refuse_others(self.folder, json.loads(self._about_path.read_text()) if ours else None)

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))

    @property
    def states(self) -> Iterator[dict[str, Any]]:
        """What the parts were written with, the last one first."""
        return (_metadata(file, "state") for file in reversed(self.files))

    def write(self, table: pa.Table, state: dict[str, Any]) -> None:
        """Add a part; the first one makes the folder, so that a call that fails before it leaves nothing."""
        if not self.files:
            self._begin()
        with whole(self.folder / f"part-{len(self.files):06}.parquet") as beside:
            pq.write_table(_with_metadata(table, "state", state), beside)

    def finish(self) -> Path:
        """Make one file of all parts; no more than one of them is in memory."""
        beside = self.folder / ".out"
        files = self.files
        schema = _with_metadata(pq.read_schema(files[0]).empty_table(), "about", self.about).schema
        with pq.ParquetWriter(beside, schema) as writer:
            for file in files:
                writer.write_table(pq.read_table(file).cast(schema))
        beside.replace(self.out)
        shutil.rmtree(self.folder)
        return self.out

    def _begin(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.about, self._about_path)

    def _refuse_others(self, path: Path, before: dict[str, Any] | None) -> None:
        if before is None:
            raise ValueError(f"{path} is there already and is something else; choose another out")
        changed = [name for name in self.about if before.get(name) != self.about[name]]
        if changed:
            name = changed[0]
            raise ValueError(
                f"{path} holds predictions with another {name} ({before.get(name)}, not {self.about[name]}); "
                "choose another out, or delete it"
            )


def _metadata(path: Path, name: str) -> dict[str, Any] | None:
    """None where the file has no such entry, or is something else altogether."""
    try:
        found = (pq.read_schema(path).metadata or {}).get(f"emokit_{name}".encode())
    except (pa.ArrowInvalid, OSError):
        return None
    return None if found is None else json.loads(found)


def _with_metadata(table: pa.Table, name: str, value: dict[str, Any]) -> pa.Table:
    return table.replace_schema_metadata({f"emokit_{name}": json.dumps(value)})
