"""What every epoch leaves on disk: the state to go on from, and a row of the curves."""

from __future__ import annotations

from pathlib import Path

import lightning
import pandas as pd
from lightning.pytorch.callbacks import Callback, Checkpoint

from emokit.data.tables import write_table


class LastCheckpoint(Checkpoint):
    """The state after every epoch, in one file that is whole at any moment a process may be killed.

    Lightning's own checkpoint is copied to its place where that is another file system than the
    temporary folder's, so a kill can leave half of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        beside = self.path.with_suffix(".part")
        trainer.save_checkpoint(beside)
        if trainer.is_global_zero:
            beside.replace(self.path)


class Curves(Callback):
    """Loss and metrics of every epoch as a CSV file, which goes on where a run goes on.

    Lightning's own CSV logger deletes what an interrupted run has written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        if self.path.exists():
            known = pd.read_csv(self.path)
            self.rows = known[known["epoch"] < trainer.current_epoch].to_dict("records")

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows.append({"epoch": trainer.current_epoch, **metrics})
        if trainer.is_global_zero:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_table(pd.DataFrame(self.rows), self.path)
