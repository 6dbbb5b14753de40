"""The annotated video above its traces: scrub one, and the other follows."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import pandas as pd
import traitlets

from emokit.data.frames import read_frames_table
from emokit.data.tables import Table
from emokit.plots.annotate import DRAWN, annotate_video
from emokit.plots.circumplex import COLOURS, INK
from emokit.plots.video import AFFECT, TRACED, with_breaks


class Player(anywidget.AnyWidget):
    """Play, scrub either the video or the traces, or step by frames with the arrow keys.

    The annotated video is in the notebook's own process and the page; nothing is uploaded.

    Parameters
    ----------
    video : path
    predictions : DataFrame or path
        From `predict_video` or `smooth`; boxes, landmarks and traces are its.
    truth : DataFrame or path, optional
        With ``frame``, ``time``, ``person``, ``valence`` and ``arousal``; dashed.
    start, stop : float
        The part to show, in seconds; of long videos show some minutes.
    height : int
        Of the annotated video, in pixels.

    Attributes
    ----------
    time : float
        Seconds of ``video`` that are shown; set it to go there.
    person : int
        Whose traces are shown.

    Raises
    ------
    VideoError, ValueError
        As `annotate_video`; or nobody is seen in that part.
    """

    _esm = Path(__file__).with_name("player.js")
    _css = Path(__file__).with_name("player.css")
    _video = traitlets.Bytes().tag(sync=True)
    _traces = traitlets.Dict().tag(sync=True)
    time = traitlets.Float().tag(sync=True)
    person = traitlets.Int().tag(sync=True)

    def __init__(
        self,
        video: str | os.PathLike,
        predictions: Table,
        truth: Table | None = None,
        *,
        start: float = 0.0,
        stop: float = np.inf,
        height: int = 360,
    ) -> None:
        # Before the video is annotated, which takes a while.
        shown = _between(read_frames_table(predictions, *TRACED, *DRAWN, one_video=True), start, stop)
        if truth is not None:
            truth = _between(read_frames_table(truth, *TRACED, name="the true ones", one_video=True), start, stop)
        persons = sorted(int(person) for person in shown["person"].unique())
        if not persons:
            raise ValueError(f"nobody is seen from {start} to {stop} s; choose another part")
        with tempfile.TemporaryDirectory() as folder:
            path = annotate_video(video, shown, Path(folder) / "annotated.mp4", height=height, start=start, stop=stop)
            annotated = path.read_bytes()
        traces = {
            "start": start,
            "colours": {name: COLOURS.get(name, INK) for name in shown["expression"].unique()},
            "affect": AFFECT,
            "persons": {str(person): _traces_of(person, shown, truth) for person in persons},
        }
        super().__init__(_video=annotated, _traces=traces, time=float(start), person=persons[0])

    @traitlets.validate("person")
    def _known(self, proposal: dict[str, Any]) -> int:
        if str(proposal["value"]) not in self._traces["persons"]:
            raise traitlets.TraitError(
                f"no person {proposal['value']} is seen; there are {', '.join(self._traces['persons'])}"
            )
        return proposal["value"]


def _between(table: pd.DataFrame, start: float, stop: float) -> pd.DataFrame:
    return table[table["time"].between(start, stop, inclusive="left")]


def _traces_of(person: int, shown: pd.DataFrame, truth: pd.DataFrame | None) -> dict[str, Any]:
    """Columns as JSON can hold them, None where frames are missing."""
    traces = {"found": _columns(shown[shown["person"] == person], "expression")}
    if truth is not None:
        traces["truth"] = _columns(truth[truth["person"] == person])
    return traces


def _columns(rows: pd.DataFrame, *more: str) -> dict[str, list]:
    found = {name: with_breaks(rows, name) for name in ("time", *AFFECT, *more)}
    return {
        name: [None if pd.isna(v) else v if isinstance(v, str) else round(float(v), 4) for v in values]
        for name, values in found.items()
    }
