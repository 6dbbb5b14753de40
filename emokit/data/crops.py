"""The crop that EmoFAN was trained on: the part users of the public weights get wrong.

From a tight box around the 68 landmarks: centre = its middle, scale = (width + height) / 220,
and the square of 200 · scale pixels around the centre becomes the network's input. Pixel
coordinates are OpenCV's: the centre of the top-left pixel is (0, 0).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

CROP_SIZE = 256


def tight_box(landmarks: ArrayLike) -> NDArray[np.float64]:
    """Smallest box (x0, y0, x1, y1) around ``landmarks`` (..., 68, 2), in pixels."""
    landmarks = np.asarray(landmarks, dtype=np.float64)
    return np.concatenate((landmarks.min(axis=-2), landmarks.max(axis=-2)), axis=-1)


def crop_matrix(box: ArrayLike, size: int = CROP_SIZE) -> NDArray[np.float64]:
    """Affine matrix (2, 3) that takes pixels of the photograph to pixels of the crop.

    Parameters
    ----------
    box : array-like, shape (4,)
        Tight box around the landmarks: x0, y0, x1, y1 in pixels.
    size : int
        Side of the crop in pixels.

    Raises
    ------
    ValueError
        The box is not four finite numbers with x0 < x1 and y0 < y1.
    """
    box = np.asarray(box, dtype=np.float64)
    if box.shape != (4,) or not np.isfinite(box).all() or box[2] <= box[0] or box[3] <= box[1]:
        raise ValueError(f"a box is x0, y0, x1, y1 with x0 < x1 and y0 < y1, got {box.tolist()}")
    x0, y0, x1, y1 = box
    side = 200 * (x1 - x0 + y1 - y0) / 220
    zoom = size / side
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    return np.column_stack((np.eye(2) * zoom, size / 2 - zoom * centre))


def crop_face(image: NDArray[np.uint8], box: ArrayLike, size: int = CROP_SIZE) -> NDArray[np.uint8]:
    """Crop of ``image`` (H, W, 3) around ``box``, (size, size, 3): bilinear, zeros outside."""
    return cv2.warpAffine(image, crop_matrix(box, size), (size, size), flags=cv2.INTER_LINEAR)


def to_photograph(points: ArrayLike, box: ArrayLike, size: int = CROP_SIZE) -> NDArray[np.float64]:
    """Map ``points`` (..., 2) from the crop around ``box`` back to the photograph, in pixels."""
    matrix = crop_matrix(box, size)
    return (np.asarray(points, dtype=np.float64) - matrix[:, 2]) / matrix[0, 0]
