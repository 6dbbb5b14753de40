"""What the folder of a run says: which run it is, and whether that is finished."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL.Image import Image

from emokit.data.images import file_size, is_path
from emokit.data.tables import BOX
from emokit.training.config import Config
from emokit.whole import write_json

# What may change between a run and its continuation.
_FREE = {"epochs", "landmark_epochs", "workers", "out"}
_READ = 64  # pictures whose content tells one data set from another


def finished(config: Config, train: pd.DataFrame, validation: pd.DataFrame) -> dict[str, float] | None:
    """Metrics of this very run if ``config.out`` has them; if not, the folder is made ready for it.

    Raises
    ------
    ValueError
        The folder holds a run of another configuration or other samples.
    """
    about: dict[str, Any] = json.loads(config.model_dump_json())
    about |= {"train faces": _fingerprint(train), "validation faces": _fingerprint(validation)}
    path, result = config.out / "config.json", config.out / "result.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    changed = [name for name in about if before and name not in _FREE and about[name] != before.get(name)]
    if changed:
        name = changed[0]
        raise ValueError(
            f"{config.out} holds a run with {name} {before.get(name)}, not {about[name]}; "
            "choose another out, or delete that folder"
        )
    if before == about and result.exists():
        return json.loads(result.read_text())
    if int(os.environ.get("RANK", 0)) == 0:
        config.out.mkdir(parents=True, exist_ok=True)
        # A shorter run's result goes first: whoever reads the new configuration must not take it for its own.
        result.unlink(missing_ok=True)
        write_json(about, path)
    return None


def weights_file(config: Config) -> Path:
    """Where a finished run has its trained network, for `load_emofan` or `load_resnet18`."""
    return config.out / "model.safetensors"


def _fingerprint(samples: pd.DataFrame) -> str:
    """Of all that training reads of ``samples``: labels, boxes, landmarks and pictures.

    A picture counts by its path and size: the content of 450,000 takes as long to read as an epoch, their
    sizes take seconds. So that pictures of equal size count too, `_READ` of them, evenly spread, are read.
    Times of change do not count, because a copy of the same data has others.
    """
    names = ("id", "image", "expression", "valence", "arousal", *BOX)
    columns = samples[[name for name in names if name in samples]]
    if "image" in columns:
        paths = [str(image) if is_path(image) else "" for image in samples["image"]]
        columns = columns.assign(image=paths, size=[file_size(path) for path in paths])
    digest = hashlib.sha256(pd.util.hash_pandas_object(columns, index=False).to_numpy().tobytes())
    for cell in samples.get("landmarks", ()):
        digest.update(cell.encode() if isinstance(cell, str) else np.asarray(cell, np.float32).tobytes())
    images = samples["image"].to_numpy() if "image" in samples else np.empty(0)
    for row in np.unique(np.linspace(0, len(images) - 1, min(_READ, len(images))).round().astype(int)):
        if file_size(images[row]) >= 0:
            digest.update(Path(images[row]).read_bytes())
    for image in images:
        if isinstance(image, np.ndarray | Image):
            digest.update(np.asarray(image).tobytes())
    return digest.hexdigest()[:16]
