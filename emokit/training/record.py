"""What the folder of a run says: which run it is, and whether that is finished."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from emokit.training.config import Config

# What may change between a run and its continuation.
_FREE = {"epochs", "landmark_epochs", "workers", "out"}


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


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write ``content`` so that another process finds a whole file or none."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(content, indent=2))
    beside.replace(path)


def weights_file(config: Config) -> Path:
    """Where a finished run has its trained network, for `load_emofan` or `load_resnet18`."""
    return config.out / "model.safetensors"


def _fingerprint(samples: pd.DataFrame) -> str:
    labels = samples[[c for c in ("id", "expression", "valence", "arousal") if c in samples]]
    return hashlib.sha256(pd.util.hash_pandas_object(labels, index=False).to_numpy().tobytes()).hexdigest()[:16]
