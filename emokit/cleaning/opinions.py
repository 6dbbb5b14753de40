"""Several annotators of one item: where they disagree, and what holds in the end."""

from __future__ import annotations

import pandas as pd

from emokit.cleaning.history import DECISION_COLUMNS

TOLERANCE = 0.25  # of valence and arousal, within which annotators agree
_AFFECT = ["valence", "arousal"]


def disagreeing(decisions: pd.DataFrame, tolerance: float = TOLERANCE) -> list[str]:
    """Ids, in order, whose annotators differ in verdict or expression, or in valence or arousal by more than ``tolerance``."""
    said = decisions.assign(expression=decisions["expression"].fillna("")).groupby("id", sort=False)
    differ = (said[["verdict", "expression"]].nunique() > 1).any(axis=1)
    apart = ((said[_AFFECT].max() - said[_AFFECT].min()) > tolerance).any(axis=1)
    return differ.index[differ | apart].tolist()


def final_decisions(decisions: pd.DataFrame, rulings: pd.DataFrame, tolerance: float = TOLERANCE) -> pd.DataFrame:
    """One decision per item: the adjudicated one, else what more than half of its annotators say.

    Valence and arousal are the majority's mean; items without a majority, or whose majority is
    further apart than ``tolerance``, are absent.
    """
    decisions = decisions[~decisions["id"].isin(rulings["id"])]
    camp = [decisions["id"], decisions["verdict"], decisions["expression"].fillna("")]
    size = decisions.groupby(camp, sort=False)["annotator"].transform("size")
    of_item = decisions.groupby("id", sort=False)["annotator"].transform("size")
    decisions = decisions[2 * size > of_item]
    said = decisions.groupby("id", sort=False)
    single = decisions[said["id"].transform("size") == 1]
    several = decisions[said["id"].transform("size") > 1]
    said = several.groupby("id", sort=False)
    together = ((said[_AFFECT].max() - said[_AFFECT].min()).fillna(0) <= tolerance).all(axis=1)
    joined = said.agg(
        annotator=("annotator", ", ".join),
        time=("time", "max"),
        verdict=("verdict", "first"),
        expression=("expression", "first"),
        valence=("valence", "mean"),
        arousal=("arousal", "mean"),
        note=("note", lambda notes: "\n".join(note for note in notes if note)),
    )
    joined = joined[together].rename_axis("id").reset_index()
    parts = [part for part in (rulings, single, joined) if len(part)]
    return pd.concat(parts, ignore_index=True)[DECISION_COLUMNS] if parts else decisions[DECISION_COLUMNS]


def as_ratings(decisions: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Long table of ratings (`emokit.evaluation.read_ratings`): the labels that annotators vouch for.

    Those are of the verdicts "correct" and "wrong"; one who calls a label wrong without saying what is
    right rates nothing. ``labels`` are those that the items came with, row by row.
    """
    targets = ["expression", *_AFFECT]
    said, before = decisions.reset_index(drop=True), labels.reset_index(drop=True)
    changed = pd.concat([(said[t] != before[t]) & said[t].notna() for t in targets], axis=1).any(axis=1)
    vouched = (said["verdict"] == "correct") | ((said["verdict"] == "wrong") & changed)
    return said.loc[vouched, ["id", "annotator", *targets]].rename(columns={"id": "item"}).reset_index(drop=True)
