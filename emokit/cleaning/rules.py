"""Which labels contradict themselves: expression against valence and arousal (paper, AffectNet cleaning).

The rules are data. ``RULES | {"happy": "valence > 0.1"}`` changes one; a YAML file such as ::

    neutral: intensity < 0.2
    happy: valence > 0 and intensity > 0.2

holds your own, and an expression without a rule is not checked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from scipy.spatial import KDTree

from emokit.data.consistency import RULES, Rule, measures, rule
from emokit.data.tables import Table, read_table
from emokit.models.emofan import EXPRESSIONS

__all__ = ["RULES", "check", "contradiction", "read_rules"]

Rules = Mapping[str, str] | str | os.PathLike


def check(samples: Table, rules: Rules = RULES) -> pd.DataFrame:
    """Whether each expression fits its valence and arousal, and if not, why.

    Parameters
    ----------
    samples : DataFrame or path
        With ``expression``, and ``valence`` and ``arousal`` in [-1, 1].
    rules : mapping or path
        Text of a rule by expression, or a YAML file of them: see `emokit.data.consistency`.

    Returns
    -------
    DataFrame
        One row per sample: ``id``; ``consistent`` (bool); ``reason``, empty where the rule holds.
        Samples that lack a label or whose expression has no rule count as consistent, and the
        reason says that they were not checked.

    Raises
    ------
    ValueError
        A rule cannot be read, a column is missing, a value lies outside [-1, 1], or an expression
        is neither among the rules nor one of AffectNet's eight. The message names the rule, or
        the sample.
    """
    parsed = _parsed(rules)
    samples = _labels(samples, parsed)
    known = measures(samples["valence"], samples["arousal"])
    expression = samples["expression"]
    consistent = np.ones(len(samples), bool)
    reason = np.full(len(samples), "", dtype=object)
    missing = samples[["expression", "valence", "arousal"]].isna()
    for name in missing:
        reason[(reason == "") & missing[name].to_numpy()] = f"not checked: no {name}"
    complete = ~missing.any(axis=1).to_numpy()
    for name in expression[complete].unique():
        rows = np.flatnonzero(complete & (expression == name).to_numpy())
        if name not in parsed:
            reason[rows] = f"not checked: no rule for {name}"
            continue
        for part in parsed[name].parts:
            failing = rows[~part(known["valence"][rows], known["arousal"][rows])]
            consistent[failing] = False
            reason[failing] += _explained(
                name, part, {k: values[failing] for k, values in known.items()}, reason[failing]
            )
    return pd.DataFrame({"id": samples["id"], "consistent": consistent, "reason": reason})


def contradiction(samples: Table, rules: Rules = RULES) -> NDArray[np.float64]:
    """How far (n,) valence and arousal lie from the nearest that the rule admits; 0 where it holds.

    Found on a grid in steps of 0.01; 2 where a rule admits nothing. See `check`.
    """
    parsed = _parsed(rules)
    samples = _labels(samples, parsed)
    labels = samples[["valence", "arousal"]].to_numpy(np.float64)
    complete = samples.notna().all(axis=1).to_numpy()
    grid = np.stack(np.meshgrid(*2 * [np.linspace(-1, 1, 201)]), axis=-1).reshape(-1, 2)
    distance = np.zeros(len(samples))
    for name, holds in parsed.items():
        rows = np.flatnonzero(complete & (samples["expression"] == name).to_numpy())
        failing = rows[~holds(*labels[rows].T)]
        admitted = grid[holds(*grid.T)]
        distance[failing] = KDTree(admitted).query(labels[failing])[0] if len(admitted) else 2
    return distance


def read_rules(path: str | os.PathLike) -> dict[str, str]:
    """Rules of a YAML file, one ``expression: rule`` per line.

    Raises
    ------
    ValueError
        The file is no such YAML, or a rule in it cannot be read; the message names file and rule.
    FileNotFoundError
        There is no such file.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        written = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(written, dict) or not written:
        raise ValueError(f"{path} holds no rules; write one 'expression: rule' per line")
    # YAML lets the last of two keys win.
    names = [key.value for key, _ in yaml.compose(text, yaml.SafeLoader).value]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ValueError(f"{path} has two rules for {twice[0]}; join them with 'and', or keep one")
    try:
        return {name: parsed.text for name, parsed in _parsed(written).items()}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _parsed(rules: Rules) -> dict[str, Rule]:
    if not isinstance(rules, Mapping):
        rules = read_rules(rules)
    parsed = {}
    for name, text in rules.items():
        try:
            parsed[name] = rule(text) if isinstance(text, str) else Rule(text)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return parsed


def _labels(samples: Table, rules: Mapping[str, Rule]) -> pd.DataFrame:
    """The columns that are checked, fit to be."""
    names = ["id", "expression", "valence", "arousal"]
    if isinstance(samples, pd.DataFrame):
        samples = samples[[name for name in names if name in samples]]  # landmarks are not looked at
    samples = read_table(samples)
    for name in names:
        if name not in samples:
            raise ValueError(f"the samples table has no column {name!r}, which the rules speak of")
    for name in names[2:]:
        numbers = pd.to_numeric(samples[name], errors="coerce")
        _refuse(samples, numbers.isna() & samples[name].notna(), name, "is no number; mend it, or make it empty")
        samples[name] = numbers
        _refuse(samples, samples[name].abs() > 1, name, "is outside [-1, 1]; rescale it, or make it empty")
    strange = samples["expression"].notna() & ~samples["expression"].isin([*rules, *EXPRESSIONS[8]])
    _refuse(samples, strange, "expression", f"is none of {', '.join(EXPRESSIONS[8])}; add a rule for it, or mend it")
    return samples


def _refuse(samples: pd.DataFrame, bad: pd.Series, column: str, problem: str) -> None:
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise ValueError(
            f"sample {samples['id'].iloc[row]!r} (row {row}): {column} {samples[column].tolist()[row]!r} {problem}"
        )


def _explained(name: str, part: Rule, known: dict[str, np.ndarray], before: np.ndarray) -> list[str]:
    """What fails, in words: "happy needs valence > 0, has valence -0.35"."""
    spoken = [k for k in known if k in part.text]
    values = ([f"{k} {value:z.3g}" for value in known[k]] for k in spoken)
    return [
        ("; " if earlier else f"{name} ") + f"needs {part.text}, has {', '.join(row)}"
        for earlier, *row in zip(before, *values, strict=True)
    ]
