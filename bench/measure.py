"""Ways to do the same thing, timed in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import torch


def interleaved(ways: Mapping[str, Callable[[], Any]], seconds: float, least: int = 3) -> pd.DataFrame:
    """Seconds of each of ``ways``, one row per round in which each had its turn.

    What else the machine does hits all ways alike, so that ratios within a round are worth more than
    seconds. The first round warms up and is not counted.

    Parameters
    ----------
    ways : mapping of str to callable
    seconds : float
        No further round begins after so many.
    least : int
        Rounds that are counted in any case.
    """
    rounds: list[dict[str, float]] = []
    for call in ways.values():
        _timed(call)
    start = time.perf_counter()
    while len(rounds) < least or time.perf_counter() - start < seconds:
        rounds.append({name: _timed(call) for name, call in ways.items()})
    return pd.DataFrame(rounds)


def ratios(seconds: pd.DataFrame, plain: str = "plain") -> pd.DataFrame:
    """Medians over rounds.

    Returns
    -------
    DataFrame
        Indexed by way: ``seconds``; ``ratio``, those of ``plain`` to these, with the quartiles ``low``
        and ``high``; ``rounds``.
    """
    ratio = seconds.rdiv(seconds[plain], axis=0)
    return pd.DataFrame(
        {
            "seconds": seconds.median(),
            "ratio": ratio.median(),
            "low": ratio.quantile(0.25),
            "high": ratio.quantile(0.75),
            "rounds": len(seconds),
        }
    ).rename_axis("way")


def _timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
