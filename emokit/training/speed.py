"""What an epoch costs against the same network trained naively: ratios from one run."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

import lightning
import pandas as pd
import torch
from torch import Tensor, nn

from emokit.inference.quiet import quiet
from emokit.models.emofan import AffectOutput
from emokit.training.config import Config
from emokit.training.module import AffectModule, Batch
from emokit.training.network import build
from emokit.training.run import loader, precision_of


class Way(NamedTuple):
    """A way to train the affect head; the last of `WAYS` is the kit's."""

    name: str
    frozen: bool = False
    channels_last: bool = False
    mixed: bool = False


WAYS = (
    Way("naive"),
    Way("FAN without autograd", frozen=True),
    Way("… and channels last", frozen=True, channels_last=True),
    Way("… and mixed precision", frozen=True, channels_last=True, mixed=True),
)


class _Module(AffectModule):
    """`AffectModule` without what ``way`` leaves out."""

    def __init__(self, config: Config, way: Way) -> None:
        super().__init__(build(config), config.optimiser, config.augment, config.seed)
        self.way = way
        if not way.channels_last:
            self.model.to(memory_format=torch.contiguous_format)

    def trained(self) -> Iterable[nn.Parameter]:
        return super().trained() if self.way.frozen else self.model.parameters()

    def train(self, mode: bool = True) -> _Module:
        return super().train(mode) if self.way.frozen else nn.Module.train(self, mode)

    def forward(self, images: Tensor, teach: bool = False) -> tuple[AffectOutput, AffectOutput | None]:
        return super().forward(images, teach) if self.way.frozen else (self.model(images), None)

    def inputs(self, batch: Batch, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        images, landmarks = super().inputs(batch, generator)
        return (images if self.way.channels_last else images.contiguous()), landmarks


def epoch_speed(config: Config, train: pd.DataFrame, rounds: int = 3) -> pd.DataFrame:
    """Seconds of one epoch of stage 2, each way in turn, ``rounds`` times over.

    Parameters
    ----------
    config : Config
        Of an EmoFAN.
    train : DataFrame
        Samples table.
    rounds : int
        The first one more is not counted: it warms up.

    Returns
    -------
    DataFrame
        Indexed by way: median ``seconds``, and ``ratio``, the median over rounds of naive seconds
        to these.
    """
    seconds = [[_epoch(config, train, way) for way in WAYS] for _ in range(rounds + 1)][1:]
    table = pd.DataFrame(seconds, columns=[way.name for way in WAYS])
    ratio = (1 / table).mul(table["naive"], axis=0)
    return pd.DataFrame({"seconds": table.median(), "ratio": ratio.median()}).rename_axis("way")


def _epoch(config: Config, train: pd.DataFrame, way: Way) -> float:
    with quiet():
        trainer = lightning.Trainer(
            max_epochs=1,
            precision=precision_of(config.precision) if way.mixed else "32-true",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        module, batches = _Module(config, way), loader(config, train, True, trainer)
        start = time.perf_counter()
        trainer.fit(module, batches)
        return time.perf_counter() - start
