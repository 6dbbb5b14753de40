"""Batches of all processes together, for losses that are statistics of a batch."""

from __future__ import annotations

import torch
from torch import Tensor, distributed
from torch.distributed.nn.functional import all_gather


def gather_batch(tensor: Tensor) -> Tensor:
    """Rows (N, …) of every process, in the order of their ranks: (processes · N, …).

    Every process must bring equally many rows. Gradients flow back to the process that a row
    came from, so that after data-parallel averaging they are those of one process that saw
    the whole batch. Outside data-parallel training, ``tensor`` itself.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return tensor
    if tensor.requires_grad:
        return torch.cat(all_gather(tensor))
    rows = [torch.empty_like(tensor) for _ in range(distributed.get_world_size())]
    distributed.all_gather(rows, tensor.contiguous())
    return torch.cat(rows)
