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
from emokit.inference.decoding import Frame, Video, frame_count, is_camera, read_frames, refuse_overwriting
from emokit.inference.faces import Detector, described
from emokit.inference.following import VideoReader
from emokit.inference.landmarks import network_fingerprint
from emokit.inference.modes import evaluating
from emokit.inference.parts import Parts
from emokit.inference.prepare import ready
from emokit.inference.reading import check, check_count


def predict_video(
    video: Video,
    model: nn.Module,
    out: str | os.PathLike,
    detector: Detector | None = None,
    *,
    every: int = 8,
    gap: float = 1.0,
    confidence: float = 0.3,
    batch_size: int | None = None,
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
    batch_size : int, optional
        Faces that go through the network together at most; by default as in `predict`.
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
        The file is missing, empty, no video or without a picture; a frame is broken; or the camera
        shows nothing.
    ValueError
        ``out`` belongs to another video, network or option, has another suffix, or is the video; or
        an option is out of its range.

    Warns
    -----
    UserWarning
        Broken frames are left out, or the camera stops by itself.
    """
    check(model, on_error)
    counts = {"every": every, "chunk": chunk, "batch_size": batch_size, "limit": limit}
    for option, number in counts.items():
        if number is not None:
            check_count(option, number)
    if not 0 <= confidence <= 1:
        raise ValueError(f"confidence is in [0, 1], got {confidence}")
    camera = is_camera(video)
    refuse_overwriting(video, Path(out))
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
    if camera and parts.files:
        raise ValueError(
            f"{parts.folder} holds what a camera showed until its process was killed; pandas.read_parquet reads it: "
            "choose another out, or delete it"
        )
    state = next(parts.states, {"frame": 0, "broken": [], "reader": reader.tracker.state})
    reader.tracker.state = state["reader"]
    broken: list[dict] = []  # since the last part, which has those before it
    frames = read_frames(video, state["frame"], limit, on_error=on_error, broken=broken)
    schema, name = _schema(model.expressions), f"camera {video}" if camera else str(video)
    tables: list[pa.Table] = []
    written = state["frame"]

    def write() -> None:
        parts.write(pa.concat_tables(tables or [schema.empty_table()]), state)
        tables.clear()
        del broken[: len(state["broken"])]

    bar = tqdm(desc="frames", total=total, initial=written, unit=" frames", disable=not progress)
    with evaluating(model), bar:
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
            if not camera:
                raise
        finally:
            if tables:
                write()
    if not parts.files:
        write()
    broken = [frame for state in parts.states for frame in state["broken"]] + broken
    report = parts.out.with_name(f"{parts.out.stem}_broken.csv")
    if broken:
        write_table(pd.DataFrame(broken).sort_values("frame"), report)
    parts.finish()
    if broken:
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
    if is_camera(video):
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
