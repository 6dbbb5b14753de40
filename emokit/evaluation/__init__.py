"""Predictions in, evidence out."""

from emokit.evaluation.published import compare, published, published_table

__all__ = ["compare", "published", "published_table"]
