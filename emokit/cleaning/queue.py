"""What to review first, so that the errors are found long before the faces end."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from cleanlab.rank import get_label_quality_scores
from cleanlab.regression.rank import get_label_quality_scores as number_quality_scores

from emokit.cleaning.duplicates import image_signatures
from emokit.cleaning.folds import out_of_fold
from emokit.cleaning.rules import RULES, Rules, check
from emokit.data.tables import Table, read_table

__all__ = ["image_signatures", "out_of_fold", "queue_curve", "review_queue"]


def review_queue(
    samples: Table,
    predictions: Table | None = None,
    *,
    rules: Rules = RULES,
    duplicates: bool = True,
    audit: float = 0.05,
    seed: int = 0,
) -> pd.DataFrame:
    samples = read_table(samples)
    quality = np.ones(len(samples))
    why = np.full(len(samples), "", dtype=object)
    reason = np.full(len(samples), "rest", dtype=object)
    if {"expression", "valence", "arousal"} <= set(samples):
        checked = check(samples, rules)
        failing = ~checked["consistent"].to_numpy()
        reason[failing] = "rule"
        why[failing] = checked["reason"][failing]
    if predictions is not None:
        pred = read_table(predictions)
        pred = pred.set_index(pred["id"].astype(str)).loc[samples["id"].astype(str)]
        for name in ("valence", "arousal"):
            if name in samples and name in pred:
                quality *= number_quality_scores(
                    samples[name].to_numpy(float), pred[name].to_numpy(float), method="residual"
                )
        if "expression" in samples:
            classes = [c[2:] for c in pred if c.startswith("p_")]
            codes = pd.Categorical(samples["expression"], categories=classes).codes.astype(int)
            quality *= get_label_quality_scores(codes, pred[[f"p_{c}" for c in classes]].to_numpy(float))
            other = (pred["expression"].to_numpy() != samples["expression"].to_numpy()) & (reason == "rest")
            reason[other] = "disagreement"
    samples["score"] = 1 - quality
    samples["reason"] = reason
    samples["why"] = why
    return samples.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def queue_curve(queue: pd.DataFrame, wrong: Collection[str] | pd.Series) -> pd.DataFrame:
    """Share of the errors found after each percent of the queue."""
    hit = queue["id"].isin(set(wrong)).to_numpy()
    n = len(queue)
    reviewed = np.round(np.linspace(0, n, 101)).astype(int)
    found = np.concatenate(([0], np.cumsum(hit)))[reviewed] / hit.sum()
    return pd.DataFrame({"reviewed": reviewed / n, "found": found, "random": reviewed / n})
