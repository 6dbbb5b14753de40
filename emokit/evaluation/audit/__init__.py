"""Audit: how well does a model serve each group, and can the answer be defended?"""

from emokit.evaluation.audit.causes import causes
from emokit.evaluation.audit.details import by_region, confusions, decompositions
from emokit.evaluation.audit.findings import VERDICTS, Settings
from emokit.evaluation.audit.groups import join_groups
from emokit.evaluation.audit.measures import culture_match, image_quality, landmark_error
from emokit.evaluation.audit.mitigation import balanced, compare_mitigations, recalibrated, training_weights
from emokit.evaluation.audit.model_card import describe_model
from emokit.evaluation.audit.run import Audit, audit
from emokit.evaluation.audit.training_data import DataAudit, audit_data

__all__ = [
    "VERDICTS",
    "Audit",
    "DataAudit",
    "Settings",
    "audit",
    "audit_data",
    "balanced",
    "by_region",
    "causes",
    "compare_mitigations",
    "confusions",
    "culture_match",
    "decompositions",
    "describe_model",
    "image_quality",
    "join_groups",
    "landmark_error",
    "recalibrated",
    "training_weights",
]
