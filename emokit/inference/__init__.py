"""Pixels in, predictions out."""

import importlib

from emokit.inference.decoding import VideoError
from emokit.inference.export import export_onnx, load_onnx
from emokit.inference.faces import (
    CascadeDetector,
    Detector,
    FaceAlignmentDetector,
    Faces,
    WholeImage,
    YuNetDetector,
)
from emokit.inference.find import find_faces
from emokit.inference.landmarks import recompute_landmarks
from emokit.inference.predict import predict
from emokit.inference.prepare import drift, prepare
from emokit.inference.smoothing import smooth
from emokit.inference.video import predict_video

__all__ = [
    "CascadeDetector",
    "Detector",
    "FaceAlignmentDetector",
    "Faces",
    "VideoError",
    "WholeImage",
    "YuNetDetector",
    "drift",
    "export_onnx",
    "find_faces",
    "load_onnx",
    "predict",
    "predict_table",
    "predict_video",
    "prepare",
    "recompute_landmarks",
    "smooth",
]


def __getattr__(name: str):
    if name == "predict_table":  # Lightning, which it needs, takes seconds to import
        return importlib.import_module("emokit.inference.stream").predict_table
    raise AttributeError(f"module 'emokit.inference' has no attribute {name!r}")
