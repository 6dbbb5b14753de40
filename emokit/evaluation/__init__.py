"""Predictions in, evidence out."""

from emokit.evaluation.published import published, published_table

__all__ = ["published", "published_table"]
