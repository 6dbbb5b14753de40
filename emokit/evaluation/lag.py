"""Annotators of traces answer late, each in their own time: estimate how late, and undo it.

Lag lowers PCC and CCC although nobody disagrees. It is estimated by cross-correlation, pair by
pair, and only as a difference: who is late by how much on the whole, no ratings can tell, unless
one annotator is known to be punctual, such as a model that sees single frames.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from emokit.data.annotators import TRACES
from emokit.data.tables import Table
from emokit.evaluation.intervals import Array
from emokit.evaluation.ratings import read_ratings

_DIMENSIONS = ["valence", "arousal"]
_ROUNDING = 1e-12


def estimate_lags(ratings: Table, reference: str | None = None, max_lag: float = 2.0) -> pd.Series:
    """Seconds by which each annotator answers later than the others on average, or than ``reference``.

    The cross-correlation of two annotators is taken within traces, over all of them and over
    valence and arousal; a parabola through its peak tells the lag between frames. Lags of all
    pairs are reconciled by least squares, weighted by the peaks. Traces may differ in length.

    Parameters
    ----------
    ratings : DataFrame or path
        Long table with ``time`` (s); a trace is a ``recording``, else a ``video`` or a
        ``subject``, else all there is.
    reference : str, optional
        The annotator whose lag is 0; by default the lags' mean is.
    max_lag : float
        The largest lag of one annotator behind another that is looked for, in seconds.

    Returns
    -------
    Series
        Indexed by annotator; NaN for one who shares no trace with any other.

    Raises
    ------
    ValueError
        See `emokit.evaluation.ratings.read_ratings`; a time or trace is missing, or there twice; no
        trace has two ratings; ``max_lag`` is less than the step between them; or there is neither
        valence nor arousal, or no such reference.

    Warns
    -----
    UserWarning
        A pair agrees best at ``max_lag``: it is too small, or they do not agree at all.
    """
    table = _read(ratings)
    names = list(dict.fromkeys(table["annotator"]))
    if not set(_DIMENSIONS) & set(table):
        raise ValueError("the ratings have neither valence nor arousal, of which lags are estimated")
    if reference is not None and reference not in names:
        raise ValueError(f"there is no annotator {reference!r}; there are {', '.join(names)}")
    step = float(np.median([np.median(np.diff(t)) for t in _times(table) if len(t) > 1] or [np.nan]))
    if not np.isfinite(step):
        raise ValueError("no trace has two ratings; lags need time series")
    if not max_lag >= step:
        raise ValueError(f"max_lag is {max_lag:g} s, less than the {step:g} s from one rating to the next; raise it")
    correlation = _cross_correlation(table, names, step, round(max_lag / step))
    rows, differences = [], []
    for a, b in combinations(range(len(names)), 2):
        curve = correlation[:, a, b]
        if np.isnan(curve).all():
            continue
        peak = int(np.nanargmax(curve))
        if peak in (0, len(curve) - 1):
            warnings.warn(
                f"{names[a]} and {names[b]} agree best at the largest lag looked for, {max_lag:g} s; "
                "raise max_lag, or leave out who agrees at no lag",
                stacklevel=2,
            )
        weight = max(curve[peak], 0)
        rows.append(weight * (np.eye(len(names))[b] - np.eye(len(names))[a]))
        differences.append(weight * step * (peak + _vertex(curve, peak) - len(curve) // 2))
    lags = pd.Series(np.nan, index=pd.Index(names, name="annotator"), name="lag")
    if rows:
        known = np.abs(rows).any(axis=0)
        lags[known] = np.linalg.lstsq(np.array(rows)[:, known], differences)[0]
    return lags - (lags.mean() if reference is None else lags[reference])


def correct_lags(ratings: Table, lags: Mapping[str, float] | pd.Series) -> pd.DataFrame:
    """Ratings as if nobody were late.

    Parameters
    ----------
    ratings : DataFrame or path
        As in `estimate_lags`.
    lags : mapping or Series
        Seconds for every annotator, as `estimate_lags` returns.

    Returns
    -------
    DataFrame
        Long table: valence and arousal that the annotator gives ``lag`` seconds later, between
        frames interpolated, and the nearest frame's expression. Where a trace ends too early or
        begins too late for that, there is no row.

    Raises
    ------
    ValueError
        See `emokit.evaluation.ratings.read_ratings`; a time or trace is missing, or there twice; or
        an annotator has no lag.
    """
    table = _read(ratings)
    lags = pd.Series(lags, dtype=np.float64)
    missing = [name for name in table["annotator"].unique() if not np.isfinite(lags.get(name, np.nan))]
    if missing:
        raise ValueError(f"there is no lag of annotator {missing[0]!r}; give one, or leave the annotator out")
    parts = []
    for (_, name), rows in table.groupby(["trace", "annotator"], sort=False):
        rows = rows.sort_values("time")
        time = rows["time"].to_numpy()
        when = time + lags[name]
        moved = rows.copy()
        for target in _DIMENSIONS:
            if target in rows:
                moved[target] = _at(when, time, rows[target].to_numpy(float))
        if "expression" in rows:
            nearest = np.rint(np.interp(when, time, np.arange(len(time)))).astype(int)
            moved["expression"] = rows["expression"].to_numpy()[nearest]
        parts.append(moved[(when >= time[0]) & (when <= time[-1])])
    return pd.concat(parts).sort_index().drop(columns="trace").reset_index(drop=True)


def _read(ratings: Table) -> pd.DataFrame:
    """Ratings with a column ``trace``, each trace of an annotator with one rating at a time."""
    table = read_ratings(ratings)
    if "time" not in table:
        raise ValueError("the ratings have no column 'time' (s); lags need time series")
    key = next((name for name in TRACES if name in table), None)
    table = table.assign(time=pd.to_numeric(table["time"], errors="coerce"), trace=table[key] if key else "")
    for problem, rows in (
        ("time is no number of seconds; fill it in", ~np.isfinite(table["time"])),
        (f"{key} is empty; fill it in, or drop the column", table["trace"].isna()),
        (
            "its annotator has rated this time of this trace before; tell traces apart by a column 'recording'",
            table.duplicated(["trace", "annotator", "time"]),
        ),
    ):
        if rows.any():
            raise ValueError(f"the ratings, row {int(np.argmax(rows))}: {problem}")
    return table


def _times(table: pd.DataFrame) -> list[Array]:
    return [np.unique(rows["time"]) for _, rows in table.groupby("trace")]


def _at(when: Array, time: Array, values: Array) -> Array:
    """``values`` at other times; NaN before the first and after the last."""
    known = ~np.isnan(values)
    if not known.any():
        return np.full(len(when), np.nan)
    return np.interp(when, time[known], values[known], left=np.nan, right=np.nan)


def _cross_correlation(table: pd.DataFrame, names: list[str], step: float, reach: int) -> Array:
    """Correlation of ratings at a time and ``k`` steps later, (2 reach + 1, annotators, annotators), k from -reach."""
    products = np.zeros((3, reach + 1, len(names), len(names)))
    for _, rows in table.groupby("trace"):
        grid = np.arange(rows["time"].min(), rows["time"].max() + step / 2, step)
        for target in (t for t in _DIMENSIONS if t in rows):
            curves = np.full((len(grid), len(names)), np.nan)
            for name, own in rows.sort_values("time").groupby("annotator"):
                curves[:, names.index(name)] = _at(grid, own["time"].to_numpy(), own[target].to_numpy(float))
            known = ~np.isnan(curves)
            curves = np.where(known, curves, 0)
            curves = np.where(known, curves - curves.sum(axis=0) / np.maximum(known.sum(axis=0), 1), 0)
            # Beyond half of a trace, two ends are all that overlaps.
            for k in range(min(reach, len(grid) // 2) + 1):
                now, later = slice(None, len(grid) - k), slice(k, None)
                products[0, k] += curves[now].T @ curves[later]
                products[1, k] += (curves[now] ** 2).T @ known[later]
                products[2, k] += known[now].T @ curves[later] ** 2
    with np.errstate(invalid="ignore"):
        # What rounding leaves of a constant trace correlates with nothing.
        ahead = products[0] / np.sqrt(np.where(products[1:] > _ROUNDING, products[1:], np.nan).prod(axis=0))
    return np.concatenate([ahead[:0:-1].transpose(0, 2, 1), ahead])


def _vertex(curve: Array, peak: int) -> float:
    """Where, between the neighbours of ``peak``, a parabola through the three is highest."""
    if not 0 < peak < len(curve) - 1 or np.isnan(curve[peak - 1 : peak + 2]).any():
        return 0.0
    before, top, after = curve[peak - 1 : peak + 2]
    bend = before - 2 * top + after
    return float(0.5 * (before - after) / bend) if bend < 0 else 0.0
