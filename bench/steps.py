"""What is measured, step by step; each step gives what JSON can hold."""

from __future__ import annotations

import importlib.util
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from PIL import Image
from skimage.data import astronaut
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.measure import interleaved, ratios
from emokit.data import sample_faces
from emokit.inference import drift, export_onnx, load_onnx, predict, prepare
from emokit.inference.prepare import has_bfloat16
from emokit.models import EmoFAN, load_emofan
from emokit.models.lean import lean

Result = dict[str, Any]
Step = tuple[str, Callable[[], Result]]


@dataclass(frozen=True)
class Size:
    """How much is measured: the full run takes a quarter of an hour on two cores, the quick one two minutes."""

    width: int = 256
    input_size: int = 256
    batches: tuple[int, ...] = (1, 8, 32)
    seconds: float = 25.0  # of a step, beside its first four rounds
    rounds: int = 3
    photos: int = 16
    exported: bool = True
    compiled: bool = True
    product: int = 2048


FULL = Size()
QUICK = Size(batches=(1, 8), seconds=5.0, rounds=1, photos=4, compiled=False)


def steps(size: Size) -> Iterator[Step]:
    """Names and calls, the most wanted first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        demo = load_emofan("demo")
    torch.manual_seed(0)
    full = EmoFAN(width=size.width, input_size=size.input_size).eval()
    for name, model in (("full-size network", full), ("demo network", demo)):
        ways = cache(partial(_ways, model, size.exported))
        for batch in size.batches:
            yield f"{name}, batch {batch}", partial(_network, model, ways, batch, size)
        yield f"{name}, drift", partial(_drift, model, ways)
    if size.compiled:
        yield "demo network compiled, batch 8", partial(_compiled, demo, size)
    yield "photographs to table", partial(_table, full, size)
    yield "GPU", partial(_gpu, full, size)


def _ways(model: nn.Module, exported: bool) -> dict[str, Callable[[Tensor], Any]]:
    ways = {"default": prepare(model), "channels last": _channels_last(model)}
    if has_bfloat16():
        ways["bfloat16"] = prepare(model, precision="bfloat16")
    if exported and importlib.util.find_spec("openvino") and importlib.util.find_spec("onnxscript"):
        with tempfile.TemporaryDirectory() as folder:
            path = export_onnx(model, Path(folder) / "network.onnx")
            ways["ONNX file"] = load_onnx(path)
            if has_bfloat16():
                ways["ONNX file, bfloat16"] = load_onnx(path, precision="bfloat16")
    return ways


def _channels_last(model: nn.Module) -> Callable[[Tensor], Any]:
    """The lean network without Winograd, a whole batch at once."""
    network = lean(model).to(memory_format=torch.channels_last)
    return torch.inference_mode()(lambda images: network(images.contiguous(memory_format=torch.channels_last)))


def _network(model: nn.Module, ways: Callable[[], dict], batch: int, size: Size) -> Result:
    """Seconds of a batch each way, beside a large matrix product in the same rounds."""
    images = _faces(model.input_size, batch)
    calls = {"plain": partial(torch.no_grad()(model), images)}
    calls |= {name: partial(way, images) for name, way in ways().items()}
    products = {}
    for dtype in (torch.float32, torch.bfloat16)[: 1 + has_bfloat16()]:
        square = torch.rand(size.product, size.product).to(dtype)
        products[f"matrix product, {str(dtype).removeprefix('torch.')}"] = partial(torch.mm, square, square)
    table = ratios(interleaved(calls | products, size.seconds, size.rounds))
    work = batch * _operations(model) / 1e9
    table["faces/s"] = (batch / table["seconds"]).drop(list(products))
    table["GFLOP/s"] = work / table["seconds"]
    for name in products:
        table.loc[name, "GFLOP/s"] = 2 * size.product**3 / 1e9 / table.loc[name, "seconds"]
        table.loc[name, ["ratio", "low", "high"]] = float("nan")
    same = [f"matrix product, {'bfloat16' if 'bfloat16' in way else 'float32'}" for way in table.index]
    table["of the product"] = table["GFLOP/s"] / table.loc[same, "GFLOP/s"].to_numpy()
    return {"rows": _rows(table), "GFLOP of a face": work / batch}


def _compiled(model: nn.Module, size: Size) -> Result:
    """What `torch.compile` adds, what it costs in digits, and the seconds that it takes."""
    images, compiled = _faces(model.input_size, 8), prepare(model, compile=True)
    start = time.perf_counter()
    compiled(images)
    first = time.perf_counter() - start
    table = _timed_with_drift(model, {"default": prepare(model), "compiled": compiled}, images, size)
    return {"rows": _rows(table), "seconds of the first call": first}


def _timed_with_drift(model: nn.Module, ways: dict[str, nn.Module], images: Tensor, size: Size) -> pd.DataFrame:
    calls = {"plain": torch.no_grad()(model)} | ways
    seconds = interleaved({name: partial(call, images) for name, call in calls.items()}, size.seconds, size.rounds)
    return ratios(seconds).join(drift(model, ways, images))


def _drift(model: nn.Module, ways: Callable[[], dict]) -> Result:
    return {"rows": _rows(drift(model, ways(), _faces(model.input_size, 32)))}


def _table(model: nn.Module, size: Size) -> Result:
    """Photographs on disk to the predictions table, and the share of the time spent outside the network."""
    known = sample_faces().head(size.photos)
    with tempfile.TemporaryDirectory() as folder:
        photos = [Path(folder) / f"{k}.jpg" for k in range(size.photos)]
        for path in photos:
            Image.fromarray(astronaut()).save(path)
        rows = []
        for name, images in (("faces known", known), ("faces found by the detector", photos)):
            runs = [_outside(model, images) for _ in range(size.rounds)]
            rows.append({"way": name, "photographs": size.photos} | pd.DataFrame(runs).median().to_dict())
    return {"rows": rows}


def _outside(model: nn.Module, images: Any) -> dict[str, float]:
    network = _Watched(prepare(model))
    start = time.perf_counter()
    predict(images, network, progress=False)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "outside the network": 1 - network.seconds / seconds}


class _Watched(nn.Module):
    """A network that counts the seconds spent in it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.seconds = network, 0.0
        self.expressions, self.input_size = network.expressions, network.input_size

    def forward(self, images: Tensor) -> Any:
        return self._watch(self.network, images)

    def features(self, images: Tensor) -> Any:
        return self._watch(self.network.features, images)

    def _watch(self, call: Callable[[Tensor], Any], images: Tensor) -> Any:
        start = time.perf_counter()
        found = call(images)
        self.seconds += time.perf_counter() - start
        return found


def _gpu(model: nn.Module, size: Size) -> Result:
    if not torch.cuda.is_available():
        return {"rows": [], "skipped": "no GPU on this machine"}
    batch = 4 * max(size.batches)
    images = _faces(model.input_size, batch).cuda()
    model = model.cuda()
    ways = {precision: prepare(model, precision=precision) for precision in ("float32", "bfloat16")}
    if size.compiled:
        ways["compiled, bfloat16"] = prepare(model, precision="bfloat16", compile=True)
    table = _timed_with_drift(model, ways, images, size)
    table["faces/s"] = batch / table["seconds"]
    return {"rows": _rows(table), "batch": batch}


def _faces(side: int, n: int) -> Tensor:
    """The shipped rendered faces, over and over, (n, 3, side, side)."""
    paths = sample_faces()["image"]
    pictures = [Image.open(paths.iloc[k % len(paths)]).convert("RGB").resize((side, side)) for k in range(n)]
    return (
        torch.stack([torch.frombuffer(bytearray(p.tobytes()), dtype=torch.uint8) for p in pictures])
        .view(n, side, side, 3)
        .permute(0, 3, 1, 2)
        .float()
        .contiguous()
        / 255
    )


def _operations(model: nn.Module) -> int:
    """Floating-point operations for one face, two per multiplication, as plain convolutions."""
    side = model.input_size
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, side, side))
    return counter.get_total_flops()


def _rows(table: pd.DataFrame) -> list[Result]:
    """Rows with their index as ``way``; None for what is not a number."""
    records = table.reset_index().to_dict("records")
    return [{k: None if v != v else v for k, v in row.items()} for row in records]
