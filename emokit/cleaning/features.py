"""Frozen features of faces: what heads are fitted on that judge labels out of fold."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pooch
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from tqdm.auto import tqdm

from emokit.data.dataset import FaceDataset
from emokit.data.tables import BOX, Table, read_table
from emokit.inference.landmarks import fingerprint
from emokit.models.emofan import EmoFAN, attention_map
from emokit.models.fan import FAN, landmarks_from_heatmaps
from emokit.models.resnet import ResNet18

Part = Literal["fan", "head"]
_LARGEST = 6e4  # half precision ends at 65,504


def frozen_features(
    samples: Table,
    model: nn.Module,
    part: Part = "fan",
    *,
    batch_size: int = 32,
    workers: int = 0,
    folder: str | os.PathLike | None = None,
) -> NDArray[np.float16]:
    """Features (n, d) of the faces of ``samples``, mapped from a file rather than held in memory.

    Parameters
    ----------
    samples : DataFrame or path
        With ``image`` and a box or landmarks in every row.
    model : FAN, EmoFAN or ResNet18
        On the device it is to run on.
    part : {"fan", "head"}
        "fan": what the landmark network sees where its heatmaps look, and the landmarks. The paper
        and emokit train it on landmarks alone, so it has seen no affect label. "head": what the
        last layer of the affect head, or of ResNet18, reads; only for weights that were trained on
        other faces' labels.
    batch_size : int
    workers : int
        Further processes that open pictures.
    folder : path, optional
        Where features are kept, one file per table and network; the user's cache by default. The
        same call goes on where an earlier one was stopped.

    Raises
    ------
    ValueError
        The network has no such part, or a row has no box.
    ImageError
        A picture cannot be read; the message names the sample.
    """
    extract = _extractor(model, part)
    samples = read_table(samples)
    samples = samples[[name for name in ("id", "image", *BOX, "landmarks") if name in samples]]
    path = Path(folder or pooch.os_cache("emokit")) / f"features-{part}-{fingerprint(samples, model, sizes=False)}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        faces = FaceDataset(samples, getattr(model, "input_size", 256))
        training = model.training
        model.eval()
        try:
            _fill(path, faces, extract, next(model.parameters()).device, batch_size, workers)
        finally:
            model.train(training)
    return np.load(path, mmap_mode="r")


def _extractor(model: nn.Module, part: Part) -> Callable[[Tensor], Tensor]:
    if part not in ("fan", "head"):
        raise ValueError(f"part is 'fan' or 'head', got {part!r}")
    if part == "fan" and isinstance(model, FAN):
        return lambda images: _attended(model, images)
    if part == "head" and isinstance(model, EmoFAN | ResNet18):
        return lambda images: _before_last(model, images)
    mend = "pass part='head' if its weights have not seen these labels" if part == "fan" else "pass part='fan'"
    raise ValueError(f"{type(model).__name__} has no part {part!r}; {mend}, or an EmoFAN")


def _attended(model: FAN, images: Tensor) -> Tensor:
    """Means of stem and hourglasses under the attention, and landmarks as shares of the crop."""
    known = model.features(images)
    maps, heat = torch.cat((known.stem, *known.hourglass), dim=1), known.heatmaps[1]
    weight = attention_map(heat).clamp(min=0)
    seen = (maps * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp(min=1e-6)
    return torch.cat((seen, landmarks_from_heatmaps(heat)[0].flatten(1) / images.shape[-1]), dim=1)


def _before_last(model: EmoFAN | ResNet18, images: Tensor) -> Tensor:
    read: list[Tensor] = []
    last = model.emo_fc_2 if isinstance(model, EmoFAN) else model.fc
    hook = last.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    try:
        model(images)
    finally:
        hook.remove()
    return read[0]


@torch.inference_mode()
def _fill(
    path: Path,
    faces: FaceDataset,
    extract: Callable[[Tensor], Tensor],
    device: torch.device,
    batch_size: int,
    workers: int,
) -> None:
    """Rows in their order, into a file that gets its name when the last one is there."""
    part = path.with_suffix(".part.npy")
    found = open_memmap(part, "r+") if part.exists() else None
    done = 0 if found is None else _rows_done(found)
    loader = DataLoader(Subset(faces, range(done, len(faces))), batch_size, num_workers=workers)
    with tqdm(desc="features", total=len(faces), initial=done, unit=" faces", disable=None) as bar:
        for batch in loader:
            rows = extract(batch["image"].to(device).float() / 255).clamp(-_LARGEST, _LARGEST).cpu().numpy()
            if found is None:
                found = open_memmap(part, "w+", np.float16, (len(faces), rows.shape[1]))
                found[:] = np.nan
            found[done : done + len(rows)] = rows
            done += len(rows)
            bar.update(len(rows))
    found.flush()
    part.replace(path)


def _rows_done(found: NDArray[np.float16]) -> int:
    """Rows before the first whose last number is still missing."""
    missing = np.isnan(found[:, -1])
    return int(missing.argmax()) if missing.any() else len(found)
