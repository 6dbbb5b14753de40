"""Evidence in, pictures out."""

from emokit.plots.agreement import agreement_matrix, annotator_profile
from emokit.plots.annotate import annotate_video
from emokit.plots.audit import coverage_map, forest, intersections, signed_errors
from emokit.plots.audit_report import write_audit
from emokit.plots.circumplex import COLOURS, circumplex
from emokit.plots.cleaning import removals, review_curve
from emokit.plots.evaluation import bland_altman, confusion, error_arrows, predicted_against_true
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
from emokit.plots.player import Player
from emokit.plots.video import affect_traces, ccc_over_time, trajectory

__all__ = [
    "COLOURS",
    "Explorer",
    "Player",
    "affect_traces",
    "agreement_matrix",
    "annotate_video",
    "annotator_profile",
    "answer",
    "augmentation_grid",
    "bland_altman",
    "ccc_over_time",
    "circumplex",
    "comparison",
    "confusion",
    "coverage_map",
    "draw_landmarks",
    "error_arrows",
    "expression_bars",
    "face_grid",
    "forest",
    "intersections",
    "label_distribution",
    "map_overlay",
    "photo",
    "predicted_against_true",
    "removals",
    "review_curve",
    "signed_errors",
    "traces",
    "trajectory",
    "write_audit",
]
