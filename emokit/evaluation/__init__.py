"""Predictions in, evidence out."""

from emokit.evaluation.agreement import against_humans, average_agreement, leave_one_out, pairwise, statement
from emokit.evaluation.coefficients import coefficients, intraclass_correlations, krippendorff_alpha
from emokit.evaluation.lag import correct_lags, estimate_lags
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
from emokit.evaluation.profile import annotator_profiles
from emokit.evaluation.protocols import by_group, cleaned
from emokit.evaluation.published import compare, orderings, published, published_table
from emokit.evaluation.ratings import add_model, long_ratings, read_ratings
from emokit.evaluation.report import matched, report

__all__ = [
    "accuracy",
    "add_model",
    "against_humans",
    "annotator_profiles",
    "average_agreement",
    "by_group",
    "ccc",
    "ccc_decomposition",
    "cleaned",
    "coefficients",
    "compare",
    "confusion",
    "correct_lags",
    "estimate_lags",
    "icc",
    "intraclass_correlations",
    "krippendorff_alpha",
    "leave_one_out",
    "long_ratings",
    "macro_f1",
    "matched",
    "orderings",
    "pairwise",
    "pcc",
    "per_class_accuracy",
    "published",
    "published_table",
    "read_ratings",
    "report",
    "rmse",
    "sagr",
    "statement",
]
