"""Face boxes for a samples table that has none, such as frames of a video; kept on disk."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pooch
from tqdm.auto import tqdm

from emokit.data.images import load_image
from emokit.data.problems import Problems
from emokit.data.tables import BOX, read_table, write_table
from emokit.inference.faces import CascadeDetector, Detector, Faces, described
from emokit.inference.landmarks import fingerprint


def find_faces(
    samples: pd.DataFrame,
    detector: Detector | None = None,
    *,
    reach: float = 0.5,
    folder: str | os.PathLike | None = None,
    on_error: str = "skip",
) -> pd.DataFrame:
    """``samples`` with the box of the largest face in every picture.

    A frame in which the detector sees no face takes the box from the nearest frame of its
    video, at most ``reach`` seconds away.

    Parameters
    ----------
    samples : DataFrame
        With ``image``; ``video`` and ``time`` (s) where rows are frames.
    detector : Detector, optional
        `CascadeDetector` by default.
    reach : float
    folder : path, optional
        Where boxes are kept, one file per table and detector; the user's cache by default.
    on_error : {"raise", "skip"}
        What to do with pictures that still have no face: see `Problems`.
    """
    samples, problems = read_table(samples), Problems(on_error)
    problems.found = list(samples.attrs.get("skipped", []))
    detector = detector or CascadeDetector()
    path = Path(folder or pooch.os_cache("emokit")) / f"boxes-{fingerprint(samples, described(detector))}.parquet"
    if path.exists():
        boxes = read_table(path)[BOX].to_numpy(float)
    else:
        images = tqdm(samples["image"], "looking for faces", disable=None)
        boxes = np.array([_largest(Faces(*detector(load_image(image)))) for image in images]).reshape(-1, 4)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(pd.DataFrame(boxes, columns=BOX).assign(id=samples["id"].to_numpy()), path)
    samples[BOX] = boxes
    if {"video", "time"} <= set(samples):
        for _, frames in samples.groupby("video"):
            samples.loc[frames.index, BOX] = _nearest(frames, reach)
    faceless = samples["x0"].isna()
    for face in samples[faceless].itertuples():
        problems.add(face.image, None, "no face found", "try another detector, or on_error='skip'")
    if faceless.all() and len(samples):
        raise ValueError("no face was found in any picture; try another detector")
    if faceless.any():
        warnings.warn(f"{faceless.sum()} of {len(samples)} pictures show no face and are left out", stacklevel=2)
    return problems.attach(samples[~faceless].reset_index(drop=True))


def _largest(faces: Faces) -> np.ndarray:
    return faces.boxes[faces.largest_first()[0]] if len(faces.boxes) else np.full(4, np.nan)


def _nearest(frames: pd.DataFrame, reach: float) -> np.ndarray:
    """Boxes of one video's ``frames``, gaps filled from the nearest known one."""
    boxes, time = frames[BOX].to_numpy(float), frames["time"].to_numpy(float)
    known = np.flatnonzero(~np.isnan(boxes[:, 0]))
    if not len(known):
        return boxes
    distance = np.abs(time[:, None] - time[known])
    source = known[distance.argmin(axis=1)]
    return np.where((distance.min(axis=1) <= reach)[:, None], boxes[source], np.nan)
