"""What memory and time a frame of a video needs by its place in it: python -m emokit.inference.flatness 1 1000 20000"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emokit.data.rendered_clips import rendered_clip
from emokit.inference.faces import Faces, WholeImage
from emokit.inference.video import predict_video
from emokit.models.weights import load_emofan

EVERY = 8  # frames from look to look


def video_flatness(frames: Sequence[int]) -> pd.DataFrame:
    """Memory and time of `predict_video` after so many ``frames`` of one video, or a few more; not on Windows.

    The video, 96×96 pixels, repeats a rendered clip of one person, whom the demo network reads.

    Returns
    -------
    DataFrame
        Columns ``frames``; ``MiB``, the process's peak until then; ``faces/frame`` and ``ms/frame``
        since the row before, of processor time, which other programs don't change.
    """
    # A new process, because a peak never falls.
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as fresh,
    ):
        video = Path(folder) / "video.mp4"
        fresh.submit(_repeat, max(frames) + 2 * EVERY, video).result()
        return pd.DataFrame(fresh.submit(_measure, sorted(frames), video).result())


def _repeat(n: int, path: Path, length: int = 100) -> None:
    """A video of ``n`` frames, whose packets are those of ``length`` frames again and again."""
    once = path.with_name("once.mp4")
    with av.open(str(once), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 96
        for image, _ in rendered_clip(0, 0, 0, length, 96):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())
    with av.open(str(once)) as source, av.open(str(path), "w") as container:
        template = source.streams.video[0]
        stream, written = container.add_stream_from_template(template), 0
        while written < n:
            source.seek(0)
            for packet in source.demux(template):
                if packet.size and written < n:
                    packet.pts = packet.dts = round(written / 25 / packet.time_base)
                    packet.stream = stream
                    container.mux(packet)
                    written += 1


def _measure(frames: list[int], video: Path) -> list[dict[str, float]]:
    clock = _Clock(frames)
    out = predict_video(video, load_emofan("demo"), video.with_suffix(".parquet"), clock, every=EVERY)
    seen = pd.read_parquet(out, columns=["frame"])["frame"]
    rows, begin = [], 0
    for row in clock._rows:
        found = seen.between(begin, row["frames"], inclusive="left").sum()
        rows.append(row | {"faces/frame": found / (row["frames"] - begin)})
        begin = row["frames"]
    return rows


class _Clock(WholeImage):
    """Looks at the clock, too, when it is shown a frame."""

    def __init__(self, frames: list[int]) -> None:
        super().__init__(0.2)
        self._left, self._rows, self._looks = list(frames), [], 0
        self._last = 0, time.process_time()

    def __call__(self, image: NDArray[np.uint8]) -> Faces:
        done, now = EVERY * self._looks, time.process_time()
        if self._left and done >= self._left[0]:
            self._left = [n for n in self._left if n > done]
            begin, start = self._last
            self._rows.append({"frames": done, "MiB": _peak(), "ms/frame": 1000 * (now - start) / (done - begin)})
            self._last = done, now
        self._looks += 1
        return super().__call__(image)


def _peak() -> float:
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    print(video_flatness([int(n) for n in sys.argv[1:]]).round(1).to_string(index=False))
