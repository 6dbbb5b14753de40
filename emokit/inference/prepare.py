"""A network made ready for a device: one place that knows what is fast there and what it costs in digits."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from emokit.inference.modes import evaluating
from emokit.models.cores import share
from emokit.models.emofan import AffectOutput
from emokit.models.fan import FAN
from emokit.models.lean import lean, winograd_pays, with_winograd
from emokit.models.resnet import ResNet18

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}

# The largest map of a batch should stay in a processor's cache; a GPU holds some twenty such maps at once.
_CACHED = 12 * 2**20
_MAPS_ON_GPU = 20
# More faces together gain nothing, while the network waits until all of them are opened.
_MOST_TOGETHER, _MOST_TOGETHER_ON_GPU = 32, 256


def prepare(
    model: nn.Module,
    device: str | torch.device | None = None,
    *,
    precision: str = "float32",
    compile: bool = False,
) -> Prepared:
    """A copy of ``model`` that reads faces as fast as ``device`` can; give it to `predict`.

    In single precision valence and arousal stay equal to about 1e-6. With bfloat16 they move by
    about 1e-3 on average (`drift` measures it for your network and faces).

    Parameters
    ----------
    model : EmoFAN or ResNet18
        It stays as it is; later training does not reach the copy.
    device : str or torch.device, optional
        Where ``model`` is by default.
    precision : {"float32", "bfloat16"}
        A processor that cannot multiply in bfloat16 falls back to float32 with a warning.
    compile : bool
        Let `torch.compile` fuse what is left, which takes minutes at the first batch; on a processor
        an ONNX file (`export_onnx`) is sooner ready and faster. Where it does not work, for want of a
        compiler say, it is left out with a warning.

    Raises
    ------
    ValueError
        There is no such precision, no such device here, or ``model`` is what `prepare` or `load_onnx` gave.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is 'float32' or 'bfloat16', got {precision!r}")
    refuse_prepared(model, "prepare")
    if device is not None:
        _check_device(torch.device(device))
    device = torch.device(device) if device is not None else next(model.parameters()).device
    if precision == "bfloat16" and not has_bfloat16(device):
        warnings.warn("this processor does not multiply in bfloat16; float32 is used", stacklevel=2)
        precision = "float32"
    network = lean(model).to(device, PRECISIONS[precision])
    pays = device.type == "cpu" and precision == "float32" and not compile and winograd_pays(network)
    crowd = with_winograd(network) if pays else None
    return Prepared(network.to(memory_format=torch.channels_last), compile, crowd)


class Prepared(nn.Module):
    """What `prepare` gives; called as the network itself, with batches of any length.

    Attributes
    ----------
    network : nn.Module
        The copy that runs, channels last.
    crowd : nn.Module or None
        The one that runs instead where there is a face for every core: Winograd's convolutions gain
        nothing on cores that share a face.
    faces_at_once : int
        A batch goes through the network in parts of so many faces: as the processor's cache, or the
        GPU's free memory, can hold.
    batch_size : int
        Faces that `predict` brings together: four such parts for every core and at most 32, or on a GPU
        one part and at most 256.
    """

    def __init__(self, network: nn.Module, compile: bool = False, crowd: nn.Module | None = None) -> None:
        super().__init__()
        self.network, self.crowd, self._compile = network, crowd, compile
        self._compiled: dict[str, Callable] = {}
        self.faces_at_once, self.batch_size = _sizes(network, next(network.parameters()).device)
        if hasattr(network, "features"):
            self.features = partial(self._in_parts, "features")
        self.eval()

    def train(self, mode: bool = True) -> Prepared:
        """Stays in eval mode: batch norms folded away and those left would answer differently."""
        return super().train(False)

    @property
    def expressions(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.network.expressions

    @property
    def input_size(self) -> int:
        """Side of the crops that the network is meant for, in pixels."""
        return self.network.input_size

    @property
    def config(self) -> dict[str, Any]:
        """Of the network, and its kind."""
        return {"network": type(self.network).__name__, **self.network.config}

    def forward(self, images: Tensor) -> AffectOutput:
        """What the network says of ``images`` (N, 3, H, W), RGB in [0, 1], in single precision."""
        return self._in_parts("forward", images)

    @torch.inference_mode()
    def _in_parts(self, name: str, images: Tensor) -> Any:
        weight = next(self.network.parameters())
        images, threads = images.to(weight.device, weight.dtype), torch.get_num_threads()
        if self.crowd is not None and -(-len(images) // self.faces_at_once) >= threads:
            parts = images.contiguous().split(self.faces_at_once)
            return _joined(share(torch.inference_mode()(getattr(self.crowd, name)), parts, threads))
        parts = images.contiguous(memory_format=torch.channels_last).split(self.faces_at_once)
        return _joined([self._run(name, part) for part in parts])

    @torch.inference_mode()
    def _run(self, name: str, images: Tensor) -> Any:
        plain = getattr(self.network, name)
        if not self._compile:
            return plain(images)
        if name not in self._compiled:
            # Evaluated weights are constants: frozen, they are laid out once as the processor likes them.
            self._compiled[name] = torch.compile(plain, options={"freezing": True})
        try:
            return self._compiled[name](images)
        except torch._dynamo.exc.TorchDynamoException as error:  # no compiler, or one that fails
            reason = str(error).strip().splitlines()[0]
            warnings.warn(f"torch.compile does not work here and is left out: {reason}", stacklevel=2)
            self._compile = False
            return plain(images)


def refuse_prepared(model: nn.Module, function: str) -> None:
    """``function`` wants the network itself, not what was made of it."""
    if isinstance(model, Prepared) or next(model.parameters(), None) is None:
        raise ValueError(f"{function} takes the network itself, not what prepare or load_onnx made of it")


def _check_device(device: torch.device) -> None:
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        here = f"{torch.cuda.device_count()} GPUs" if torch.cuda.is_available() else "no GPU that PyTorch can use"
        raise ValueError(f"there is no {device}: this machine has {here}; leave device out, or pass 'cpu'")


def ready(model: nn.Module, device: torch.device | None = None) -> nn.Module:
    """``model`` prepared as by default, unless it is already, or is a network of somebody else's."""
    return prepare(model, device) if isinstance(model, FAN | ResNet18) else model


def faces_together(network: nn.Module) -> int:
    """Faces in a batch for ``network``: what `prepare` found for it, or 32 for networks of others."""
    return getattr(network, "batch_size", 32)


def has_bfloat16(device: str | torch.device = "cpu") -> bool:
    """Whether ``device`` multiplies in bfloat16 itself, which is when it is faster."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return device.type == "cpu" and any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


@torch.inference_mode()
def drift(model: nn.Module, ways: Mapping[str, nn.Module], images: Tensor) -> pd.DataFrame:
    """How far the answers of prepared networks lie from those of ``model`` as it is.

    Parameters
    ----------
    model : EmoFAN or ResNet18
        In single precision.
    ways : mapping of str to Prepared
    images : Tensor, shape (N, 3, H, W)
        RGB in [0, 1].

    Returns
    -------
    DataFrame
        Indexed by way: mean absolute difference of ``valence`` and ``arousal`` (both reach from -1 to
        1), the ``largest`` of either, and the share of faces with the ``same expression``.
    """
    with evaluating(model):
        plain = model(images)
    rows = {}
    for name, way in ways.items():
        out = way(images)
        apart = {k: (getattr(out, k).float() - getattr(plain, k)).abs() for k in ("valence", "arousal")}
        same = out.expression.argmax(dim=1) == plain.expression.argmax(dim=1)
        rows[name] = {k: d.mean().item() for k, d in apart.items()} | {
            "largest": max(d.max().item() for d in apart.values()),
            "same expression": same.float().mean().item(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("way")


def _sizes(network: nn.Module, device: torch.device) -> tuple[int, int]:
    """Faces whose largest map fits into the cache of a processor, or all of whose maps fit into a GPU; and
    faces to bring together for it."""
    weight = next(network.parameters())
    size = getattr(network, "input_size", 256)
    # The widest map is that of the first block, at half the input's size and with half the channels.
    largest = getattr(network, "width", 64) // 2 * (size // 2) ** 2 * weight.element_size()
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        faces = max(1, int(0.8 * free) // (_MAPS_ON_GPU * largest))
        return faces, min(_MOST_TOGETHER_ON_GPU, faces)
    faces = max(1, _CACHED // largest)
    return faces, min(_MOST_TOGETHER, 4 * torch.get_num_threads() * faces)


def _joined(parts: list[Any]) -> Any:
    """The answer for a batch from those for its parts: tensors, or tuples of them, in single precision."""
    first = parts[0]
    if first is None:
        return None
    if isinstance(first, Tensor):
        return (first if len(parts) == 1 else torch.cat(parts)).float()
    joined = [_joined(list(same)) for same in zip(*parts, strict=True)]
    return type(first)(*joined) if hasattr(first, "_fields") else tuple(joined)
