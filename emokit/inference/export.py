"""Networks as ONNX files, and such files as networks: OpenVINO runs them, without PyTorch's overhead."""

from __future__ import annotations

import json
import logging
import os
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from emokit.inference.prepare import PRECISIONS, refuse_prepared
from emokit.models.emofan import AffectOutput
from emokit.models.lean import lean
from emokit.whole import whole

# Outputs of a file may differ by so much from those of the network; larger ones in proportion.
TOLERANCE = 1e-4


def export_onnx(model: nn.Module, path: str | os.PathLike) -> Path:
    """Write ``model`` as an ONNX file that takes batches of any length, and check what it answers.

    Input ``images`` (N, 3, H, W), RGB in [0, 1], H = W = ``model.input_size``; outputs ``heatmaps``
    (of a network with landmarks), ``expression`` (logits), ``valence`` and ``arousal``, as in
    `AffectOutput`. The file's metadata has the expressions' names and the input size.

    Parameters
    ----------
    model : EmoFAN or ResNet18
    path : path
        Ends in ``.onnx``.

    Raises
    ------
    ImportError
        ``pip install 'emokit[onnx]'`` is needed.
    ValueError
        ``path`` has another suffix, or ``model`` is what `prepare` or `load_onnx` gave.
    RuntimeError
        Some output of the file differs from the network's by more than ``TOLERANCE``; no file is left.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise ValueError(f"{path} does not end in .onnx; rename it")
    refuse_prepared(model, "export_onnx")
    network = _Tensors(lean(model).cpu().float())
    size = model.input_size
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    with _needed(), torch.no_grad():
        import onnx

        expected = dict(zip(network.names(images), network(images), strict=True))
        with _silence():
            program = torch.onnx.export(
                network,
                (images,),
                input_names=["images"],
                output_names=list(expected),
                dynamic_shapes={"images": {0: torch.export.Dim("faces")}},
                dynamo=True,
                verbose=False,
            )
    proto = program.model_proto
    about = {"expressions": list(model.expressions), "input_size": size, "network": type(model).__name__}
    onnx.helper.set_model_props(proto, {"emokit": json.dumps(about)})
    with whole(path) as beside:
        onnx.save(proto, beside)
        _verify(beside, images, expected)
    return path


def load_onnx(path: str | os.PathLike, *, precision: str = "float32", threads: int | None = None) -> Exported:
    """A file that `export_onnx` wrote, for `predict`; OpenVINO runs it on the processor.

    Parameters
    ----------
    path : path
    precision : {"float32", "bfloat16"}
        What OpenVINO computes in; a processor without bfloat16 computes in float32.
    threads : int, optional
        As many as PyTorch uses by default.

    Raises
    ------
    ImportError
        ``pip install 'emokit[onnx]'`` is needed.
    ValueError
        There is no such file or precision, or emokit did not write it; the message names it.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is 'float32' or 'bfloat16', got {precision!r}")
    with _needed():
        import openvino
    core = openvino.Core()
    if not Path(path).is_file():
        raise ValueError(f"{path} does not exist; write it with emokit.inference.export_onnx")
    try:
        graph = core.read_model(path)
        about = json.loads(graph.get_rt_info(["framework", "emokit"]).value)
    except RuntimeError as error:
        raise ValueError(f"{path} is no ONNX file of emokit's; write it with emokit.inference.export_onnx") from error
    options = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": threads or torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    return Exported(core.compile_model(graph, "CPU", options), about)


class Heatmaps(NamedTuple):
    """What a file tells of `FANFeatures`."""

    heatmaps: tuple[Tensor]


class Exported(nn.Module):
    """What `load_onnx` gives; called as the network itself."""

    def __init__(self, compiled: object, about: dict) -> None:
        super().__init__()
        self._compiled, self._names = compiled, [output.get_any_name() for output in compiled.outputs]
        self.expressions, self.input_size = tuple(about["expressions"]), about["input_size"]
        self.config = about
        if "heatmaps" in self._names:
            self.features = lambda images: Heatmaps((self(images).heatmaps,))

    def forward(self, images: Tensor) -> AffectOutput:
        """What the network says of ``images`` (N, 3, H, W), RGB in [0, 1]."""
        found = self._compiled([images.contiguous().numpy()])
        tensors = {name: torch.from_numpy(found[k]) for k, name in enumerate(self._names)}
        return AffectOutput(*(tensors.get(name) for name in AffectOutput._fields))


class _Tensors(nn.Module):
    """A network whose answer is a plain tuple without None, as the exporter wants it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor for tensor in self.network(images) if tensor is not None)

    def names(self, images: Tensor) -> list[str]:
        return [name for name, tensor in self.network(images)._asdict().items() if tensor is not None]


def _verify(path: Path, images: Tensor, expected: dict[str, Tensor]) -> None:
    """Compare a file's answers with ``expected`` ones, for batches of another length than it was traced with."""
    exported = load_onnx(path)
    for n in (1, len(images)):
        found = exported(images[:n])
        for name, tensor in expected.items():
            apart = (getattr(found, name) - tensor[:n]).abs().max().item()
            if not apart <= TOLERANCE * max(1, tensor.abs().max().item()):
                raise RuntimeError(
                    f"{name} of the ONNX file differs from the network's by {apart:.1e}; nothing was written"
                )


@contextmanager
def _needed():
    try:
        yield
    except ImportError as error:
        raise ImportError("ONNX files need: pip install 'emokit[onnx]'") from error


@contextmanager
def _silence():
    """Without the exporter's remarks on its own progress and its versions."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
