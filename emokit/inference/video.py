"""A video or camera in, a time-stamped predictions table out."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from torch import nn
from tqdm.auto import tqdm

from emokit.data.crops import crop_face, tight_box
from emokit.data.tables import BOX, landmarks_of, write_table
from emokit.inference.decoding import Frame, Video, frame_count, read_frames
from emokit.inference.faces import CascadeDetector, Detector, Faces, described
from emokit.inference.landmarks import network_fingerprint
from emokit.inference.parts import Parts
from emokit.inference.reading import Face, check, input_size, read_faces
from emokit.inference.tracking import Tracker, overlap

# A face is read again around its landmarks unless they fill the box it was cut by this well.
_STEADY = 0.9


def predict_video(
    video: Video,
    model: nn.Module,
    out: str | os.PathLike,
    detector: Detector | None = None,
    *,
    every: int = 8,
    gap: float = 1.0,
    confidence: float = 0.3,
    batch_size: int = 32,
    chunk: int = 256,
    limit: int | None = None,
    flip: bool = False,
    on_error: str = "skip",
    progress: bool = True,
) -> Path:
    """Landmarks, expression, valence and arousal of every person in every frame of ``video``.

    The detector looks at every ``every``-th frame; in between, and where it misses a face, the
    network follows its own landmarks. The table is written as it goes. The same call goes on
    where an earlier one was stopped or killed, and ends with the same table. Neither memory
    nor time per frame grows with the video.

    Parameters
    ----------
    video : path or int
        A file that FFmpeg reads, or the index of a camera. A camera runs until ``limit`` or an
        interrupt; both give a whole table.
    model : EmoFAN or ResNet18
        It runs on the device it is on. A network without landmarks can't follow: it reads
        those faces that the detector has seen.
    out : path
        Ends in ``.parquet``. Until it is whole, its parts are in ``<out>.unfinished``.
    detector : Detector, optional
        `CascadeDetector` by default.
    every : int
        Frames from one look of the detector to the next; they go through the network together.
        More is faster, fewer follow quick movements.
    gap : float
        Seconds without a sight of a person after which the same face is a new person.
    confidence : float
        Least mean height of the landmarks' peaks, in [0, 1]; where it is lower, nobody is seen.
    batch_size : int
        Faces that go through the network together at most.
    chunk : int
        Frames after which a part is written.
    limit : int, optional
        Stop before this frame.
    flip : bool
        As in `predict`.
    on_error : {"raise", "skip"}
        What to do with broken frames. Skipped ones are listed in ``<out>_broken.csv``, with a warning.
    progress : bool
        Show frames done, rate and time left.

    Returns
    -------
    Path
        ``out``: one row per person and frame, with ``id``, ``video``, ``frame`` (from 0), ``time``
        (s, the container's), ``person`` (from 0, in the order of appearance), and `predict`'s
        columns from ``x0`` on; ``score`` only where the detector has looked.

    Raises
    ------
    VideoError
        The file is missing, empty, no video or without a picture; or a frame is broken.
    ValueError
        ``out`` belongs to another video, network or option, or has another suffix.
    """
    check(model, on_error)
    if every < 1 or chunk < 1 or batch_size < 1:
        raise ValueError(f"every, chunk and batch_size are at least 1, got {every}, {chunk} and {batch_size}")
    reader = VideoReader(model, detector, gap=gap, confidence=confidence, batch_size=batch_size, flip=flip)
    about = {
        "video": _video_fingerprint(video),
        "network": network_fingerprint(model),
        "detector": described(reader.detector),
        "every": every,
        "gap": gap,
        "confidence": confidence,
        "limit": limit,
        "flip": flip,
    }
    total = frame_count(video)
    total = min(filter(None, (total, limit)), default=None)
    parts = Parts(out, about)
    if parts.finished:
        return parts.out
    state = parts.state or {"frame": 0, "broken": [], "reader": reader.tracker.state}
    reader.tracker.state, broken = state["reader"], state["broken"]
    frames = read_frames(video, state["frame"], on_error=on_error, broken=broken)
    if limit is not None:
        frames = takewhile(lambda frame: frame.number < limit, frames)
    schema, name = _schema(model.expressions), str(video) if not isinstance(video, int) else f"camera {video}"
    tables: list[pa.Table] = []
    training = model.training
    model.eval()
    written = state["frame"]
    bar = tqdm(desc="frames", total=total, initial=written, unit=" frames", disable=not progress)

    def write() -> None:
        parts.write(pa.concat_tables(tables or [schema.empty_table()]), state)
        tables.clear()

    try:
        for window in _windows(frames, every):
            table = reader(window).assign(video=name)
            table["id"] = [
                f"{Path(name).stem}/{f:06}_{p}" for f, p in zip(table["frame"], table["person"], strict=True)
            ]
            tables.append(pa.Table.from_pandas(table, schema, preserve_index=False))
            state = {"frame": window[-1].number + 1, "broken": list(broken), "reader": reader.tracker.state}
            bar.update(state["frame"] - bar.n)
            if state["frame"] - written >= chunk:
                write()
                written = state["frame"]
    except KeyboardInterrupt:
        if not isinstance(video, int):
            raise
    finally:
        if tables:
            write()
        bar.close()
        model.train(training)
    if not parts.files:
        write()
    parts.finish()
    if broken:
        report = parts.out.with_name(f"{parts.out.stem}_broken.csv")
        write_table(pd.DataFrame(broken), report)
        warnings.warn(
            f"left out {len(broken)} broken frame{'s'[: len(broken) > 1]} of {video}; {report} lists them", stacklevel=2
        )
    return parts.out


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
        tracks = [
            (track, source)
            for track, source in zip(self.tracker.tracks, sources, strict=True)
            if follows or source >= 0
        ]
        scores = {track.person: found.scores[source] for track, source in tracks if source >= 0}
        places = [(frame, track.person) for frame in frames for track, _ in tracks]
        starts = np.array([track.box for _ in frames for track, _ in tracks]).reshape(-1, 4)
        table = self._read([frame for frame, _ in places], starts)
        table.insert(1, "frame", np.array([frame.number for frame, _ in places], dtype=np.int64))
        table.insert(2, "time", np.array([frame.time for frame, _ in places], dtype=np.float64))
        table.insert(3, "person", np.array([person for _, person in places], dtype=np.int64))
        first = table["frame"] == frames[0].number
        table["score"] = table["person"].map(scores).astype(float).where(first)
        if follows:
            return self._followed(table, starts)
        return table

    def _read(self, frames: list[Frame], boxes: np.ndarray) -> pd.DataFrame:
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

    def _read_once(self, frames: list[Frame], boxes: np.ndarray) -> pd.DataFrame:
        size = input_size(self.model)
        faces = [
            Face("", "", 0, box, np.nan, True, crop_face(frame.image, box, size), np.zeros(2))
            for frame, box in zip(frames, boxes, strict=True)
        ]
        batches = [faces[k : k + self.batch_size] for k in range(0, len(faces), self.batch_size)]
        tables = [read_faces(batch, self.model, self.flip) for batch in batches or [[]]]
        return pd.concat(tables, ignore_index=True).drop(columns=["image", "face"])

    def _followed(self, table: pd.DataFrame, starts: np.ndarray) -> pd.DataFrame:
        """Rows in which somebody is seen; the tracker learns where."""
        tight = tight_box(landmarks_of(table)) if len(table) else starts
        fit = np.array([overlap(*pair)[0, 0] for pair in zip(starts, tight, strict=True)], dtype=float)
        seen = (fit >= self.tracker.overlap) & (table["confidence"].to_numpy() >= self.confidence)
        for row in np.flatnonzero(seen):
            self.tracker.follow(table["person"].iloc[row], table["time"].iloc[row], tight[row])
        ended = self.tracker.merge()
        return table[seen & ~table["person"].isin(ended)]


def _windows(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    frames = iter(frames)
    while window := list(islice(frames, size)):
        yield window


def _video_fingerprint(video: Video) -> str:
    """Of a file by its length and ends, because hashing hours of film takes minutes."""
    if isinstance(video, int):
        return f"camera {video}"
    path = Path(video)
    if not path.is_file():
        return str(video)  # refused when it is opened
    with open(path, "rb") as file:
        size = path.stat().st_size
        digest = hashlib.sha256(f"{size}".encode() + file.read(2**20))
        file.seek(max(0, size - 2**20))
        digest.update(file.read())
    return digest.hexdigest()[:16]


def _schema(expressions: tuple[str, ...]) -> pa.Schema:
    text, whole, double, single = pa.string(), pa.int64(), pa.float64(), pa.float32()
    return pa.schema(
        [
            ("id", text),
            ("video", text),
            ("frame", whole),
            ("time", double),
            ("person", whole),
            *((name, double) for name in (*BOX, "score")),
            ("expression", text),
            *((f"p_{name}", single) for name in expressions),
            ("valence", single),
            ("arousal", single),
            ("landmarks", pa.list_(single)),
            ("confidence", single),
        ]
    )
