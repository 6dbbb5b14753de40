"""Several annotators of one item: where they disagree, and what holds in the end."""

from __future__ import annotations

import pandas as pd

from emokit.cleaning.checks import LABELS
from emokit.cleaning.history import DECISION_COLUMNS

TOLERANCE = 0.25  # how far valence and arousal may lie apart where annotators agree
_AFFECT = ["valence", "arousal"]


def final_decisions(decisions: pd.DataFrame, rulings: pd.DataFrame, tolerance: float = TOLERANCE) -> pd.DataFrame:
    """One decision per item: its ruling, else what more than half of its annotators say.

    Valence and arousal are the majority's mean. Items without a majority, or whose majority lies
    further apart than ``tolerance``, are absent.
    """
    decisions = decisions[~decisions["id"].isin(rulings["id"])]
    camp = [decisions["id"], decisions["verdict"], decisions["expression"].fillna("")]
    in_camp = decisions.groupby(camp, sort=False)["id"].transform("size")
    in_all = decisions.groupby("id", sort=False)["id"].transform("size")
    majority = decisions[2 * in_camp > in_all]
    # One annotator is most often all there is, and needs no joining.
    alone = ~majority["id"].duplicated(keep=False)
    said = majority[~alone].groupby("id", sort=False)
    joined = said.agg(
        annotator=("annotator", ", ".join),
        time=("time", "max"),
        verdict=("verdict", "first"),
        expression=("expression", "first"),
        valence=("valence", "mean"),
        arousal=("arousal", "mean"),
        note=("note", lambda notes: "\n".join(filter(None, notes))),
    )
    parts = [rulings, majority[alone], joined[_close(said, tolerance)].reset_index()]
    return pd.concat([part for part in parts if len(part)] or [majority], ignore_index=True)[DECISION_COLUMNS]


def as_ratings(decisions: pd.DataFrame) -> pd.DataFrame:
    """Long table of ratings (`emokit.evaluation.read_ratings`) of the labels that annotators vouch for.

    They vouch with the verdicts "correct" and "wrong"; who calls a label wrong without saying what
    is right rates nothing. ``old_expression``, … are the labels that items came with.
    """
    pairs = [(decisions[name], decisions[f"old_{name}"]) for name in LABELS]
    changed = pd.concat([(new != old) & (new.notna() | old.notna()) for new, old in pairs], axis=1).any(axis=1)
    mended = (decisions["verdict"] == "wrong") & changed
    vouched = decisions[mended | (decisions["verdict"] == "correct")]
    several = vouched["id"].duplicated(keep=False)
    return vouched.loc[several, ["id", "annotator", *LABELS]].rename(columns={"id": "item"}).reset_index(drop=True)


def _close(said: pd.api.typing.DataFrameGroupBy, tolerance: float) -> pd.Series:
    """Whether valence and arousal of each item lie together; where one annotator has none, that does not tell."""
    apart = said[_AFFECT].max() - said[_AFFECT].min()
    return ~(apart > tolerance).any(axis=1)
