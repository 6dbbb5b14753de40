"""Parts that pictures of many faces share."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from numpy.typing import ArrayLike

from emokit.plots.circumplex import INK

MANY = 2000  # points; more are drawn as a density


def density(
    x: ArrayLike, y: ArrayLike, ax: Axes, extent: tuple[float, float, float, float] = (-1, 1, -1, 1)
) -> PolyCollection:
    """Counts of the points (n,) in hexagons within ``extent`` (left, right, bottom, top), darker on a log scale."""
    return ax.hexbin(x, y, gridsize=30, extent=extent, bins="log", mincnt=1, cmap="viridis_r", zorder=2, linewidths=0.1)


def cloud(x: ArrayLike, y: ArrayLike, ax: Axes, extent: tuple[float, float, float, float] = (-1, 1, -1, 1)) -> None:
    """Few points as dots; many as a density, with its key."""
    if len(x) <= MANY:
        ax.scatter(x, y, s=22, color=INK, alpha=0.5, linewidth=0, zorder=2)
        return
    key = ax.figure.colorbar(density(x, y, ax, extent), ax=ax, shrink=0.4, aspect=14, pad=0.02, anchor=(0, 0))
    key.outline.set_visible(False)
    key.ax.yaxis.set_major_formatter("{x:,.0f}")
    key.set_label("faces", fontsize=9, color=INK)


def headline(ax: Axes, title: str, detail: str) -> None:
    """A title, and what has to be known to read the picture."""
    ax.set_title(title, loc="left", fontsize=11, color=INK, pad=8 + 12 * (1 + detail.count("\n")))
    ax.annotate(detail, (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points", fontsize=9, color=INK)


def count(numbers: ArrayLike, what: str = "face") -> str:
    """One or several counts in words: "1 face", "1 to 4,000 faces"."""
    low, high = np.min(numbers), np.max(numbers)
    span = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{span} {what}" if high == 1 else f"{span} {what}s"


def in_words(value: float, form: str = "z.2f") -> str:
    """A figure, never −0.00, or "undefined"."""
    return "undefined" if np.isnan(value) else format(value, form).replace("-", "−")
