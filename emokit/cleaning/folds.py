"""Judgements of labels by models that have not seen them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from emokit.cleaning.features import Part, frozen_features
from emokit.data.afew_va import person_independent_folds
from emokit.data.tables import Table, read_table
from emokit.models.emofan import EXPRESSIONS

# Regularised strongly, because they learn from wrong labels too.
_CLASSIFIER = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=1000))
_REGRESSOR = make_pipeline(StandardScaler(), Ridge(alpha=50))
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
        See `frozen_features`: "fan" is fair even where the affect head was trained on these labels.
    **options
        Passed on to `frozen_features`.

    Returns
    -------
    DataFrame
        Predictions: ``id``; ``fold``, from 0; ``expression`` and ``p_<class>`` of the classes that
        samples show; ``valence`` and ``arousal``, clipped to [-1, 1].

    Raises
    ------
    ValueError
        There are no labels, labels outside a fold are too few to learn from, or persons are fewer
        than folds; and as `frozen_features`.
    """
    samples = read_table(samples).reset_index(drop=True)
    labelled = [
        name for name in ("expression", "valence", "arousal") if name in samples and samples[name].notna().any()
    ]
    if not labelled:
        raise ValueError("samples have no labels to judge; fill expression, or valence and arousal")
    fold = _folds(samples, folds, seed)
    features = frozen_features(samples, model, part, **options)
    rng = np.random.default_rng(seed)
    judged = [
        (_expressions if name == "expression" else _numbers)(features, samples[name], fold, rng) for name in labelled
    ]
    return pd.concat([samples[["id"]].assign(fold=fold), *judged], axis=1)


def _folds(samples: pd.DataFrame, folds: int, seed: int) -> NDArray[np.int64]:
    subject = pd.Series([f"row {row}" for row in range(len(samples))], samples.index, dtype=object)
    if "subject" in samples:
        subject = samples["subject"].astype(object).where(samples["subject"].notna(), subject)
    return person_independent_folds(samples[["id"]].assign(subject=subject), folds, seed).to_numpy()


def _expressions(features: NDArray, labels: pd.Series, fold: NDArray, rng: np.random.Generator) -> pd.DataFrame:
    present = set(labels.dropna())
    classes = [*(name for name in EXPRESSIONS[8] if name in present), *sorted(present - set(EXPRESSIONS[8]))]
    shares = np.zeros((len(labels), len(classes)))
    for rows, seen, head in _judged(_CLASSIFIER, features, labels, fold, rng):
        shares[np.ix_(rows, [classes.index(name) for name in head.classes_])] = head.predict_proba(seen)
    table = pd.DataFrame(shares, labels.index, [f"p_{name}" for name in classes])
    table.insert(0, "expression", np.array(classes, dtype=object)[shares.argmax(axis=1)])
    return table


def _numbers(features: NDArray, labels: pd.Series, fold: NDArray, rng: np.random.Generator) -> pd.Series:
    found = np.zeros(len(labels))
    for rows, seen, head in _judged(_REGRESSOR, features, labels, fold, rng):
        found[rows] = head.predict(seen).clip(-1, 1)
    return pd.Series(found, labels.index, name=labels.name)


def _judged(
    head: BaseEstimator, features: NDArray, labels: pd.Series, fold: NDArray, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], BaseEstimator]]:
    """Rows to judge, some at a time; their features; and the head that has not seen their fold."""
    for number in np.unique(fold):
        known = rng.permutation(np.flatnonzero((fold != number) & labels.notna().to_numpy()))[:_MOST]
        known.sort()  # neighbours in the file are read together
        learnt = labels.to_numpy()[known]
        if len(set(learnt)) < 2:
            raise ValueError(
                f"the faces outside fold {number} have {'one' if len(learnt) else 'no'} {labels.name} to learn from; "
                "label more of them, or take the column away"
            )
        fitted = clone(head).fit(features[known].astype(np.float32), learnt)
        rows = np.flatnonzero(fold == number)
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            yield part, features[part].astype(np.float32), fitted
