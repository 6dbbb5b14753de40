"""Evidence in, pictures out."""

from emokit.plots.circumplex import COLOURS, circumplex
from emokit.plots.explorer import Explorer
from emokit.plots.faces import answer, draw_landmarks, expression_bars, face_grid, map_overlay, photo

__all__ = [
    "COLOURS",
    "Explorer",
    "answer",
    "circumplex",
    "draw_landmarks",
    "expression_bars",
    "face_grid",
    "map_overlay",
    "photo",
]
