"""Predictions in, evidence out."""

from emokit.evaluation.agreement import against_humans, average_agreement, leave_one_out, pairwise, statement
from emokit.evaluation.audit import (
    audit,
    audit_data,
    balanced,
    by_region,
    causes,
    compare_mitigations,
    confusions,
    culture_match,
    decompositions,
    image_quality,
    join_groups,
    landmark_error,
    recalibrated,
    training_weights,
)
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
from emokit.evaluation.rolling import rolling_ccc

__all__ = [
    "accuracy",
    "add_model",
    "against_humans",
    "annotator_profiles",
    "audit",
    "audit_data",
    "average_agreement",
    "balanced",
    "by_group",
    "by_region",
    "causes",
    "ccc",
    "ccc_decomposition",
    "cleaned",
    "coefficients",
    "compare",
    "compare_mitigations",
    "confusion",
    "confusions",
    "correct_lags",
    "culture_match",
    "decompositions",
    "estimate_lags",
    "icc",
    "image_quality",
    "intraclass_correlations",
    "join_groups",
    "krippendorff_alpha",
    "landmark_error",
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
    "recalibrated",
    "report",
    "rmse",
    "rolling_ccc",
    "sagr",
    "statement",
    "training_weights",
]
