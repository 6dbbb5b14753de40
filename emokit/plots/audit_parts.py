"""What a report's sections are made of: tables in words, pictures, and how figures are written."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from emokit.plots.parts import in_words

FOUND = ("differs", "differs a little")
TOO_FEW = "too few to say"


class Grid(NamedTuple):
    """A table in words."""

    caption: str
    header: list[str]
    rows: list[list[str]]


class Picture(NamedTuple):
    """A figure, and what it shows for those who can't see it."""

    svg: str
    words: str


class Section(NamedTuple):
    """Part of the report."""

    title: str
    paragraphs: Sequence[str] = ()
    points: Sequence[str] = ()
    grids: Sequence[Grid] = ()
    pictures: Sequence[Picture] = ()


def picture(figure: Figure, words: str) -> Picture:
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return Picture(base64.b64encode(file.getvalue()).decode(), words)


def name_of(row: NamedTuple) -> str:
    return f"{row.group} ({row.columns})"


def figure_of(value: float, metric: str) -> str:
    return in_words(value, "+z.2f" if metric == "signed error" else "z.2f")


def span(value: float, low: float, high: float, form: str = "+z.2f") -> str:
    """A figure and its interval, such as "+0.10 (+0.04 to +0.16)"."""
    if np.isnan(value) or np.isnan(low):
        return in_words(value, form)
    # A figure and its interval stay in one line.
    return f"{in_words(value, form)} ({in_words(low, form)} to {in_words(high, form)})".replace(
        " ", "\N{NO-BREAK SPACE}"
    )


def detectable_of(detectable: float) -> str:
    if np.isnan(detectable):
        return ""
    return f"±{detectable:.2f}" if np.isfinite(detectable) else "none"


def p_of(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:,.0f}"


def percent(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.0%}"
