"""Annotation errors planted in a samples table, to see what training and cleaning make of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from emokit.data.tables import BOX, landmarks_column, landmarks_of, read_table


def noisy_labels(
    samples: pd.DataFrame, wrong: float = 0.1, spread: float = 0.15, misplaced: float = 0.0, seed: int = 0
) -> pd.DataFrame:
    """``samples`` with annotation errors, and the truth beside them.

    Parameters
    ----------
    samples : DataFrame or path
        With ``expression``, ``valence`` and ``arousal``.
    wrong : float
        Share of the faces that carry all three labels of a face of another expression.
    spread : float
        Standard deviation of the noise on every valence and arousal; results are clipped to [-1, 1].
    misplaced : float
        Standard deviation of the shift and of the relative size of box and landmarks, as a share of
        the box's longer side: a poor landmark detector.
    seed : int

    Returns
    -------
    DataFrame
        With ``wrong`` (bool), ``true_expression``, ``true_valence`` and ``true_arousal`` added.
    """
    for name, share in (("wrong", wrong), ("spread", spread), ("misplaced", misplaced)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} is between 0 and 1, got {share}")
    samples = read_table(samples)
    labels = ["expression", "valence", "arousal"]
    missing = [name for name in labels if name not in samples]
    if missing:
        raise ValueError(f"the samples table has no column {missing[0]!r}; noise is planted in existing labels")
    rng = np.random.default_rng(seed)
    expression = samples["expression"].to_numpy()
    samples[[f"true_{name}" for name in labels]] = samples[labels]
    chosen = rng.permutation(len(samples))[: round(wrong * len(samples))]
    source = np.arange(len(samples))
    for row in chosen:
        others = np.flatnonzero(expression != expression[row])
        if not len(others):
            raise ValueError("all faces show one expression; a wrong label needs a second one")
        source[row] = rng.choice(others)
    samples[labels] = samples[labels].to_numpy()[source]
    samples["wrong"] = source != np.arange(len(samples))
    for name in labels[1:]:
        noise = rng.normal(0, spread, len(samples))
        samples[name] = (samples[name].astype(float) + noise).clip(-1, 1)
    return _misplaced(samples, misplaced, rng) if misplaced else samples


def _misplaced(samples: pd.DataFrame, reach: float, rng: np.random.Generator) -> pd.DataFrame:
    boxes = samples[BOX].to_numpy(float).reshape(-1, 2, 2)
    middle, side = boxes.mean(axis=1), (boxes[:, 1] - boxes[:, 0]).max(axis=1)
    shift = rng.normal(0, reach, (len(samples), 2)) * side[:, None]
    zoom = np.exp(rng.normal(0, reach, len(samples)))[:, None, None]

    def move(points: np.ndarray) -> np.ndarray:
        return (points - middle[:, None]) * zoom + (middle + shift)[:, None]

    samples[BOX] = move(boxes).reshape(-1, 4)
    if "landmarks" in samples:
        samples["landmarks"] = landmarks_column(move(landmarks_of(samples)))
    return samples
