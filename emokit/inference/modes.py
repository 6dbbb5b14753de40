"""Networks that answer as trained, and are then as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """``model`` in eval mode; afterwards each of its parts is in the mode it had.

    ``model.train(before)`` would not do: parts may differ, such as a frozen FAN below a head in training.
    """
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training
