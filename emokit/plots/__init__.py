"""Evidence in, pictures out."""

from emokit.plots.circumplex import COLOURS, circumplex
from emokit.plots.explorer import Explorer
from emokit.plots.faces import (
    answer,
    augmentation_grid,
    draw_landmarks,
    expression_bars,
    face_grid,
    map_overlay,
    photo,
)
from emokit.plots.labels import comparison, label_distribution, traces

__all__ = [
    "COLOURS",
    "Explorer",
    "answer",
    "augmentation_grid",
    "circumplex",
    "comparison",
    "draw_landmarks",
    "expression_bars",
    "face_grid",
    "label_distribution",
    "map_overlay",
    "photo",
    "traces",
]
