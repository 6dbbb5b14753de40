"""Weights and images that depend only on names, shapes and a seed.

Two implementations with the same state-dict names, filled here, must give the same outputs.
"""

import zlib

import numpy as np
import torch
from torch.nn import functional as F


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def tensor_for(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    rng = _generator(zlib.crc32(name.encode()))
    kind = name.rsplit(".", 1)[-1]
    if kind == "num_batches_tracked":
        return torch.tensor(1)
    if kind == "running_var":
        array = rng.uniform(0.5, 1.5, shape)
    elif kind == "running_mean":
        array = rng.standard_normal(shape) * 0.1
    elif len(shape) == 1:
        array = float(kind == "weight") + rng.standard_normal(shape) * 0.1
    else:
        array = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:])) / 2
    return torch.from_numpy(np.asarray(array, dtype=np.float32))


def fill(module: torch.nn.Module) -> torch.nn.Module:
    module.load_state_dict({k: tensor_for(k, tuple(v.shape)) for k, v in module.state_dict().items()})
    return module.eval()


def images(n: int = 2, size: int = 256) -> torch.Tensor:
    coarse = _generator(1000).uniform(0, 1, (n, 3, 16, 16)).astype(np.float32)
    return F.interpolate(torch.from_numpy(coarse), size=(size, size), mode="bilinear", align_corners=False)
