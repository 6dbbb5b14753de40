"""Training as it happens: learning curves, and a widget that pauses."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path
from typing import ClassVar

import ipywidgets
import lightning
import pandas as pd
from lightning.pytorch.callbacks import Callback
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emokit.plots.circumplex import COLOURS, FAINT, INK
from emokit.training.config import Config
from emokit.training.run import fit

VALENCE, AROUSAL = "#0072b2", "#d55e00"
_PANELS = {
    "Landmarks (stage 1)": ("stage1", {"landmark_error": ("error ÷ eye distance", INK)}),
    "Loss": ("stage2", {"loss": ("training", INK)}),
    "Validation faces": (
        "stage2",
        {
            "ccc_valence": ("CCC valence", VALENCE),
            "ccc_arousal": ("CCC arousal", AROUSAL),
            "accuracy": ("accuracy", COLOURS["neutral"]),
        },
    ),
}


def learning_curves(folder: str | Path, figure: Figure | None = None) -> Figure:
    """Loss and metrics of every epoch of the run in ``folder``, finished or not."""
    figure = figure or Figure(figsize=(9, 3), layout="constrained")
    tables = {path.parent.name: pd.read_csv(path) for path in Path(folder).glob("stage*/metrics.csv")}
    panels = {title: panel for title, panel in _PANELS.items() if panel[0] != "stage1" or "stage1" in tables}
    for ax, (title, (stage, lines)) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        table = tables.get(stage, pd.DataFrame({"epoch": []}))
        for column, (label, colour) in lines.items():
            if column in table:
                ax.plot(table["epoch"] + 1, table[column], color=colour, marker="o", markersize=4, label=label)
        ax.set_title(title, loc="left", fontsize=11, color=INK)
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", color=FAINT, alpha=0.3)
        if len(ax.lines) > 1:
            ax.legend(frameon=False, fontsize=9)
    return figure


class _Stopped(RuntimeError):
    """Ends a training thread; its last checkpoint stays."""


class LiveTraining(ipywidgets.VBox):
    """Train beside the notebook, with curves that grow and a button that pauses.

    Training runs in a thread, so the notebook stays usable. After a restart of the kernel the
    same call goes on from the last finished epoch.

    Parameters
    ----------
    config : Config
    train, validation : DataFrame, optional
        See `fit`.
    """

    _running: ClassVar[dict[Path, LiveTraining]] = {}

    def __init__(
        self, config: Config, train: pd.DataFrame | None = None, validation: pd.DataFrame | None = None
    ) -> None:
        self.button = ipywidgets.Button(description="Pause", icon="pause", layout={"width": "110px"})
        self.bar = ipywidgets.IntProgress(layout={"width": "240px"})
        self.message = ipywidgets.Label("getting ready …")
        self.curves = ipywidgets.Image(format="png", layout={"max_width": "100%"})
        head = ipywidgets.HBox([self.button, self.bar, self.message], layout={"flex_flow": "row wrap"})
        super().__init__([head, self.curves])
        self.config = config
        self._goes_on, self._stopped = threading.Event(), threading.Event()
        self._goes_on.set()
        self._result: dict[str, float] | BaseException | None = None
        self.button.on_click(lambda _: self.resume() if self.paused else self.pause())
        key = config.out.resolve()
        if key in self._running:
            self._running[key].stop()  # the cell was run again
        self._running[key] = self
        self._thread = threading.Thread(target=self._train, args=(train, validation), daemon=True)
        self._thread.start()

    @property
    def paused(self) -> bool:
        """Whether training waits."""
        return not self._goes_on.is_set()

    def pause(self) -> None:
        """Wait after the present batch."""
        self._goes_on.clear()
        self.button.description, self.button.icon = "Go on", "play"

    def resume(self) -> None:
        """Go on with the next batch."""
        self.button.description, self.button.icon = "Pause", "pause"
        self._goes_on.set()

    def stop(self) -> None:
        """End after the present batch; the same configuration goes on from the last finished epoch."""
        self._stopped.set()
        self.resume()
        self._thread.join()

    def result(self) -> dict[str, float]:
        """Wait for the end, and return the metrics of the validation faces.

        The notebook's stop button, while this waits, pauses the training.
        """
        try:
            while self._thread.is_alive():
                time.sleep(0.1)
        except KeyboardInterrupt:
            self.pause()
            raise
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result

    def _train(self, train: pd.DataFrame | None, validation: pd.DataFrame | None) -> None:
        try:
            self._result = fit(self.config, train, validation, callbacks=[_Watcher(self)], progress=False)
            self.bar.value, end = self.bar.max, "finished"
        except _Stopped as error:
            self._result, end = error, "stopped"
        except Exception as error:  # shown here and raised by `result`
            self._result, end = error, f"{type(error).__name__}: {error}"
        self.button.disabled = True
        self._draw()
        self._say(end)

    def _say(self, text: str) -> None:
        self.message.value = text

    def _draw(self) -> None:
        picture = io.BytesIO()
        figure = learning_curves(self.config.out)
        FigureCanvasAgg(figure).print_png(picture)
        self.curves.value = picture.getvalue()


class _Watcher(Callback):
    """Shows a training run in its widget, and waits where the widget says so."""

    def __init__(self, widget: LiveTraining) -> None:
        self.widget = widget

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.widget.bar.max = trainer.num_training_batches
        self.widget._draw()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_index: int) -> None:  # noqa: ANN001
        widget = self.widget
        widget.bar.value = batch_index + 1
        widget._say(f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}")
        if widget.paused:
            widget._say(f"paused in epoch {trainer.current_epoch + 1} of {trainer.max_epochs}")
            widget._goes_on.wait()
        if widget._stopped.is_set():
            raise _Stopped("this training was stopped before its end; run its cell again to go on")

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.widget._draw()
