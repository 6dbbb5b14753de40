"""Predictions in, evidence out."""

from emokit.evaluation.published import compare, orderings, published, published_table

__all__ = ["compare", "orderings", "published", "published_table"]
