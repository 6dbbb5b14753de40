"""Predictions over time, smoothed as the paper's release offers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emokit.data.frames import read_frames_table
from emokit.data.tables import Table

RELEASE = (0.1, 0.1, 0.15, 0.25, 0.4)


def smooth(predictions: Table, weights: Sequence[float] | None = RELEASE) -> pd.DataFrame:
    """Each person's expression, valence and arousal as a weighted mean over the last frames.

    As in the paper's release, what is averaged are valence, arousal and the logits of the
    expressions. Frames in which a person is not seen have no weight, the others' weights are
    scaled up to a sum of 1: so a first frame stays as it is, and after a gap as long as the
    window a person starts afresh. (The release takes zeros for frames that are not there,
    which draws beginnings towards 0.)

    Parameters
    ----------
    predictions : DataFrame or path
        From `predict_video`, or any predictions table with ``frame`` and, where there are
        several, ``person`` and ``video``.
    weights : sequence of float, optional
        From the oldest frame to the present one, at least 0 and the last above 0; the release's
        by default. None leaves everything as it is.

    Returns
    -------
    DataFrame
        A copy in the same order; box, landmarks and confidence are those of the frame.

    Raises
    ------
    ValueError
        No column ``frame``, ``valence`` or ``arousal``, a person twice in one frame, or weights that are
        none.
    """
    predictions = read_frames_table(predictions, "frame", "valence", "arousal")
    smoothed = predictions.copy()
    if weights is None or predictions.empty:
        return smoothed
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim != 1 or not np.isfinite(weights).all() or not len(weights) or weights.min() < 0 or not weights[-1]:
        raise ValueError(f"weights are numbers of at least 0, the last above 0, got {weights.tolist()}")
    scores = [c for c in predictions if str(c).startswith("p_")]
    values = predictions[["valence", "arousal"]].to_numpy(np.float64)
    # Logarithms of probabilities are logits but for a constant, which falls out again.
    tiny = np.finfo(np.float32).tiny
    values = np.column_stack((values, np.log(np.clip(predictions[scores].to_numpy(np.float64), tiny, None))))
    keys = [c for c in ("video", "person") if c in predictions]
    groups = predictions.groupby(keys, sort=False).indices.values() if keys else [np.arange(len(predictions))]
    for rows in groups:
        rows = rows[np.argsort(predictions["frame"].to_numpy()[rows], kind="stable")]
        values[rows] = _averages(values[rows], predictions["frame"].to_numpy(np.int64)[rows], weights)
    smoothed[["valence", "arousal"]] = values[:, :2]
    if scores:
        odds = np.exp(values[:, 2:] - values[:, 2:].max(axis=1, keepdims=True))
        smoothed[scores] = odds / odds.sum(axis=1, keepdims=True)
        names = np.array([c[2:] for c in scores], dtype=object)
        smoothed["expression"] = names[odds.argmax(axis=1)]
    return smoothed


def _averages(values: NDArray, frames: NDArray[np.int64], weights: NDArray) -> NDArray[np.float64]:
    """Of one person's ``values`` (n, k) at rising ``frames`` (n,)."""
    if (np.diff(frames) == 0).any():
        raise ValueError(
            f"frame {frames[:-1][np.diff(frames) == 0][0]} holds a person twice; frames are unique, "
            "and several videos told apart by a column 'video'"
        )
    total, sums = np.zeros(len(frames)), np.zeros(values.shape)
    for back in range(min(len(weights), len(frames))):
        age = frames[back:] - frames[: len(frames) - back]
        weight = np.where(age < len(weights), weights[::-1][np.minimum(age, len(weights) - 1)], 0)
        total[back:] += weight
        sums[back:] += weight[:, None] * values[: len(frames) - back]
    return sums / total[:, None]
