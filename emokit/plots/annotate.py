"""A video with what the network says in the picture: boxes, landmarks and the circumplex."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from tqdm.auto import tqdm

from emokit.data.frames import read_frames_table
from emokit.data.tables import BOX, Table, landmarks_of
from emokit.inference.decoding import Frame, frame_count, read_frames, refuse_overwriting
from emokit.plots.circumplex import COLOURS, INK, circumplex
from emokit.whole import whole

_CLOCK = 90_000  # ticks per second: frames keep their times, whatever the rate
_SHIFT = 4  # binary places of OpenCV's coordinates
_MARK = (0, 229, 255)
_LEAST_HEIGHT = 64
DRAWN = ("frame", "person", *BOX, "expression", "valence", "arousal", "landmarks")


def annotate_video(
    video: str | os.PathLike,
    predictions: Table,
    out: str | os.PathLike,
    *,
    height: int = 480,
    trail: float = 1.0,
    start: float = 0.0,
    stop: float = np.inf,
    progress: bool = True,
) -> Path:
    """Write an MP4: every face's box and landmarks, and beside the picture the circumplex.

    Boxes and points have the colour of the portrayed expression. Frames keep their times;
    broken ones are left out; there is no sound.

    Parameters
    ----------
    video : path
    predictions : DataFrame or path
        From `predict_video`, or from `smooth`, of one video.
    out : path
        Ends in ``.mp4``. H.264 where PyAV has an encoder, else MPEG-4.
    height : int
        Of the new picture, in pixels, at least 64.
    trail : float
        Seconds for which a point's way stays on the circumplex.
    start, stop : float
        The part to write, in seconds of ``video``; the times of the new one count from ``start``.
    progress : bool
        Show frames done, rate and time left.

    Raises
    ------
    VideoError
        ``video`` cannot be read.
    ValueError
        ``out`` has another suffix or is ``video`` itself, ``predictions`` lacks a column or holds several
        videos, ``height`` is too small, or no frame lies between ``start`` and ``stop``.
    """
    out = Path(out)
    if out.suffix != ".mp4":
        raise ValueError(f"{out} does not end in .mp4; rename it")
    refuse_overwriting(video, out)
    if height < _LEAST_HEIGHT or height != int(height):
        raise ValueError(f"height is a whole number of pixels, at least {_LEAST_HEIGHT}; got {height}")
    predictions = read_frames_table(predictions, *DRAWN, one_video=True)
    drawn = _drawn(video, predictions, int(height), trail, start, stop)
    total = frame_count(video) if start == 0 and stop == np.inf else None
    with whole(out) as beside:
        frames = _write(tqdm(drawn, "annotating", total, unit=" frames", leave=False, disable=not progress), beside)
        if not frames:
            raise ValueError(f"{video} has no frame from {start} to {stop} s; choose another part")
    return out


def annotated(frame: Frame, rows: pd.DataFrame, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture of ``frame``, resized to ``size`` (width, height), with the faces of ``rows``."""
    scale = np.array(size) / frame.image.shape[1::-1]
    pixels = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA if scale[0] < 1 else cv2.INTER_LINEAR)
    for points in landmarks_of(rows) * scale:
        if np.isfinite(points).all():
            for point in points:
                cv2.circle(pixels, _fixed(point), 2 << _SHIFT, _MARK, -1, cv2.LINE_AA, _SHIFT)
    picture = Image.fromarray(pixels)
    draw, font = ImageDraw.Draw(picture), _font(size[1])
    boxes = rows[BOX].to_numpy(float) * np.tile(scale, 2)
    for (x0, y0, x1, y1), (_, row) in zip(boxes, rows.iterrows(), strict=True):
        colour = _colour(row["expression"])
        draw.rectangle((x0, y0, x1, y1), outline=colour, width=2)
        text = f"{row['person']}  {row['expression']}"
        place = draw.textbbox((x0, y0 - 4), text, font, anchor="lb")
        shift = max(0, 3 - place[1])  # a box at the upper edge has its name inside
        draw.rectangle((place[0], place[1] + shift - 3, place[2] + 8, place[3] + shift + 3), fill=colour)
        draw.text((x0 + 4, y0 - 4 + shift), text, "white", font, anchor="lb")
    return np.asarray(picture)


class CircumplexPanel:
    """The circumplex as a picture (side, side, 3), drawn once, with a point per person and its way.

    Parameters
    ----------
    side : int
        In pixels.
    trail : float
        Seconds for which a point's way stays.
    """

    def __init__(self, side: int, trail: float = 1.0) -> None:
        dpi = max(100, side / 4.8)
        figure = Figure(figsize=(side / dpi, side / dpi), dpi=dpi, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        self._axes = circumplex(words=True, ax=figure.subplots())
        canvas.draw()
        self._empty = np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
        self._side, self._trail = side, trail
        self._ways: dict[int, list[tuple[float, NDArray]]] = {}

    def __call__(self, time: float, rows: pd.DataFrame) -> NDArray[np.uint8]:
        """With the persons of ``rows`` at ``time`` (s), which is later than that of the call before."""
        x, y = self._axes.transData.transform(rows[["valence", "arousal"]].to_numpy(float)).T
        points = np.column_stack((x, self._side - y))
        persons, colours = rows["person"].tolist(), [_colour(name) for name in rows["expression"]]
        for person, point in zip(persons, points, strict=True):
            self._ways.setdefault(person, []).append((time, point))
        self._ways = {
            p: [w for w in way if w[0] >= time - self._trail] for p, way in self._ways.items() if p in persons
        }
        pixels = self._empty.copy()
        for person, colour in zip(persons, colours, strict=True):
            way = np.array([point for _, point in self._ways[person]])
            cv2.polylines(pixels, [_fixed(way)], False, colour, 2, cv2.LINE_AA, _SHIFT)
        for point, colour in zip(points, colours, strict=True):
            for radius, fill in ((12, (255, 255, 255)), (10, colour)):
                cv2.circle(pixels, _fixed(point), radius << _SHIFT, fill, -1, cv2.LINE_AA, _SHIFT)
        picture = Image.fromarray(pixels)
        draw, font = ImageDraw.Draw(picture), _font(self._side)
        for (x, y), person in zip(points, persons, strict=True):
            draw.text((x, y), str(person), "white", font, anchor="mm")
        draw.text((self._side - 8, 6), f"{time:.2f} s", INK, font, anchor="rt")
        return np.asarray(picture)


def _fixed(points: NDArray) -> NDArray[np.int32]:
    return np.round(points * (1 << _SHIFT)).astype(np.int32)


def _colour(expression: str) -> tuple[int, ...]:
    return tuple(round(255 * c) for c in to_rgb(COLOURS.get(expression, INK)))


def _font(height: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(findfont("DejaVu Sans"), max(11, height // 30))


def _drawn(
    video: str | os.PathLike, predictions: pd.DataFrame, height: int, trail: float, start: float, stop: float
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Time from ``start`` (s) and picture of every frame."""
    rows = predictions.groupby("frame").indices
    height -= height % 2  # of which encoders take even numbers only
    panel, width = CircumplexPanel(height, trail), None
    for frame in read_frames(video, start=start, on_error="skip"):
        if frame.time >= stop:
            return
        if width is None:
            width = 2 * round(frame.image.shape[1] * height / frame.image.shape[0] / 2)
        seen = predictions.iloc[rows.get(frame.number, [])]
        yield frame.time - start, np.hstack((annotated(frame, seen, (width, height)), panel(frame.time, seen)))


def _write(frames: Iterator[tuple[float, NDArray[np.uint8]]], path: Path) -> int:
    """How many there were."""
    count, stream = 0, None
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        for time, pixels in frames:
            if stream is None:
                stream = container.add_stream(_encoder(), rate=25, options={"preset": "veryfast"})
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, _CLOCK)
                stream.codec_context.time_base = stream.time_base
            picture = av.VideoFrame.from_ndarray(pixels, "rgb24")
            picture.pts, picture.time_base = round(time * _CLOCK), Fraction(1, _CLOCK)
            container.mux(stream.encode(picture))
            count += 1
        if stream is not None:
            container.mux(stream.encode())
    return count


def _encoder() -> str:
    try:
        return av.Codec("h264", "w").name
    except av.codec.codec.UnknownCodecError:
        return "mpeg4"
