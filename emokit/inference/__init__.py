"""Pixels in, predictions out."""
