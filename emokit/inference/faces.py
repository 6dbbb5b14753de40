"""Faces in a photograph: detectors behind one small protocol."""

from __future__ import annotations

import os
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import Cascade

from emokit.models.weights import WeightsError, download


class Faces(NamedTuple):
    """Faces of one photograph: ``boxes`` (n, 4) as x0, y0, x1, y1 in pixels, each as tight
    around the landmarks (brows to chin) as the detector can tell, and ``scores`` (n,), NaN
    where the detector gives none."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]

    def largest_first(self) -> NDArray[np.int64]:
        """Indices of the faces by falling area."""
        return np.argsort(-np.prod(self.boxes[:, 2:] - self.boxes[:, :2], axis=1))


class Detector(Protocol):
    """Anything that finds the faces of an RGB photograph (H, W, 3), uint8."""

    def __call__(self, image: NDArray[np.uint8]) -> Faces: ...


def described(detector: Detector) -> str:
    """Kind and settings of a detector, by which stored boxes are told apart."""
    return f"{type(detector).__name__} {sorted((k, v) for k, v in vars(detector).items() if not k.startswith('_'))}"


def _inset(boxes: NDArray, left: float, top: float, right: float, bottom: float) -> NDArray[np.float64]:
    """Move each side inwards by a share of the box's width or height."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    moves = np.column_stack((left * width, top * height, -right * width, -bottom * height))
    return boxes + moves


def _shrunk(image: NDArray[np.uint8], longest: int) -> tuple[NDArray[np.uint8], float]:
    """``image`` with its longer side at most ``longest`` pixels, and the factor applied."""
    factor = min(1.0, longest / max(image.shape[:2]))
    if factor == 1:
        return image, 1.0
    size = [max(1, round(n * factor)) for n in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), factor


class CascadeDetector:
    """scikit-image's bundled frontal-face cascade: offline and quick; upright frontal faces only.

    Parameters
    ----------
    min_face : float
        Smallest face, as a share of the photograph's shorter side.
    """

    def __init__(self, min_face: float = 0.1) -> None:
        self.min_face = min_face
        self._cascade = Cascade(lbp_frontal_face_cascade_filename())

    def __call__(self, image: NDArray[np.uint8]) -> Faces:
        small, factor = _shrunk(image, 800)
        shorter = min(small.shape[:2])
        if shorter < 25:  # the cascade's window
            return Faces(np.empty((0, 4)), np.empty(0))
        least = int(max(25, self.min_face * shorter))
        found = self._cascade.detect_multi_scale(
            img=small, scale_factor=1.15, step_ratio=1, min_size=(least, least), max_size=(shorter, shorter)
        )
        boxes = [(f["c"], f["r"], f["c"] + f["width"], f["r"] + f["height"]) for f in found]
        boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4) / factor
        return Faces(_inset(boxes, 0.08, 0.22, 0.08, -0.08), np.full(len(boxes), np.nan))


class YuNetDetector:
    """OpenCV's YuNet (MIT licence): small faces and turned heads, 0.2 MB, downloaded once.

    Parameters
    ----------
    path : path, optional
        The ONNX file, if you have it already.
    threshold : float
        Least score of a face, in [0, 1].

    Raises
    ------
    WeightsError
        The file could not be downloaded or is not the model.
    """

    URL = "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/face_detection_yunet_2023mar.onnx"
    SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"

    def __init__(self, path: str | os.PathLike | None = None, threshold: float = 0.7) -> None:
        if path is None:
            path = download(self.URL, self.SHA256)
        try:
            self._net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), threshold)
        except cv2.error as error:
            raise WeightsError(f"{path} is not the YuNet model; download {self.URL}") from error

    def __call__(self, image: NDArray[np.uint8]) -> Faces:
        small, factor = _shrunk(image, 1280)
        self._net.setInputSize(small.shape[1::-1])
        _, found = self._net.detect(np.ascontiguousarray(small[:, :, ::-1]))
        found = np.empty((0, 15)) if found is None else found.astype(np.float64)
        corners = found[:, :4] + np.column_stack((np.zeros((len(found), 2)), found[:, :2]))
        return Faces(_inset(corners / factor, 0.0, 0.25, 0.0, 0.0), found[:, 14])


class FaceAlignmentDetector:
    """The detector of the ``face-alignment`` package, which the paper's pipeline uses.

    Install it with ``pip install emokit[align]``; it downloads its own weights.
    """

    def __init__(self, device: str = "cpu") -> None:
        try:
            import face_alignment
        except ImportError as error:
            raise ImportError("this detector needs: pip install 'emokit[align]'") from error
        kind = face_alignment.LandmarksType.TWO_D
        self._detect = face_alignment.FaceAlignment(kind, device=device).face_detector.detect_from_image

    def __call__(self, image: NDArray[np.uint8]) -> Faces:
        found = np.asarray(self._detect(np.ascontiguousarray(image[:, :, ::-1])), dtype=np.float64).reshape(-1, 5)
        return Faces(_inset(found[:, :4], 0.0, 0.25, 0.0, 0.0), found[:, 4])


class WholeImage:
    """For pictures that are face crops already: one face, which fills the picture."""

    def __init__(self, margin: float = 0.0) -> None:
        self.margin = margin

    def __call__(self, image: NDArray[np.uint8]) -> Faces:
        height, width = image.shape[:2]
        box = _inset(np.array([0, 0, width, height]), *[self.margin] * 4)
        return Faces(box, np.full(1, np.nan))
