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
        batch_size: int = 32,
        flip: bool = False,
    ) -> None:
        self.model, self.detector, self.tracker = model, detector or CascadeDetector(), Tracker(gap)
        self.confidence, self.batch_size, self.flip = confidence, batch_size, flip

    def __call__(self, frames: list[Frame]) -> pd.DataFrame:
        """Rows of ``frames``, which follow each other; the detector looks at the first."""
        found = Faces(*self.detector(frames[0].image))
        sources = self.tracker.look(frames[0].time, found.boxes)
        follows = hasattr(self.model, "features")
        pairs = zip(self.tracker.tracks, sources, strict=True)
        tracks = [(track, source) for track, source in pairs if follows or source >= 0]
        scores = {track.person: found.scores[source] for track, source in tracks if source >= 0}
        places = [(frame, track) for frame in frames for track, _ in tracks]
        starts = np.array([track.box for _, track in places]).reshape(-1, 4)
        table = self._read([frame for frame, _ in places], starts)
        table.insert(1, "frame", np.array([frame.number for frame, _ in places], dtype=np.int64))
        table.insert(2, "time", np.array([frame.time for frame, _ in places], dtype=np.float64))
        table.insert(3, "person", np.array([track.person for _, track in places], dtype=np.int64))
        table["score"] = table["person"].map(scores).astype(float).where(table["frame"] == frames[0].number)
        return self._followed(table, starts) if follows else table

    def _read(self, frames: list[Frame], boxes: NDArray[np.float64]) -> pd.DataFrame:
        """The face at each of ``boxes`` (n, 4), read around its landmarks."""
        table = self._read_once(frames, boxes)
        if table.empty or not hasattr(self.model, "features"):
            return table
        tight = tight_box(landmarks_of(table))
        fit = np.array([overlap(*pair)[0, 0] for pair in zip(boxes, tight, strict=True)])
        again = np.flatnonzero((fit < _STEADY) & (fit >= self.tracker.overlap))
        if len(again):
            second = self._read_once([frames[k] for k in again], tight[again])
            table = pd.concat([table.drop(index=again), second.set_axis(again)]).sort_index()
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

    def _followed(self, table: pd.DataFrame, starts: NDArray[np.float64]) -> pd.DataFrame:
        """Rows in which somebody is seen; the tracker learns where."""
        tight = tight_box(landmarks_of(table)) if len(table) else starts
        fit = np.array([overlap(*pair)[0, 0] for pair in zip(starts, tight, strict=True)], dtype=float)
        seen = (fit >= self.tracker.overlap) & (table["confidence"].to_numpy() >= self.confidence)
        for row in np.flatnonzero(seen):
            self.tracker.follow(table["person"].iloc[row], table["time"].iloc[row], tight[row])
        ended = self.tracker.merge()
        return table[seen & ~table["person"].isin(ended)]
