"""Faces that look the same but are labelled otherwise: one of the labels is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pooch
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.neighbors import KDTree
from tqdm.auto import tqdm

from emokit.data.dataset import FaceDataset
from emokit.data.tables import BOX, Table, read_table
from emokit.inference.landmarks import fingerprint
from emokit.whole import whole

_SIDE = 32  # of the small grey picture, pixels
_WAVES = 8  # of its cosine transform, along each axis
_NEAR = 0.1  # distance of signatures: a copy scaled or compressed; other faces are mostly about 0.5 apart
_AXES = 12  # of the tree, which prunes worse with more
_CHUNK, _PAIRS = 2_000, 500_000  # rows and pairs that are compared at once


def image_signatures(samples: Table, folder: str | os.PathLike | None = None) -> NDArray[np.float32]:
    """What a face looks like in 63 numbers, (n, 63), of length 1: its coarsest waves of light and dark.

    They hardly change when a picture is scaled, compressed, brightened or cropped a little
    otherwise. Zeros stand for a picture without any contrast.

    Parameters
    ----------
    samples : DataFrame or path
        With ``image`` and a box or landmarks.
    folder : path, optional
        Where they are kept; the user's cache by default.

    Raises
    ------
    ValueError
        A row has no box.
    ImageError
        A picture cannot be read; the message names the sample.
    """
    samples = read_table(samples)
    samples = samples[[name for name in ("id", "image", *BOX, "landmarks") if name in samples]]
    path = Path(folder or pooch.os_cache("emokit")) / f"signatures-{fingerprint(samples, 'v1')}.npy"
    if not path.exists():
        faces = FaceDataset(samples, 4 * _SIDE)
        pool = Parallel(-1, prefer="threads", return_as="generator")
        parts = pool(delayed(_signature)(faces, row) for row in range(len(faces)))
        parts = list(tqdm(parts, "signatures", len(faces), unit=" faces", disable=None))
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as beside:
            np.save(beside, np.array(parts, np.float32).reshape(len(faces), -1))
    return np.load(path, mmap_mode="r")


def _signature(faces: FaceDataset, row: int) -> NDArray[np.float32]:
    crop = faces[row]["image"].permute(1, 2, 0).numpy()
    small = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    waves = cv2.dct(small.astype(np.float32))[:_WAVES, :_WAVES].ravel()[1:]
    length = np.linalg.norm(waves)
    return waves / length if length > 1 else np.zeros_like(waves)


def near_duplicates(signatures: NDArray[np.float32], near: float = _NEAR) -> Iterator[NDArray[np.int64]]:
    """Pairs of rows (k, 2), first < second, whose ``signatures`` are less than ``near`` apart, in parts."""
    rows = np.flatnonzero(np.any(signatures, axis=1))
    if len(rows) < 2:
        return
    signatures = signatures[rows]
    # A projection only brings points closer, so no pair is missed.
    flat = PCA(min(_AXES, *signatures.shape), random_state=0).fit_transform(signatures)
    tree = KDTree(flat)
    for start in range(0, len(rows), _CHUNK):
        found = tree.query_radius(flat[start : start + _CHUNK], near)
        first = np.repeat(np.arange(start, start + len(found)), [len(each) for each in found])
        pairs = np.column_stack((first, np.concatenate(found)))
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        for some in np.array_split(pairs, -(-len(pairs) // _PAIRS) or 1):
            apart = np.linalg.norm(signatures[some[:, 0]] - signatures[some[:, 1]], axis=1)
            yield rows[some[apart < near]]
