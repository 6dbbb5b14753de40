"""What a network, and the folder of its training, say of themselves: fields of its card."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

import emokit

SHIPPED = Path(emokit.__file__).parent / "weights"


def describe_model(model: nn.Module, weights: str | os.PathLike | None = None) -> dict[str, str]:
    """Fields of a model card that need nobody to state them.

    Parameters
    ----------
    model : Module
        From `emokit.models.load_emofan` or `load_resnet18`; of another, what it has is told.
    weights : path, optional
        The file that it was loaded from; the kit's own is known. Beside the weights of a run of
        `emokit.training.fit` lies what it was trained on.

    Returns
    -------
    dict
        ``Architecture``, ``Parameters``, ``Input size``, ``Outputs``, ``Weights (SHA-256)`` (of the
        file, or else of the numbers in memory, by name) and ``Trained on``, as far as they are known.

    Raises
    ------
    FileNotFoundError
        There is no such file of weights.
    """
    config = ", ".join(f"{name} {value}" for name, value in getattr(model, "config", {}).items())
    outputs = ["valence and arousal in [-1, 1]"]
    if hasattr(model, "expressions"):
        outputs.insert(0, f"expression ({', '.join(model.expressions)})")
    size = getattr(model, "input_size", None)
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    file = _shipped(state) if weights is None else Path(weights)
    said = {
        "Architecture": f"{type(model).__name__} ({config})" if config else type(model).__name__,
        "Parameters": f"{sum(p.numel() for p in model.parameters()):,}",
        "Input size": f"{size} × {size} pixels" if size else "",
        "Outputs": "; ".join(outputs),
        "Weights (SHA-256)": sha256(file.read_bytes()).hexdigest() if file else f"{_digest(state)} (numbers in memory)",
        "Trained on": _trained_on(file) if file else "",
    }
    return {name: text for name, text in said.items() if text}


def _shipped(state: dict[str, torch.Tensor]) -> Path | None:
    """The file of the kit's own weights that these are."""
    for path in sorted(SHIPPED.glob("*.safetensors")):
        own = load_file(path)
        if own.keys() == state.keys() and all(torch.equal(own[k].to(v.dtype), v) for k, v in state.items()):
            return path
    return None


def _digest(state: dict[str, torch.Tensor]) -> str:
    digest = sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _trained_on(weights: Path) -> str:
    if weights.resolve().parent == SHIPPED.resolve():
        return "rendered faces of emokit alone; no photograph of anyone"
    path = weights.parent / "config.json"
    if not path.exists():
        return ""
    about = json.loads(path.read_text())
    begun = f", begun with the weights {about['weights']}" if about.get("weights") else ""
    return f"faces with the fingerprint {about['train faces']}, {about['epochs']} epochs{begun}; {path.name} beside the weights"
