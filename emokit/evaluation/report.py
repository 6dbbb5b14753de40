"""The paper's row of figures for anyone's predictions, each with its interval."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from emokit.data.tables import Table, read_table
from emokit.evaluation.intervals import bootstrap, cluster_sums
from emokit.evaluation.metrics import Moments
from emokit.models import EXPRESSIONS

_REGRESSION = ("RMSE", "SAGR", "PCC", "CCC")
TARGETS = {"expression": ("accuracy",), "valence": _REGRESSION, "arousal": _REGRESSION}

_BEYOND = 0.01  # share of predictions outside [-1, 1], above which the scale is another
_ROUNDING = 1e-12  # a variance below it, of numbers in [-1, 1], is a constant's


def report(
    predictions: Table,
    samples: Table,
    *,
    targets: str | Sequence[str] | None = None,
    system: str = "yours",
    setting: str = "",
    data: str | None = None,
    n_resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Accuracy of expressions; RMSE, SAGR, PCC and CCC of valence and arousal, with bootstrap intervals.

    The samples say what is measured: each needs a prediction of the same id, and predictions of
    other faces do not count. Faces without a label of a target are left out of its figures.

    Frames of one person are not independent, so persons are resampled, with all their faces,
    where samples have a column ``subject``; otherwise faces are (`emokit.evaluation.intervals`).
    Intervals tell how far other persons would move the figure, not how far another training would.

    Parameters
    ----------
    predictions, samples : DataFrame or path
        See `emokit.data.tables`. Labels lie in [-1, 1], and so do predictions; up to 1 % of these
        may lie beyond and are clipped, with a warning.
    targets : {"expression", "valence", "arousal"} or a sequence of them, optional
        By default those that samples have labels of: AFEW-VA and SEWA have no expression.
    system, setting, data : str, optional
        Columns of these names, by which `compare` finds the row of the paper to set beside.
    n_resamples : int
    level : float
        Of the intervals.
    seed : int

    Returns
    -------
    DataFrame
        One row per figure: ``system``, ``setting``, ``data`` if given, ``target``, ``metric``
        and ``value``, as in `published`; ``low`` and ``high``, NaN with a single person;
        ``n`` (faces) and ``clusters`` (persons, or faces where there is no subject).

    Raises
    ------
    ValueError
        An id is missing, repeated or without prediction; a column, a prediction or a subject is
        missing; a label, or more than 1 % of predictions, lie outside [-1, 1]; samples show an expression that the network cannot
        name (5-class predictions of 8-class samples). The message names column and id.
    """
    if n_resamples < 2 or not 0 < level < 1:
        raise ValueError(f"n_resamples is at least 2 and level between 0 and 1, got {n_resamples} and {level}")
    true, pred = _joined(predictions, samples)
    rows = []
    for target in _targets(true, pred, targets):
        labelled = true[target].notna()
        labels, answers = _checked(target, true.loc[labelled, target], pred.loc[labelled, target], pred.columns)
        clusters = _clusters(true[labelled])
        metrics = list(TARGETS[target])
        sums = cluster_sums(_terms(target, labels, answers), clusters)
        options = {"n_resamples": n_resamples, "level": level, "seed": seed}
        values, low, high = bootstrap(sums, partial(_figures, target), metrics, len(sums), **options)
        for row in zip(metrics, values, low, high, strict=True):
            rows.append((target, *row, len(labels), len(sums)))
    table = pd.DataFrame(rows, columns=["target", "metric", "value", "low", "high", "n", "clusters"])
    about = {"system": system, "setting": setting} | ({} if data is None else {"data": data})
    for place, (name, constant) in enumerate(about.items()):
        table.insert(place, name, constant)
    return table


def matched(
    predictions: Table, samples: Table, targets: str | Sequence[str] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels and predictions of the same faces, joined and checked as `report` does.

    Parameters
    ----------
    predictions, samples, targets
        As in `report`.

    Returns
    -------
    true, pred : DataFrame
        Indexed by id, one column per target. Faces that lack a label of one target are left out.

    Raises
    ------
    ValueError
        As `report`, or no face has labels of all targets.
    """
    true, pred = _joined(predictions, samples)
    targets = _targets(true, pred, targets)
    true = true.dropna(subset=targets)
    if true.empty:
        raise ValueError(f"no sample has labels of both {' and '.join(targets)}; set one of the targets")
    pairs = {name: _checked(name, true[name], pred.loc[true.index, name], pred.columns) for name in targets}
    labels, answers = ({name: pair[k] for name, pair in pairs.items()} for k in range(2))
    return pd.DataFrame(labels, true.index), pd.DataFrame(answers, true.index)


def _joined(predictions: Table, samples: Table) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Samples and their predictions, row by row, indexed by id."""
    true, pred = _read(samples, "samples"), _read(predictions, "predictions")
    missing = true.index.difference(pred.index, sort=False)
    if len(missing):
        raise ValueError(
            f"{len(missing)} of {len(true)} samples have no prediction: {_some(missing)}; the predictions' ids are "
            f"{_some(pred.index)}. Predict them, or leave such samples out and say so"
        )
    return true, pred.loc[true.index]


def _read(table: Table, role: str) -> pd.DataFrame:
    try:
        table = read_table(table)
    except ValueError as error:
        raise ValueError(f"{role}: {error}") from error
    # `predict` writes text, whereas a CSV's 17 is read as a number.
    return table.set_index(table["id"].astype(str))


def _targets(true: pd.DataFrame, pred: pd.DataFrame, wanted: str | Sequence[str] | None) -> list[str]:
    labelled = [name for name in TARGETS if name in true and true[name].notna().any()]
    chosen = labelled if wanted is None else [wanted] if isinstance(wanted, str) else list(wanted)
    for name in chosen:
        if name not in labelled:
            raise ValueError(f"samples have no labels of {name!r}; they have {', '.join(labelled) or 'none'}")
        if name not in pred:
            raise ValueError(
                f"predictions have no column {name!r}, of which samples have labels; add it, or set targets"
            )
    if not chosen:
        raise ValueError(f"samples have no labels: none of the columns {', '.join(TARGETS)} is filled")
    return chosen


def _checked(target: str, labels: pd.Series, answers: pd.Series, columns: pd.Index) -> tuple[NDArray, NDArray]:
    """Labels and predictions of one target, fit to be compared."""
    if answers.isna().any():
        raise ValueError(f"predictions have no {target} for {_some(answers.index[answers.isna()])}")
    if target == "expression":
        # Without probabilities, the classes that a network can name are unknown.
        classes = {column[2:] for column in columns if str(column).startswith("p_")}
        nameable = classes or {*labels, *EXPRESSIONS[8]}
        strange = answers[~answers.isin(nameable)]
        if len(strange):
            raise ValueError(
                f"predictions call {_some(strange.index)} {str(strange.iloc[0])!r}, which is no known expression"
            )
        strange = labels[~labels.isin(nameable)]
        if len(strange):
            raise ValueError(
                f"predictions know {', '.join(sorted(classes))}, but {len(strange)} samples show "
                f"{', '.join(sorted(set(map(str, strange))))}; leave those faces out, and say so"
            )
        return labels.to_numpy(), answers.to_numpy()
    true, pred = _numbers("samples", target, labels), _numbers("predictions", target, answers)
    wrong = ~(np.abs(true) <= 1)
    if wrong.any():
        raise ValueError(
            f"samples: {target} is {true[wrong][0]:g} for {_some(labels.index[wrong])}, outside [-1, 1]; "
            "rescale the column, or leave such faces out"
        )
    beyond = np.abs(pred) > 1
    said = f"{beyond.sum()} of {len(pred)} predictions of {target} lie outside [-1, 1]"
    if np.isinf(pred).any() or beyond.mean() > _BEYOND:
        first = np.isinf(pred) if np.isinf(pred).any() else beyond
        raise ValueError(
            f"predictions: {target} is {pred[first][0]:g} for {_some(answers.index[first])}; {said}. Rescale the "
            "column to [-1, 1]; where the scale is right, clip it, and say so"
        )
    if beyond.any():
        warnings.warn(f"{said} and are clipped", stacklevel=3)
    return true, np.clip(pred, -1, 1)


def _numbers(table: str, target: str, column: pd.Series) -> NDArray[np.float64]:
    """A column as numbers; one that holds something else is named with its id."""
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna() & column.notna()
    if wrong.any():
        raise ValueError(
            f"{table}: {target} is {column[wrong].iloc[0]!r} for {_some(column.index[wrong])}; it is a number in [-1, 1]"
        )
    return numbers.to_numpy(np.float64)


def _clusters(true: pd.DataFrame) -> NDArray[np.int64]:
    """Number of the person of every face, or of the face itself."""
    if "subject" not in true:
        return np.arange(len(true))
    missing = true["subject"].isna()
    if missing.any():
        raise ValueError(
            f"samples: subject is missing for {_some(true.index[missing])}; fill it in, or drop the column"
        )
    return pd.factorize(true["subject"])[0]


def _terms(target: str, true: NDArray, pred: NDArray) -> NDArray[np.float64]:
    """What is to be summed over faces, (n, k), to get the figures of ``target``."""
    if target == "expression":
        return np.column_stack((np.ones(len(true)), true == pred))
    agree = np.sign(true) == np.sign(pred)
    return np.column_stack((np.ones(len(true)), true, pred, true**2, pred**2, (true - pred) ** 2, agree))


def _figures(target: str, sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The metrics of ``target``, (..., m), from sums of terms (..., k)."""
    means = sums[..., 1:] / sums[..., :1]
    if target == "expression":
        return means
    true, pred, true2, pred2, error2, agree = np.moveaxis(means, -1, 0)
    var_true, var_pred = (np.where(var > _ROUNDING, var, 0) for var in (true2 - true**2, pred2 - pred**2))
    moments = Moments(true, pred, var_true, var_pred, (true2 + pred2 - error2) / 2 - true * pred)
    return np.stack((np.sqrt(error2), agree, moments.pcc, moments.ccc), axis=-1)


def _some(ids: pd.Index) -> str:
    """Up to three ids, and how many more."""
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    return ", ".join(map(repr, ids[:3])) + more
