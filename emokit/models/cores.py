"""Work shared among cores without threads that wait for each other busily, as OpenMP's and NNPACK's do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")
_here = threading.local()


def share(call: Callable[[Item], Any], items: Sequence[Item], threads: int) -> list[Any]:
    """``call`` of each of ``items``, on so many cores.

    Where items are fewer than ``threads``, they come one after the other, and `bands` tells layers into
    how many pieces to cut their work.
    """
    if threads == 1:
        return [call(item) for item in items]
    if len(items) >= threads:
        return list(_workers(threads).map(call, items))
    return _conductor(threads).submit(lambda: [call(item) for item in items]).result()


def bands() -> int:
    """Pieces into which a layer should cut its work; 1 unless `share` says otherwise."""
    return getattr(_here, "bands", 1)


def side_by_side(call: Callable[[Item], Any], items: Sequence[Item]) -> list[Any]:
    """``call`` of each of the pieces, as many as `bands`."""
    return [call(items[0])] if len(items) == 1 else list(_workers(len(items)).map(call, items))


@cache
def _workers(threads: int) -> ThreadPoolExecutor:
    return _one_core_each(threads, 1)


@cache
def _conductor(threads: int) -> ThreadPoolExecutor:
    """One thread that waits while others work on its bands."""
    return _one_core_each(1, threads)


def _one_core_each(threads: int, bands: int) -> ThreadPoolExecutor:
    """Threads in which each layer computes on one core, and NNPACK starts no thread of its own."""
    before, barrier = torch.get_num_threads(), threading.Barrier(threads)

    def start(_: int) -> None:
        torch.get_num_threads()  # otherwise PyTorch sets the number anew at a thread's first layer
        torch.set_num_threads(1)
        _here.bands = bands
        barrier.wait()

    executor = ThreadPoolExecutor(threads)
    list(executor.map(start, range(threads)))  # all wait for each other, so that each starts once
    torch.set_num_threads(before)  # for threads to come, which take over the last setting
    return executor
