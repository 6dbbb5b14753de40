"""Audit: how well does a model serve each group, and can the answer be defended?"""

from emokit.evaluation.audit.groups import join_groups
from emokit.evaluation.audit.run import VERDICTS, Audit, audit

__all__ = ["VERDICTS", "Audit", "audit", "join_groups"]
