"""Judgements of labels by models that have not seen them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from emokit.cleaning.features import Part, frozen_features
from emokit.data.afew_va import person_independent_folds
from emokit.data.tables import Table, read_table
from emokit.models.emofan import EXPRESSIONS

# Regularised strongly, because they learn from wrong labels too.
_EXPRESSION = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=500))
_NUMBER = make_pipeline(StandardScaler(), RidgeCV(np.logspace(1, 5, 9)))
_MOST = 50_000  # faces that the heads of a fold learn from; more change little
_CHUNK = 20_000  # faces that are judged at once


def out_of_fold(
    samples: Table, model: nn.Module, folds: int = 5, seed: int = 0, *, part: Part = "fan", **options: Any
) -> pd.DataFrame:
    """Predictions of every face, by heads that have seen neither its label nor its person's.

    The network's features stay as they are. A logistic regression for expressions and ridge
    regressions for valence and arousal are fitted on all folds but one, and judge that one, in
    turn. So a model does not vouch for its own training labels.

    Parameters
    ----------
    samples : DataFrame or path
        With ``image``, a box or landmarks, and ``expression``, or ``valence`` and ``arousal``, or
        all. Faces of one ``subject`` share a fold; those of unknown subject are on their own.
    model : FAN, EmoFAN or ResNet18
    folds : int
    seed : int
    part : {"fan", "head"}
        See `frozen_features`: "fan" is fair whatever the weights were trained on.
    **options
        Passed on to `frozen_features`.

    Returns
    -------
    DataFrame
        Predictions: ``id``; ``expression`` and ``p_<class>`` of the classes that samples show;
        ``valence`` and ``arousal``, clipped to [-1, 1]; ``fold``, from 0.

    Raises
    ------
    ValueError
        There are no labels, all faces show one expression, or persons are fewer than folds; and as
        `frozen_features`.
    """
    samples = read_table(samples)
    found = pd.DataFrame({"id": samples["id"], "fold": _folds(samples, folds, seed)})
    features = frozen_features(samples, model, part, **options)
    rng = np.random.default_rng(seed)
    labelled = [
        name for name in ("expression", "valence", "arousal") if name in samples and samples[name].notna().any()
    ]
    if not labelled:
        raise ValueError("samples have no labels to judge; fill expression, or valence and arousal")
    for name in labelled:
        labels = samples[name]
        if name != "expression":
            found[name] = 0.0
        else:
            classes = [c for c in dict.fromkeys([*EXPRESSIONS[8], *labels.dropna()]) if (labels == c).any()]
            if len(classes) < 2:
                raise ValueError(f"all faces are labelled {classes[0]!r}; a judgement needs a second expression")
            shares = pd.DataFrame(0.0, samples.index, classes)
        for rows, head in _fitted(
            _EXPRESSION if name == "expression" else _NUMBER, features, labels, found["fold"], rng
        ):
            seen = features[rows].astype(np.float32)
            if name == "expression":
                shares.iloc[rows, shares.columns.get_indexer(head.classes_)] = head.predict_proba(seen)
            else:
                found.iloc[rows, found.columns.get_loc(name)] = head.predict(seen).clip(-1, 1)
        if name == "expression":
            found["expression"] = shares.idxmax(axis=1)
            found = found.join(shares.add_prefix("p_"))
    return found


def _folds(samples: pd.DataFrame, folds: int, seed: int) -> NDArray[np.int64]:
    subject = pd.Series([f"row {row}" for row in range(len(samples))], samples.index, dtype=object)
    if "subject" in samples:
        subject = samples["subject"].astype(object).where(samples["subject"].notna(), subject)
    return person_independent_folds(samples[["id"]].assign(subject=subject), folds, seed).to_numpy()


def _fitted(
    head: Any, features: NDArray, labels: pd.Series, fold: pd.Series, rng: np.random.Generator
) -> Iterator[tuple]:
    """Rows to judge, some at a time, and the head that has not seen their fold."""
    for number in sorted(fold.unique()):
        known = rng.permutation(np.flatnonzero((fold != number) & labels.notna()))
        learnt = np.sort(known[:_MOST])
        fitted = clone(head).fit(features[learnt].astype(np.float32), labels.to_numpy()[learnt])
        judged = np.flatnonzero(fold == number)
        for start in range(0, len(judged), _CHUNK):
            yield judged[start : start + _CHUNK], fitted
