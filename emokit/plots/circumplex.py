"""The circumplex of valence and arousal (paper, Fig. 1)."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from emokit.data.rendered import PROTOTYPES, action_units, affect

# Okabe and Ito's palette, told apart by colour-blind eyes and on grey paper.
COLOURS = {
    "neutral": "#7f7f7f", "happy": "#e69f00", "sad": "#0072b2", "surprise": "#56b4e9",
    "fear": "#cc79a7", "disgust": "#009e73", "anger": "#d55e00", "contempt": "#000000",
}  # fmt: skip
INK, FAINT = "#222222", "#9a9a9a"


def circumplex(
    valence: ArrayLike = (),
    arousal: ArrayLike = (),
    expression: ArrayLike | None = None,
    *,
    words: bool | None = None,
    legend: bool = True,
    ax: Axes | None = None,
    **scatter,
) -> Axes:
    """Points on the circumplex.

    Parameters
    ----------
    valence, arousal : array-like, shape (n,)
        In [-1, 1].
    expression : array-like of str, shape (n,), optional
        Colours the points.
    words : bool, optional
        Write the expressions where the rendered prototypes have them; by default unless a
        legend names them.
    legend : bool
        Name the colours of several expressions beside the circle.
    ax : Axes, optional
    **scatter
        Passed on to ``Axes.scatter``.
    """
    ax = ax or plt.subplots(figsize=(5, 5), layout="constrained")[1]
    valence, arousal = np.atleast_1d(valence), np.atleast_1d(arousal)
    ax.add_patch(plt.Circle((0, 0), 1, facecolor="#f6f6f4", edgecolor=FAINT, linewidth=1, zorder=0))
    for x, y in (((-1, 1), (0, 0)), ((0, 0), (-1, 1))):
        ax.plot(x, y, color=FAINT, linewidth=0.8, zorder=1)
    if words or (words is None and (expression is None or len(set(np.atleast_1d(expression))) < 2)):
        for name in PROTOTYPES:
            x, y = affect(action_units(name, 0.8))
            ax.annotate(name, (x, y + (0.06 if name == "neutral" else 0)), color=FAINT, fontsize=9,
                        ha="left" if name == "neutral" else "center", va="center", zorder=1)  # fmt: skip
    scatter = {"s": 40, "edgecolor": "white", "linewidth": 0.6, "zorder": 3} | scatter
    if expression is None:
        ax.scatter(valence, arousal, **({"color": INK} | scatter))
    else:
        expression = np.atleast_1d(expression)
        present = [name for name in COLOURS if name in expression]
        for name in present:
            chosen = expression == name
            ax.scatter(valence[chosen], arousal[chosen], color=COLOURS[name], label=name, **scatter)
        if legend and len(present) > 1:
            ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, handletextpad=0.2)
    ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal", xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    ax.set_xlabel("unpleasant  ←  valence  →  pleasant")
    ax.set_ylabel("calm  ←  arousal  →  excited")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, colors=FAINT)
    return ax
