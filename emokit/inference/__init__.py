"""Pixels in, predictions out."""

from emokit.inference.faces import (
    CascadeDetector,
    Detector,
    FaceAlignmentDetector,
    Faces,
    WholeImage,
    YuNetDetector,
)
from emokit.inference.predict import predict

__all__ = [
    "CascadeDetector",
    "Detector",
    "FaceAlignmentDetector",
    "Faces",
    "WholeImage",
    "YuNetDetector",
    "predict",
]
