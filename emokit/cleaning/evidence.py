"""What speaks against a label: its rule, a model that has not seen it, or a look-alike.

Every kind of evidence gives each label a quality in [0, 1], as cleanlab's scores are; a label's
quality is their product.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from cleanlab.regression.rank import get_label_quality_scores as number_quality_scores
from numpy.typing import NDArray

from emokit.cleaning.duplicates import image_signatures, near_duplicates
from emokit.cleaning.rules import Rules, check, contradiction
from emokit.data.tables import Table, read_table

_FAR = 3  # robust standard deviations of a residual
_APART = 0.3  # distance on the circumplex between look-alikes, from which one label is doubtful


class Evidence(NamedTuple):
    """``quality`` of every label (n,); ``rows`` whose labels are doubted, and ``why``, one text for each."""

    reason: str
    quality: NDArray[np.float64]
    rows: NDArray[np.int64]
    why: list[str]


def by_duplicates(samples: pd.DataFrame) -> Evidence:
    """Of two look-alikes with different labels one is wrong: at best half the quality remains."""
    expression = samples["expression"] if "expression" in samples else pd.Series(None, samples.index, dtype=object)
    expression, labelled = expression.to_numpy(object), expression.notna().to_numpy()
    affect = np.column_stack([_numbers(samples, name) for name in ("valence", "arousal")])
    quality, twin = np.ones(len(samples)), np.full(len(samples), -1)
    for pairs in near_duplicates(image_signatures(samples)):
        rows, others = np.concatenate((pairs, pairs[:, ::-1])).T
        differ = (expression[rows] != expression[others]) & labelled[rows] & labelled[others]
        apart = np.nan_to_num(np.linalg.norm(affect[rows] - affect[others], axis=1))
        left = np.where(differ | (apart > _APART), np.exp(-apart) / (1 + differ), 1)
        order = np.argsort(left, kind="stable")
        found, place = np.unique(rows[order], return_index=True)
        left, others = left[order][place], others[order][place]
        worse = left < quality[found]
        quality[found[worse]], twin[found[worse]] = left[worse], others[worse]
    rows = np.flatnonzero(twin >= 0)
    ids = samples["id"].to_numpy()
    why = [f"looks like {ids[k]}, labelled {_in_words(expression[k], *affect[k])}" for k in twin[rows]]
    return Evidence("duplicate", quality, rows, why)


def by_rules(samples: pd.DataFrame, rules: Rules) -> Evidence:
    """Labels that contradict themselves: the further from what the rule admits, the worse."""
    checked = check(samples, rules)
    rows = np.flatnonzero(~checked["consistent"])
    quality = np.exp(-contradiction(samples, rules))
    return Evidence("rule", quality, rows, checked["reason"].iloc[rows].tolist())


def by_model(samples: pd.DataFrame, predictions: Table) -> Iterator[Evidence]:
    """Confident learning's doubts, then plain disagreement on the expression, valence or arousal."""
    pred = _of_samples(samples, predictions)
    if "expression" in samples and "expression" in pred:
        yield from _expression(samples["expression"], pred)
    for name in ("valence", "arousal"):
        if name in samples and name in pred:
            yield _number(name, _numbers(samples, name), _numbers(pred, name))


def _expression(labels: pd.Series, pred: pd.DataFrame) -> Iterator[Evidence]:
    columns = [name for name in pred if str(name).startswith("p_")]
    if not columns:
        raise ValueError("predictions have no columns p_<class>, which label scores need; out_of_fold gives them")
    said, labels = pred["expression"].to_numpy(object), labels.to_numpy(object)
    codes = pd.Index([name[2:] for name in columns]).get_indexer(labels)
    shares = pred[columns].to_numpy(np.float64)
    # A label that is missing, or that the model cannot name, is not doubted.
    rows = np.flatnonzero((codes >= 0) & np.isfinite(shares).all(axis=1))
    quality, issues = np.ones(len(labels)), np.zeros(len(labels), bool)
    if len(set(codes[rows])) > 1:
        quality[rows] = get_label_quality_scores(codes[rows], shares[rows])
        issues[rows] = find_label_issues(codes[rows], shares[rows], filter_by="low_self_confidence", n_jobs=1)
    differ = np.zeros(len(labels), bool)
    differ[rows] = said[rows] != labels[rows]

    def words(chosen: NDArray[np.int64]) -> list[str]:
        top = shares[chosen].max(axis=1)
        return [
            f"model says {a} ({p:.0%}), label is {b} ({q:.0%})"
            for a, p, b, q in zip(said[chosen], top, labels[chosen], quality[chosen], strict=True)
        ]

    doubted, other = np.flatnonzero(issues), np.flatnonzero(differ & ~issues)
    yield Evidence("label score", quality, doubted, words(doubted))
    yield Evidence("disagreement", np.ones(len(labels)), other, words(other))


def _number(name: str, labels: NDArray[np.float64], said: NDArray[np.float64]) -> Evidence:
    known = np.isfinite(labels) & np.isfinite(said)
    quality, residual = np.ones(len(labels)), np.zeros(len(labels))
    if not known.any():
        return Evidence("disagreement", quality, np.array([], dtype=np.int64), [])
    # OUTRE, cleanlab's other method, compares each face with half of all others.
    quality[known] = number_quality_scores(labels[known], said[known], method="residual")
    residual[known] = np.abs(labels[known] - said[known])
    # 1.4826 × the median is a standard deviation that outliers do not move.
    rows = np.flatnonzero(residual > _FAR * 1.4826 * np.median(residual[known]))
    why = [f"model says {name} {a:z.2f}, label is {b:z.2f}" for a, b in zip(said[rows], labels[rows], strict=True)]
    return Evidence("disagreement", quality, rows, why)


def _of_samples(samples: pd.DataFrame, predictions: Table) -> pd.DataFrame:
    """Predictions, row by row those of ``samples``."""
    pred = read_table(predictions)
    pred, ids = pred.set_index(pred["id"].astype(str)), samples["id"].astype(str)
    missing = ids[~ids.isin(pred.index)]
    if len(missing):
        raise ValueError(
            f"{len(missing)} of {len(ids)} samples have no prediction, such as {missing.iloc[0]!r}; predict them too"
        )
    return pred.loc[ids]


def _numbers(table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    return table[name].to_numpy(np.float64) if name in table else np.full(len(table), np.nan)


def _in_words(expression: object, valence: float, arousal: float) -> str:
    """A label such as "sad at (-0.40, -0.25)"."""
    place = f"at ({valence:z.2f}, {arousal:z.2f})" if np.isfinite([valence, arousal]).all() else ""
    return " ".join([str(expression)] * bool(pd.notna(expression)) + [place] * bool(place))
