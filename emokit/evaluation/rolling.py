"""The CCC over time: where in a video predictions agree with truth, and where they do not."""

from __future__ import annotations

import numpy as np
import pandas as pd

from emokit.data.frames import read_frames_table
from emokit.data.tables import Table
from emokit.evaluation.metrics import ccc

_DIMENSIONS = ["valence", "arousal"]


def rolling_ccc(predictions: Table, truth: Table, window: float = 2.0) -> pd.DataFrame:
    """CCC of each person within a window of time that moves on frame by frame.

    A short window holds little change, and then even small errors make for a low CCC: read the curve
    for differences between systems, and beside the CCC of the whole.

    Parameters
    ----------
    predictions, truth : DataFrame or path
        Of one video, with ``person``, ``frame``, ``time`` (s), ``valence`` and ``arousal``; frames that
        only one of them has do not count.
    window : float
        Seconds.

    Returns
    -------
    DataFrame
        ``person``, ``frame``, ``time`` (s, the middle of the window) as in ``truth``, and the CCC of
        ``valence`` and ``arousal``, in [-1, 1]; NaN where both are constant. Frames nearer than half a
        window to a person's first or last have no row.

    Raises
    ------
    ValueError
        A column is missing, there are several videos, no frame is in both, or ``window`` is not positive.
    """
    if not window > 0:
        raise ValueError(f"window is a number of seconds above 0, got {window}")
    columns = ["person", "frame", "time", *_DIMENSIONS]
    found = read_frames_table(predictions, *columns, one_video=True)[columns]
    true = read_frames_table(truth, *columns, name="the true ones", one_video=True)[columns]
    both = true.merge(found.drop(columns="time"), on=["person", "frame"], suffixes=("", "_found"))
    if both.empty:
        raise ValueError("no person and frame is in both tables")
    parts = []
    for _, rows in both.sort_values("frame").groupby("person"):
        time, tick = rows["time"].to_numpy(float), 1e-6
        middle = rows[(time - time[0] > window / 2 - tick) & (time[-1] - time > window / 2 - tick)]
        spans = [rows[np.abs(time - t) <= window / 2 + tick] for t in middle["time"]]
        figures = {name: [ccc(span[name], span[f"{name}_found"]) for span in spans] for name in _DIMENSIONS}
        parts.append(middle[["person", "frame", "time"]].assign(**figures))
    return pd.concat(parts, ignore_index=True)
