"""Predictions in, evidence out."""

from emokit.evaluation.published import published

__all__ = ["published"]
