"""Predictions in, evidence out."""

from emokit.evaluation.metrics import (
    accuracy,
    ccc,
    ccc_decomposition,
    confusion,
    icc,
    macro_f1,
    pcc,
    per_class_accuracy,
    rmse,
    sagr,
)
from emokit.evaluation.protocols import by_group, cleaned
from emokit.evaluation.published import compare, orderings, published, published_table
from emokit.evaluation.report import report

__all__ = [
    "accuracy",
    "by_group",
    "ccc",
    "ccc_decomposition",
    "cleaned",
    "compare",
    "confusion",
    "icc",
    "macro_f1",
    "orderings",
    "pcc",
    "per_class_accuracy",
    "published",
    "published_table",
    "report",
    "rmse",
    "sagr",
]
