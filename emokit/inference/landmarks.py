"""Landmarks recomputed by FAN (modality F of the paper's Table 5), kept on disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pandas as pd
import pooch
import torch
from torch import nn

from emokit.data.crops import tight_box
from emokit.data.images import file_size
from emokit.data.tables import BOX, Table, landmarks_of, read_table, write_table
from emokit.inference.predict import predict
from emokit.inference.reading import table_sources


def recompute_landmarks(
    samples: Table, model: nn.Module, folder: str | os.PathLike | None = None, batch_size: int | None = None
) -> pd.DataFrame:
    """``samples`` with landmarks and boxes that ``model`` finds in the crops around the old ones.

    Parameters
    ----------
    samples : DataFrame or path
        With a box or landmarks in every row.
    model : EmoFAN
    folder : path, optional
        Where results are kept, one Parquet file per table and network; the user's cache by
        default.
    batch_size : int, optional
        As in `predict`.

    Returns
    -------
    DataFrame
        ``samples`` as `read_table` gives them, with new ``landmarks`` and ``x0 y0 x1 y1``.

    Raises
    ------
    ImageError
        A picture cannot be read; the message names it.
    ValueError
        A row has neither box nor landmarks.
    """
    samples = read_table(samples)
    bare = [source.id for source in table_sources(samples) if source.box is None]
    if bare:
        raise ValueError(f"sample {bare[0]!r} has neither box nor landmarks; `find_faces` gives it a box")
    path = Path(folder or pooch.os_cache("emokit")) / f"landmarks-{fingerprint(samples, model)}.parquet"
    if path.exists():
        found = read_table(path)
    else:
        found = predict(samples, model, batch_size=batch_size)[["id", "landmarks"]]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(found, path)
    samples["landmarks"] = found["landmarks"].to_numpy()
    samples[BOX] = tight_box(landmarks_of(samples))
    return samples


def fingerprint(samples: pd.DataFrame, finder: nn.Module | str, sizes: bool = True) -> str:
    """Of what landmarks or boxes follow from: pictures by path and size, known boxes, and the network or detector.

    Without ``sizes``, what has begun goes on after a picture is mended.
    """
    digest = hashlib.sha256()
    columns = [c for c in ("id", "image", *BOX) if c in samples]
    digest.update(pd.util.hash_pandas_object(samples[columns].astype(str), index=False).to_numpy().tobytes())
    if sizes and "image" in samples:
        digest.update(str([file_size(image) for image in samples["image"]]).encode())
    if "landmarks" in samples:
        digest.update(landmarks_of(samples).tobytes())
    digest.update((finder if isinstance(finder, str) else network_fingerprint(finder)).encode())
    return digest.hexdigest()[:16]


def network_fingerprint(model: nn.Module) -> str:
    """Of a network's kind, configuration and weights."""
    digest = hashlib.sha256(f"{type(model).__name__} {getattr(model, 'config', {})}".encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
