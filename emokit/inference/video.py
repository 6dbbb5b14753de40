"""A video or camera in, a time-stamped predictions table out."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pandas as pd
import pyarrow as pa
from torch import nn
from tqdm.auto import tqdm

from emokit.data.tables import BOX, write_table
from emokit.inference.decoding import Frame, Video, frame_count, read_frames
from emokit.inference.faces import Detector, described
from emokit.inference.following import VideoReader
from emokit.inference.landmarks import network_fingerprint
from emokit.inference.parts import Parts
from emokit.inference.prepare import ready
from emokit.inference.reading import check


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
    for option, number in (
        ("every", every),
        ("chunk", chunk),
        ("batch_size", batch_size),
        ("limit", 1 if limit is None else limit),
    ):
        if number < 1:
            raise ValueError(f"{option} is at least 1, got {number}")
    reader = VideoReader(ready(model), detector, gap=gap, confidence=confidence, batch_size=batch_size, flip=flip)
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
    if isinstance(video, int) and parts.files:
        raise ValueError(
            f"{parts.folder} holds what a camera showed until its process was killed; pandas.read_parquet reads it: "
            "choose another out, or delete it"
        )
    state = parts.state or {"frame": 0, "broken": [], "reader": reader.tracker.state}
    reader.tracker.state, broken = state["reader"], state["broken"]
    frames = read_frames(video, state["frame"], limit, on_error=on_error, broken=broken)
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
