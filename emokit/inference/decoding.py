"""Frames of a video file or a camera: upright, in RGB, with the container's own times."""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

Video = str | os.PathLike | int

# In these, a packet is a frame and has the time at which it is shown: frames can be counted undecoded.
_SOUGHT_FORMATS, _SOUGHT_CODECS = {"mov", "matroska"}, {"h264", "hevc", "mpeg4", "av1"}


class VideoError(ValueError):
    """A video that cannot be used; the message names file and frame, and says why."""


class Frame(NamedTuple):
    """``number`` counts from 0, broken frames included; ``time`` in seconds from the video's
    start; ``image`` (H, W, 3) uint8."""

    number: int
    time: float
    image: NDArray[np.uint8]


def read_frames(
    video: Video,
    first: int = 0,
    stop: int | None = None,
    *,
    start: float = 0.0,
    on_error: str = "raise",
    broken: list[dict] | None = None,
) -> Iterator[Frame]:
    """Frames as they are shown: turned as the file's display matrix says, pixels made square.

    Parameters
    ----------
    video : path or int
        A file that FFmpeg reads, or the index of a camera, whose clock starts at its first frame.
    first : int
        Frames before it are decoded, because later ones build on them, but not given.
    stop : int, optional
        The first frame that is not wanted.
    start : float
        Seconds before which no frame is given. Where the container has key frames that can be sought,
        decoding begins at the last one before.
    on_error : {"raise", "skip"}
        What to do with frames that cannot be decoded or that the decoder had to make up in part.
    broken : list, optional
        Takes ``frame``, ``time`` and ``problem`` of every such frame that is skipped.

    Raises
    ------
    VideoError
        The file is missing, empty or no video, or has sound only; a frame is broken; or the camera
        shows nothing.

    Warns
    -----
    UserWarning
        The camera stops by itself.
    """
    if is_camera(video):
        yield from islice(_camera_frames(video), first, stop)
        return
    found = False
    with opened(video) as (container, stream):
        skipped, key = _key_frame_before(container, stream, start) if start > 0 else (0, None)
        for number, (when, item) in enumerate(_decoded(container, stream, key), skipped):
            if number == stop:
                return
            if isinstance(item, str):
                if on_error == "raise":
                    raise VideoError(
                        f"{video}, frame {number} ({when:.2f} s): {item}; mend the file, or pass on_error='skip'"
                    )
                if broken is not None and number >= first and when >= start:
                    broken.append({"frame": number, "time": when, "problem": item})
                continue
            found = True
            if number >= first and when >= start:
                yield Frame(number, when, _upright(item, stream))
    if not found:
        raise VideoError(f"{video} holds no frame that can be decoded; replace it")


def frame_count(video: Video) -> int | None:
    """How many frames the file says it has, or about that many; None for cameras and where it does not say."""
    if is_camera(video):
        return None
    with opened(video) as (container, stream):
        if stream.frames:
            return stream.frames
        return round(_seconds(container, stream) * (stream.average_rate or 0)) or None


def is_camera(video: Video) -> bool:
    """Whether ``video`` is the index of a camera.

    Raises
    ------
    VideoError
        It is a number, but no index.
    """
    if isinstance(video, Integral) and (isinstance(video, bool) or video < 0):
        raise VideoError(f"{video!r} is no camera; they are numbered from 0")
    return isinstance(video, Integral)


def refuse_overwriting(video: Video, out: Path) -> None:
    """Refuse to write ``out`` where that is the video itself, by whatever name.

    Raises
    ------
    ValueError
    """
    if not is_camera(video) and out.exists() and Path(video).exists() and out.samefile(video):
        raise ValueError(f"{out} is the video itself, which would be overwritten; choose another out")


@contextmanager
def opened(video: str | os.PathLike) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """The file and its first stream of moving pictures."""
    path = Path(video)
    if re.match(r"[a-z]{2,}:/", str(video), re.IGNORECASE):
        raise VideoError(f"{video} is an address, not a file; download the video and give its path")
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


def _key_frame_before(
    container: av.container.InputContainer, stream: av.VideoStream, start: float
) -> tuple[int, float | None]:
    """Go to the last key frame that is shown before ``start`` (s).

    Returns
    -------
    tuple
        How many frames are shown before it, and its time (s); 0 and None where one must decode from the
        beginning.
    """
    sought = not _SOUGHT_FORMATS.isdisjoint(container.format.name.split(","))
    if not sought or stream.codec_context.codec.canonical_name not in _SOUGHT_CODECS:
        return 0, None
    begin = (container.start_time or 0) / av.time_base
    shown: list[tuple[float, int, bool]] = []
    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                shown.append((float(packet.pts * packet.time_base) - begin, packet.pts, packet.is_keyframe))
                if float(packet.dts * packet.time_base) - begin > start:  # nothing that follows is shown before
                    break
    except (av.FFmpegError, TypeError):  # damaged, or without times
        shown = []
    keys = [(when, pts) for when, pts, is_key in shown if is_key and when <= start]
    if not keys:
        container.seek(0)
        return 0, None
    when, key = max(keys)
    container.seek(key, stream=stream)
    return sum(pts < key for _, pts, _ in shown), when


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream, first: float | None = None
) -> Iterator[tuple[float, av.VideoFrame | str]]:
    """Time (s), and the frame or what is wrong with it, in the order shown, from the time ``first`` on."""
    start = (container.start_time or 0) / av.time_base
    step = 1 / float(stream.average_rate or 25)
    last = (first or 0) - step
    # A decoder complains of a frame before it gives those that are shown earlier.
    waiting: list[tuple[float, str]] = []
    for item, problem in _given(container, stream):
        # Raw streams have no times; their frames are evenly spaced.
        when = last + step if item is None or item.pts is None else float(item.pts * item.time_base) - start
        when = round(when, 6)
        if first is not None and when < round(first, 6):
            continue  # builds on frames before the key frame
        if problem:
            waiting.append((when, problem))
            waiting.sort()
            continue
        while waiting and waiting[0][0] < when:
            yield waiting.pop(0)
        last = when
        yield when, "the decoder had to guess parts of it" if item.is_corrupt else item
    yield from waiting
    missing = _seconds(container, stream) - last - step
    if missing > 1:
        yield last + step, f"pictures end here, {missing:.1f} s before the file does: is it whole?"


def _given(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[tuple[av.VideoFrame | av.Packet | None, str]]:
    """Frames as the decoder gives them, and packets with what is wrong with them."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            yield None, f"cannot be read from the file ({error.strerror}), nor can what follows"
            return
        if packet is None:
            return
        try:
            for frame in packet.decode():
                yield frame, ""
        except av.FFmpegError as error:
            yield packet, f"cannot be decoded ({error.strerror})"


def _seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """Length of the video as the file has it, 0 where it does not say."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


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
            if not there and not number:
                raise VideoError(f"camera {index} is there but shows nothing; does another program use it?")
            if not there:
                warnings.warn(
                    f"camera {index} stopped after {number} frames ({now - start:.1f} s); was it unplugged?",
                    stacklevel=2,
                )
                return
            start = now if start is None else start
            yield Frame(number, now - start, np.ascontiguousarray(pixels[:, :, ::-1]))
            number += 1
    finally:
        capture.release()
