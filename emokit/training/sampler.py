"""The order in which faces are seen: seeded per epoch, so that resuming finds it again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class FaceSampler(Sampler[int]):
    """Shuffled or weighted order of each epoch, dealt out to the ranks of a data-parallel run.

    Parameters
    ----------
    n : int
        Faces in the data set.
    seed : int
    weights : ndarray, shape (n,), optional
        Faces are drawn with replacement with these weights; without them each is seen once.
    rank, ranks : int
    """

    def __init__(self, n: int, seed: int = 0, weights: np.ndarray | None = None, rank: int = 0, ranks: int = 1) -> None:
        self.n, self.seed, self.rank, self.ranks, self.epoch = n, seed, rank, ranks, 0
        self.probabilities = None if weights is None else weights / weights.sum()

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.n // self.ranks)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        if self.probabilities is None:
            order = rng.permutation(self.n)
        else:
            order = rng.choice(self.n, self.n, p=self.probabilities)
        # Ranks must see equally many faces: the first ones come again.
        order = np.resize(order, len(self) * self.ranks)
        return iter(order[self.rank :: self.ranks].tolist())


def balanced_weights(classes: np.ndarray) -> np.ndarray:
    """Weights under which every class of ``classes`` (n,) is drawn equally often (-1 counts as one)."""
    _, where, counts = np.unique(classes, return_inverse=True, return_counts=True)
    return 1 / counts[where]
