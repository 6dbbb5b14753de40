"""Simulated annotators of rendered faces, whose true agreement is known: estimates can be checked against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.stats import norm

from emokit.data.tables import Table, read_table
from emokit.models.emofan import EXPRESSIONS

# The first of these columns that a table has tells its traces apart.
TRACES = ("recording", "video", "subject")

# Rows and times (s) of each trace.
Traces = list[tuple[NDArray[np.int64], NDArray[np.float64]]]

_NAMES = np.array(EXPRESSIONS[8])
# What people, too, take such faces for.
_LOOKALIKES = {"fear": "surprise", "disgust": "anger", "contempt": "neutral", "sad": "neutral"}


@dataclass(frozen=True)
class Annotator:
    """How one simulated annotator rates; pairs are of valence and arousal.

    A rating is ``scale`` × truth + ``bias`` + normal noise, clipped to [-1, 1].

    Parameters
    ----------
    name : str
    bias, scale : pair of float
    noise : pair of float
        Standard deviation, above 0. In traces the noise is slow, of half a second.
    lag : float
        Seconds behind the truth, in traces.
    confuses : mapping
        Blind spot: every face of the expression gets the label of another one, ``{"fear": "surprise"}``.
    slips : float
        Share of faces that get any other label, by chance.
    never_rates : tuple of str
        Blind spot: expressions that stay unrated.
    missing : float
        Share of the other faces that stay unrated, by chance.

    Raises
    ------
    ValueError
        Noise is not above 0, a share is outside [0, 1), or an expression has no such name.
    """

    name: str
    bias: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)
    noise: tuple[float, float] = (0.15, 0.15)
    lag: float = 0.0
    confuses: Mapping[str, str] = field(default_factory=dict)
    slips: float = 0.1
    never_rates: tuple[str, ...] = ()
    missing: float = 0.0

    def __post_init__(self) -> None:
        if min(self.noise) <= 0:
            raise ValueError(f"noise of annotator {self.name!r} must be above 0, got {self.noise}")
        for share in ("slips", "missing"):
            if not 0 <= getattr(self, share) < 1:
                raise ValueError(f"{share} of annotator {self.name!r} is in [0, 1), got {getattr(self, share)}")
        unknown = {*self.confuses, *self.confuses.values(), *self.never_rates} - set(_NAMES)
        if unknown:
            raise ValueError(f"annotator {self.name!r}: no expression {min(unknown)!r}; they are {', '.join(_NAMES)}")

    def labels(self) -> NDArray[np.float64]:
        """Probability (8, 8) of the label in a column, given the expression in a row."""
        seen = [self.confuses.get(name, name) for name in _NAMES]
        right = np.array(seen)[:, None] == _NAMES
        return np.where(right, 1 - self.slips, self.slips / (len(_NAMES) - 1))


def draw_annotators(n: int, seed: int = 0) -> list[Annotator]:
    """``n`` random annotators "a1", "a2", …: decent ones, each with a lookalike they fall for.

    Bias has the standard deviation 0.05, scale is 1 ± 0.1, noise 0.1 to 0.3, lag 0.2 to 0.6 s;
    5 to 20 % of labels slip, 10 % of faces stay unrated, and every other annotator never rates
    one expression.
    """
    rng = np.random.default_rng(seed)
    annotators = []
    for k in range(n):
        mistaken, unrated = rng.choice(list(_LOOKALIKES)), rng.choice(_NAMES)
        annotators.append(
            Annotator(
                name=f"a{k + 1}",
                bias=tuple(rng.normal(0, 0.05, 2)),
                scale=tuple(rng.normal(1, 0.1, 2)),
                noise=tuple(rng.uniform(0.1, 0.3, 2)),
                lag=rng.uniform(0.2, 0.6),
                confuses={str(mistaken): _LOOKALIKES[mistaken]},
                slips=rng.uniform(0.05, 0.2),
                never_rates=(str(unrated),) if k % 2 else (),
                missing=0.1,
            )
        )
    return annotators


def simulated_ratings(samples: Table, annotators: Sequence[Annotator], seed: int = 0) -> pd.DataFrame:
    """What ``annotators`` say of ``samples``.

    Parameters
    ----------
    samples : DataFrame or path
        With true ``valence`` and ``arousal``; ``expression`` where there is one. Rows with
        ``time`` (s) are frames of traces: one per ``recording``, else per ``video`` or ``subject``,
        else one.
    annotators : sequence of Annotator
    seed : int

    Returns
    -------
    DataFrame
        A row per rating: ``item`` (the sample's id), ``annotator``, ``valence``, ``arousal``,
        ``expression``, and the sample's subject, recording, video and time where it has them.
        What stays unrated has no row.

    Raises
    ------
    ValueError
        Valence or arousal is missing, an expression has no such name, or the time of a trace does
        not rise.
    """
    samples, rng = _read(samples), np.random.default_rng(seed)
    traces = _traces(samples)
    about = [name for name in ("subject", "recording", "video", "time") if name in samples]
    parts = []
    for annotator in annotators:
        said = samples[about].assign(item=samples["id"], annotator=annotator.name)
        noise = [spread * _noise(len(samples), traces, rng) for spread in annotator.noise]
        said[["valence", "arousal"]] = np.clip(_centres(samples, traces, annotator) + noise, -1, 1).T
        if "expression" in samples:
            chances = annotator.labels()[_codes(samples)].cumsum(axis=1)
            said["expression"] = _NAMES[(rng.random((len(samples), 1)) > chances[:, :-1]).sum(axis=1)]
        parts.append(said[rng.random(len(samples)) < _rated(samples, annotator)])
    rest = ["expression"] if "expression" in samples else []
    return pd.concat(parts, ignore_index=True)[["item", "annotator", "valence", "arousal", *rest, *about]]


def true_agreement(samples: Table, annotators: Sequence[Annotator]) -> pd.DataFrame:
    """Agreement of every pair of ``annotators`` on endlessly many faces like ``samples``.

    The population is ``samples``, drawn with replacement, each draw rated anew by the same
    annotators. Its means are sums over ``samples`` of expectations known in closed form: of a
    clipped normal variable, its square and its sign, and of labels. No simulation is needed.

    Parameters
    ----------
    samples, annotators
        As in `simulated_ratings`. Traces are drawn whole.

    Returns
    -------
    DataFrame
        ``first``, ``second`` (annotators), ``target`` (expression, valence, arousal), ``metric``
        (accuracy; RMSE, SAGR, PCC, CCC: equations 1 to 4) and ``value``; NaN for a pair that
        rates no face in common.
    """
    samples = _read(samples)
    traces = _traces(samples)
    known = [_Expectations(samples, traces, annotator) for annotator in annotators]
    rows = []
    for a, b in combinations(known, 2):
        both = a.rated * b.rated
        weight = both / both.sum() if both.any() else np.full(len(both), np.nan)
        pair = {"first": a.name, "second": b.name}
        if "expression" in samples:
            agree = (a.labels * b.labels).sum(axis=1)
            rows.append(pair | {"target": "expression", "metric": "accuracy", "value": weight @ agree})
        for k, target in enumerate(("valence", "arousal")):
            mean_a, mean_b = weight @ a.mean[k], weight @ b.mean[k]
            square_a, square_b = weight @ a.square[k], weight @ b.square[k]
            product = weight @ (a.mean[k] * b.mean[k])
            covariance = product - mean_a * mean_b
            var_a, var_b = square_a - mean_a**2, square_b - mean_b**2
            up_a, up_b = a.positive[k], b.positive[k]
            metrics = {
                "RMSE": (square_a + square_b - 2 * product) ** 0.5,
                "SAGR": weight @ (up_a * up_b + (1 - up_a) * (1 - up_b)),
                "PCC": covariance / (var_a * var_b) ** 0.5,
                "CCC": 2 * covariance / (var_a + var_b + (mean_a - mean_b) ** 2),
            }
            rows += [pair | {"target": target, "metric": m, "value": v} for m, v in metrics.items()]
    return pd.DataFrame(rows, columns=["first", "second", "target", "metric", "value"])


def delayed(truth: NDArray, time: NDArray, lag: float) -> NDArray[np.float64]:
    """``truth`` (n,) at ``time`` (n,) as it was ``lag`` seconds earlier; at first, its first value."""
    return np.interp(time - lag, time, truth)


def slow(values: NDArray, rate: float) -> NDArray[np.float64]:
    """``values`` (n,), ``rate`` a second, blurred by a Gaussian of half a second, as if on a ring."""
    return gaussian_filter1d(values, rate / 2, mode="wrap")


class _Expectations:
    """What one annotator says of each of n samples, on average; arrays (2, n) are of valence and arousal."""

    def __init__(self, samples: pd.DataFrame, traces: Traces, annotator: Annotator) -> None:
        self.name, self.rated = annotator.name, _rated(samples, annotator)
        if "expression" in samples:
            self.labels = annotator.labels()[_codes(samples)]
        m, s = _centres(samples, traces, annotator), np.array(annotator.noise)[:, None]
        low, high = (-1 - m) / s, (1 - m) / s
        inside, below, above = norm.cdf(high) - norm.cdf(low), norm.cdf(low), norm.sf(high)
        self.mean = above - below + m * inside + s * (norm.pdf(low) - norm.pdf(high))
        self.square = above + below + (m**2 + s**2) * inside + s * ((m - 1) * norm.pdf(low) - (m + 1) * norm.pdf(high))
        self.positive = norm.cdf(m / s)


def _read(samples: Table) -> pd.DataFrame:
    samples = read_table(samples)
    missing = [name for name in ("valence", "arousal") if name not in samples]
    if missing:
        raise ValueError(f"the samples table has no column {missing[0]!r}; annotators need a truth to rate")
    unknown = samples[["valence", "arousal"]].isna().any(axis=1).to_numpy()
    if unknown.any():
        raise ValueError(f"row {int(np.argmax(unknown))}: valence or arousal is empty; leave such samples out")
    return samples


def _codes(samples: pd.DataFrame) -> NDArray[np.int64]:
    codes = pd.Index(_NAMES).get_indexer(samples["expression"])
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        raise ValueError(
            f"row {row}: no expression {samples['expression'].iloc[row]!r}; they are {', '.join(_NAMES)}, "
            "or drop the column"
        )
    return codes


def _rated(samples: pd.DataFrame, annotator: Annotator) -> NDArray[np.float64]:
    """Probability (n,) that ``annotator`` rates each sample."""
    rated = np.full(len(samples), 1 - annotator.missing)
    if "expression" in samples:
        rated[samples["expression"].isin(annotator.never_rates)] = 0
    return rated


def _centres(samples: pd.DataFrame, traces: Traces, annotator: Annotator) -> NDArray[np.float64]:
    """Valence and arousal (2, n) that ``annotator`` would give without noise and clipping."""
    truth = samples[["valence", "arousal"]].to_numpy(float, copy=True).T
    for rows, time in traces:
        truth[:, rows] = [delayed(values, time, annotator.lag) for values in truth[:, rows]]
    return np.array(annotator.scale)[:, None] * truth + np.array(annotator.bias)[:, None]


def _noise(n: int, traces: Traces, rng: np.random.Generator) -> NDArray[np.float64]:
    """Normal noise (n,), each value of variance 1: white, slow in traces."""
    noise = rng.normal(size=n)
    for rows, time in traces:
        if len(rows) > 1:
            rate = 1 / np.median(np.diff(time))
            impulse = np.eye(1, len(rows))[0]
            noise[rows] = slow(noise[rows], rate) / np.linalg.norm(slow(impulse, rate))
    return noise


def _traces(samples: pd.DataFrame) -> Traces:
    """Rows and times (s) of each trace; none where samples have no time."""
    if "time" not in samples:
        return []
    key = next((name for name in TRACES if name in samples), None)
    groups = samples.groupby(key, sort=False).indices if key else {"": np.arange(len(samples))}
    times = samples["time"].to_numpy(float)
    traces = [(rows, times[rows]) for rows in groups.values()]
    for name, (rows, time) in zip(groups, traces, strict=True):
        if not (np.diff(time) > 0).all():
            row = rows[1:][~(np.diff(time) > 0)][0]
            raise ValueError(f"row {row}: time of trace {name!r} does not rise; sort the samples by time")
    return traces
