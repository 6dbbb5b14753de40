"""One family of tests, corrected for their number, and a verdict on each: effect sizes before p-values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from emokit.evaluation.audit.differences import TESTED, in_one_group, permutation_p
from emokit.evaluation.audit.faces import MOST_CLUSTERS
from emokit.evaluation.audit.figures import Drawn

# Smaller differences, in either direction, are not what one would act on.
WORTH = {"CCC": 0.1, "signed error": 0.05, "accuracy": 0.05}
CORRECTIONS = {"holm": "Holm", "fdr_bh": "Benjamini–Hochberg"}


@dataclass(frozen=True)
class Settings:
    """How an audit was made."""

    groups: tuple[str, ...]
    intersections: int
    min_size: int
    alpha: float
    correction: str
    worth: dict[str, float]
    power: float
    n_resamples: int
    n_permutations: int
    level: float
    seed: int


VERDICTS = {
    "differs": "chance is an unlikely reason, and the difference is large enough to act on",
    "differs a little": "chance is an unlikely reason, but the difference is smaller than what is worth acting on",
    "can't tell": "the data allow both a difference worth acting on and none",
    "no large difference": "a difference worth acting on is excluded",
    "too few to say": "too few persons here or in the rest",
    "undefined": "the metric tells nothing: predictions are constant, or labels are, or there is no rest",
}


class Tested(NamedTuple):
    """The table of findings of an `Audit`, the number of tests, and of permutations of each."""

    findings: pd.DataFrame
    tests: int
    permutations: int  # 0 where no test shuffles


def tested(drawn: Sequence[Drawn], settings: Settings, step: Callable[[int], object] = lambda n: None) -> Tested:
    """Tests, corrections and verdicts; ``step`` hears how many permutations more are done."""
    pairs = [(some, metric) for some in drawn for metric in TESTED[some.faces.target]]
    enough = np.concatenate([some.fewer >= settings.min_size for some, _ in pairs])
    # In a column of two groups, the second differs from the first as the first from the second.
    twin = np.concatenate([some.faces.is_twin for some, _ in pairs])
    table = pd.concat([_rows(some, metric, settings) for some, metric in pairs], ignore_index=True)
    # With fewer permutations, the smallest p-value would not survive the correction.
    n_permutations = max(settings.n_permutations, int(2 * (enough & ~twin).sum() / settings.alpha))
    table["test"], p = _p_values(pairs, n_permutations, settings.seed, step)
    table["p"] = np.where(enough & ~_empty_words(pairs), p, np.nan)
    family = table["p"].notna() & ~twin
    tests = int(family.sum())
    table["p_adjusted"] = np.nan
    if tests:
        adjusted = multipletests(table.loc[family, "p"], settings.alpha, settings.correction)[1]
        table.loc[family, "p_adjusted"] = adjusted
    twins = np.flatnonzero(twin & table["p"].notna())
    table.loc[twins, "p_adjusted"] = table["p_adjusted"].to_numpy()[twins - 1]
    share = settings.alpha / max(tests, 1)
    bounds = [[end[:, some.metrics.index(m)] for end in some.differences(1 - share)[1:]] for some, m in pairs]
    lowest, highest = (np.concatenate(ends) for ends in zip(*bounds, strict=True))
    table["detectable"] = np.concatenate([some.detectable(metric, share, settings.power) for some, metric in pairs])
    worth = table["metric"].map(settings.worth)
    table["size"] = table["difference"].abs() / worth
    # Whoever differs from a harmed rest is not harmed: a signed error is worse the farther it is from 0.
    signed = table["metric"] == "signed error"
    own, rest = (table[name].where(~signed, -table[name].abs()) for name in ("value", "rest"))
    table["worse"] = own < rest
    found, large = table["p_adjusted"] <= settings.alpha, table["size"] >= 1
    cases = {
        "too few to say": ~enough,
        "undefined": table["p"].isna(),
        "differs": found & large,
        "differs a little": found,
        "no large difference": (lowest > -worth) & (highest < worth),
    }
    table["verdict"] = np.select(list(cases.values()), list(cases), "can't tell")
    rank = table["verdict"].map(list(VERDICTS).index)
    order = table.assign(rank=rank).sort_values(
        ["rank", "worse", "size"], ascending=[True, False, False], kind="stable"
    )
    shuffled = (table["test"] == "permutation") & table["p"].notna()
    return Tested(order.drop(columns="rank").reset_index(drop=True), tests, n_permutations if shuffled.any() else 0)


def _empty_words(pairs: Sequence[tuple[Drawn, str]]) -> NDArray[np.bool_]:
    """Of every group and pair, whether it is a CCC of constant predictions: 0 for everybody, which is no equal service."""
    constant = [metric == "CCC" and np.ptp(some.faces.pred) == 0 for some, metric in pairs]
    return np.repeat(constant, [len(some.value) for some, _ in pairs])


def _p_values(
    pairs: Sequence[tuple[Drawn, str]], n_permutations: int, seed: int, step: Callable[[int], object]
) -> tuple[NDArray, NDArray]:
    """The test of every group and pair, and its p-value."""
    faces = list(dict.fromkeys(some.faces for some, _ in pairs))
    shuffled = np.all([in_one_group(some) for some in faces], axis=0) & (faces[0].n_persons <= MOST_CLUSTERS)
    permuted = permutation_p(faces, n_permutations, seed, step) if shuffled.any() else {}
    p = [
        np.where(shuffled, permuted.get((some.faces.target, metric), np.nan), some.p_values(metric))
        for some, metric in pairs
    ]
    return np.tile(np.where(shuffled, "permutation", "bootstrap"), len(pairs)), np.concatenate(p)


def _rows(drawn: Drawn, metric: str, settings: Settings) -> pd.DataFrame:
    k = drawn.metrics.index(metric)
    difference, low, high = (x[:, k] for x in drawn.differences(settings.level))
    counts = drawn.faces.counts.drop(columns=["n_rest", "effective_rest"])
    counts.insert(2, "target", drawn.faces.target)
    counts.insert(3, "metric", metric)
    return counts.assign(value=drawn.value[:, k], rest=drawn.rest[:, k], difference=difference, low=low, high=high)
