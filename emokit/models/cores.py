"""Work shared among cores without threads that wait for each other busily, as OpenMP's and NNPACK's do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")


def share(call: Callable[[Item], Any], items: Sequence[Item], threads: int) -> list[Any]:
    """``call`` of each of ``items``, on so many cores; each item is computed on one."""
    return list(_workers(threads).map(call, items))


@cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """Threads in which each layer computes on one core, and NNPACK starts no thread of its own."""
    before, barrier = torch.get_num_threads(), threading.Barrier(threads)

    def start(_: int) -> None:
        torch.get_num_threads()  # otherwise PyTorch sets the number anew at a thread's first layer
        torch.set_num_threads(1)
        barrier.wait()

    executor = ThreadPoolExecutor(threads)
    list(executor.map(start, range(threads)))  # all wait for each other, so that each starts once
    torch.set_num_threads(before)  # for threads to come, which take over the last setting
    return executor
