"""The faces of successive frames: found now and then, followed in between, read in batches."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from emokit.data.crops import crop_face, tight_box
from emokit.data.tables import landmarks_of
from emokit.inference.decoding import Frame
from emokit.inference.faces import CascadeDetector, Detector, Faces
from emokit.inference.prepare import faces_together
from emokit.inference.reading import Face, input_size, read_faces
from emokit.inference.tracking import Tracker, overlap

# A face is read again around its landmarks unless they fill the box it was cut by this well.
_STEADY = 0.9


class VideoReader:
    """Reads the faces of successive frames; remembers who is where.

    Parameters
    ----------
    model, detector, gap, confidence, batch_size, flip
        As in `predict_video`.
    """

    def __init__(
        self,
        model: nn.Module,
        detector: Detector | None = None,
        *,
        gap: float = 1.0,
        confidence: float = 0.3,
        batch_size: int | None = None,
        flip: bool = False,
    ) -> None:
        self.model, self.detector, self.tracker = model, detector or CascadeDetector(), Tracker(gap)
        self.confidence, self.batch_size, self.flip = confidence, batch_size or faces_together(model), flip

    def __call__(self, frames: list[Frame]) -> pd.DataFrame:
        """Rows of ``frames``, which follow each other; the detector looks at the first."""
        found = Faces(*self.detector(frames[0].image))
        sources = self.tracker.look(frames[0].time, found.boxes)
        follows = hasattr(self.model, "features")
        pairs = zip(self.tracker.tracks, sources, strict=True)
        tracks = [(track, source) for track, source in pairs if follows or source >= 0]
        scores = {track.person: found.scores[source] for track, source in tracks if source >= 0}
        shown = [frame for frame in frames for _ in tracks]
        persons = np.array([track.person for _ in frames for track, _ in tracks], dtype=np.int64)
        starts = np.array([track.box for _ in frames for track, _ in tracks], dtype=np.float64).reshape(-1, 4)
        table = self._read(shown, starts)
        while follows and len(again := self._restarted(table, persons, starts)):
            table = _replaced(table, again, self._read([shown[k] for k in again], starts[again]))
        table.insert(1, "frame", np.array([frame.number for frame in shown], dtype=np.int64))
        table.insert(2, "time", np.array([frame.time for frame in shown], dtype=np.float64))
        table.insert(3, "person", persons)
        table["score"] = table["person"].map(scores).astype(float).where(table["frame"] == frames[0].number)
        return self._followed(table, starts) if follows else table

    def _read(self, frames: list[Frame], boxes: NDArray[np.float64]) -> pd.DataFrame:
        """The face at each of ``boxes`` (n, 4), read around its landmarks."""
        table = self._read_once(frames, boxes)
        if hasattr(self.model, "features"):
            fit, tight = _fit(table, boxes)
            again = np.flatnonzero((fit < _STEADY) & (fit >= self.tracker.overlap))
            if len(again):
                table = _replaced(table, again, self._read_once([frames[k] for k in again], tight[again]))
        return table

    def _read_once(self, frames: list[Frame], boxes: NDArray[np.float64]) -> pd.DataFrame:
        size = input_size(self.model)
        faces = [
            Face("", "", 0, box, np.nan, True, crop_face(frame.image, box, size), np.zeros(2))
            for frame, box in zip(frames, boxes, strict=True)
        ]
        batches = [faces[k : k + self.batch_size] for k in range(0, len(faces), self.batch_size)]
        tables = [read_faces(batch, self.model, self.flip) for batch in batches or [[]]]
        return pd.concat(tables, ignore_index=True).drop(columns=["image", "face"])

    def _seen(self, table: pd.DataFrame, starts: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Rows in which somebody is seen near ``starts`` (n, 4), and the boxes around all landmarks."""
        fit, tight = _fit(table, starts)
        return (fit >= self.tracker.overlap) & (table["confidence"].to_numpy() >= self.confidence), tight

    def _restarted(
        self, table: pd.DataFrame, persons: NDArray[np.int64], starts: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Rows after the last in which their person is seen: they start again, from that one's box."""
        seen, tight = self._seen(table, starts)
        rows = np.arange(len(persons))
        again = np.zeros(len(persons), dtype=bool)
        for person in np.unique(persons[seen]):
            last = rows[seen & (persons == person)].max()
            later = (persons == person) & (rows > last) & (starts != tight[last]).any(axis=1)
            starts[later], again = tight[last], again | later
        return np.flatnonzero(again)

    def _followed(self, table: pd.DataFrame, starts: NDArray[np.float64]) -> pd.DataFrame:
        """Rows in which somebody is seen; the tracker learns where."""
        seen, tight = self._seen(table, starts)
        for row in np.flatnonzero(seen):
            self.tracker.follow(table["person"].iloc[row], table["time"].iloc[row], tight[row])
        ended = self.tracker.merge()
        return table[seen & ~table["person"].isin(ended)]


def _fit(table: pd.DataFrame, boxes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How well landmarks fill the ``boxes`` (n, 4) that they were looked for in, (n,), and their own boxes."""
    tight = tight_box(landmarks_of(table))
    return np.array([overlap(*pair)[0, 0] for pair in zip(boxes, tight, strict=True)], dtype=np.float64), tight


def _replaced(table: pd.DataFrame, rows: NDArray[np.int64], by: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table.drop(index=rows), by.set_axis(rows)]).sort_index()
