"""Frames of annotated videos as pictures on disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import cv2
import pandas as pd
import pooch
from tqdm.auto import tqdm

from emokit.data.images import write_picture
from emokit.data.problems import DataError, Problems
from emokit.data.tables import read_table


def extract_frames(
    samples: pd.DataFrame, folder: str | os.PathLike | None = None, *, on_error: str = "raise"
) -> pd.DataFrame:
    """``samples`` with ``image``, the frame's JPEG file; each video is decoded once, as a stream.

    Parameters
    ----------
    samples : DataFrame
        With ``id``, ``video`` and ``frame``.
    folder : path, optional
        Where pictures go; the user's cache by default, apart for every video file, because
        copies of the data set share names. Those already there are used.
    on_error : {"raise", "skip"}
        See `Problems`.

    Raises
    ------
    DataError
        A video is missing, or ends before a frame that is asked for.
    """
    samples, problems = read_table(samples).reset_index(drop=True), Problems(on_error)
    problems.found = list(samples.attrs.get("skipped", []))
    samples["image"] = None
    for video, faces in tqdm(samples.groupby("video"), desc="videos", disable=None):
        try:
            place = Path(folder) if folder else _cache_of(video)
        except DataError as error:
            problems.take(error)
            continue
        images = pd.Series([str(place / f"{face_id}.jpg") for face_id in faces["id"]], faces.index)
        absent = images[~images.map(os.path.exists)]
        lost = _write_frames(video, absent.groupby(faces["frame"]).agg(list).to_dict())
        for frame in lost:
            problem = f"the video ends before frame {frame}, or cannot be decoded there"
            problems.add(video, frame, problem, "replace it or leave out the recording")
        samples["image"] = samples["image"].fillna(images[~faces["frame"].isin(lost)])
    return problems.attach(samples[samples["image"].notna()].reset_index(drop=True))


def _write_frames(video: str, images: dict[int, list[str]]) -> list[int]:
    """Write frames of ``video`` to their ``images``; those that it does not give are returned."""
    missing, number = dict(images), 0
    capture = cv2.VideoCapture(str(video))
    while missing and capture.grab():
        if number in missing and (picture := capture.retrieve()[1]) is not None:
            for image in map(Path, missing.pop(number)):
                image.parent.mkdir(parents=True, exist_ok=True)
                write_picture(picture[:, :, ::-1], image, quality=95)
        number += 1
    capture.release()
    return sorted(missing)


def _cache_of(video: str) -> Path:
    path = Path(video)
    if not path.is_file():
        raise DataError.at(video, None, "the video is missing", "put it back, or read the data set again")
    about = f"{path.absolute()} {path.stat().st_size} {path.stat().st_mtime_ns}"
    return Path(pooch.os_cache("emokit")) / "frames" / hashlib.sha256(about.encode()).hexdigest()[:12]
