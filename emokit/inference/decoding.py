"""Frames of a video file or a camera: upright, in RGB, with the container's own times."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

Video = str | os.PathLike | int


class VideoError(ValueError):
    """A video that cannot be used; the message names file and frame, and says why."""


class Frame(NamedTuple):
    """``number`` counts from 0, broken frames included; ``time`` in seconds from the video's
    start; ``image`` (H, W, 3) uint8."""

    number: int
    time: float
    image: NDArray[np.uint8]


def read_frames(
    video: Video, first: int = 0, *, on_error: str = "raise", broken: list[dict] | None = None
) -> Iterator[Frame]:
    """Frames as they are shown: turned as the file's display matrix says, pixels made square.

    Parameters
    ----------
    video : path or int
        A file that FFmpeg reads, or the index of a camera, whose clock starts at its first frame.
    first : int
        Frames before it are decoded, because later ones build on them, but not given.
    on_error : {"raise", "skip"}
        What to do with frames that cannot be decoded or that the decoder had to make up in part.
    broken : list, optional
        Takes ``frame``, ``time`` and ``problem`` of every such frame that is skipped.

    Raises
    ------
    VideoError
        The file is missing, empty or no video, or has sound only; or a frame is broken.
    """
    if isinstance(video, int):
        yield from _camera_frames(video)
        return
    with opened(video) as (container, stream):
        number, found = 0, False
        for when, item in _decoded(container, stream, number):
            if isinstance(item, str):
                if on_error == "raise":
                    raise VideoError(
                        f"{video}, frame {number} ({when:.2f} s): {item}; mend the file, or pass on_error='skip'"
                    )
                if broken is not None and number >= first:
                    broken.append({"frame": number, "time": when, "problem": item})
            else:
                found = True
                if number >= first:
                    yield Frame(number, when, _upright(item, stream))
            number += 1
    if not found:
        raise VideoError(f"{video} holds no frame that can be decoded; replace it")


def frame_count(video: Video) -> int | None:
    """How many frames the file says it has, or about that many; None for cameras and where it does not say."""
    if isinstance(video, int):
        return None
    with opened(video) as (container, stream):
        if stream.frames:
            return stream.frames
        seconds = (container.duration or 0) / av.time_base
        return round(seconds * stream.average_rate) or None if stream.average_rate else None


@contextmanager
def opened(video: str | os.PathLike) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The file and its first stream of moving pictures."""
    path = Path(video)
    if path.is_dir():
        raise VideoError(f"{path} is a folder; give one video")
    if not path.exists():
        raise VideoError(f"{path} does not exist")
    if not path.stat().st_size:
        raise VideoError(f"{path} is empty (0 bytes); copy it again")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path} is not a video that FFmpeg can read ({error.strerror}); replace it") from error
    with container:
        # Covers of songs are streams of a single picture.
        moving = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not moving:
            raise VideoError(f"{path} has no pictures, only {_others(container)}; give the file with the video")
        yield container, moving[0]


def _others(container: av.container.InputContainer) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams} - {"video"})) or "data"


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream, number: int
) -> Iterator[tuple[float, av.VideoFrame | str]]:
    """Time, and frame or what is wrong with it, in the order shown."""
    start = (container.start_time or 0) / av.time_base
    rate = float(stream.average_rate or 25)
    packets = container.demux(stream)
    last = -1 / rate
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError as error:
            yield last + 1 / rate, f"the file is damaged from here on ({error.strerror})"
            return
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            when = packet.pts * packet.time_base - start if packet.pts is not None else last + 1 / rate
            yield float(when), f"cannot be decoded ({error.strerror})"
            continue
        for frame in frames:
            # Raw streams have no times; their frames are evenly spaced.
            last = round(frame.time - start, 6) if frame.time is not None else last + 1 / rate
            yield last, "the decoder had to guess parts of it" if frame.is_corrupt else frame


def _upright(frame: av.VideoFrame, stream: av.VideoStream) -> NDArray[np.uint8]:
    width = round(frame.width * float(stream.sample_aspect_ratio or 1))
    pixels = frame.reformat(width=width, format="rgb24").to_ndarray()
    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return pixels
    # Right goes to (a, b), down to (c, d).
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5]
    if abs(b) > abs(a):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _camera_frames(index: int) -> Iterator[Frame]:
    capture = cv2.VideoCapture(index)
    try:
        if not capture.isOpened():
            raise VideoError(f"camera {index} cannot be opened; is it there, and not used by another program?")
        number, start = 0, None
        while True:
            there, pixels = capture.read()
            now = time.monotonic()
            if not there:
                return
            start = now if start is None else start
            yield Frame(number, now - start, np.ascontiguousarray(pixels[:, :, ::-1]))
            number += 1
    finally:
        capture.release()
