"""What the browser is shown of one item: a small JPEG around the face, its landmarks and its labels."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emokit.data.crops import CROP_SIZE, crop_matrix
from emokit.data.images import ImageError, load_image
from emokit.data.tables import BOX

_QUALITY = 88


def face_shown(row: Mapping[str, Any], size: int, context: float = 1.5) -> tuple[dict[str, Any], bytes | None]:
    """One face as a message for the browser, and its JPEG.

    Parameters
    ----------
    row : mapping
        Row of a samples table.
    size : int
        Longer side of the JPEG, in pixels, at most; small pictures are not enlarged.
    context : float
        Side of what is shown, in sides of the crop that the network reads. Without a box, the
        whole picture is shown.

    Returns
    -------
    face : dict
        ``item``, ``expression``, ``valence`` and ``arousal`` (None where there is no label),
        ``width`` and ``height`` of the JPEG, ``landmarks`` (136 numbers in its pixels) and
        ``crop`` (x, y, side: what the network reads), None where there are none, and
        ``problem``: why there is no JPEG.
    jpeg : bytes or None
    """
    face: dict[str, Any] = {"item": str(row["id"]), "landmarks": None, "crop": None, "problem": None}
    face |= {name: _known(row.get(name)) for name in ("expression", "valence", "arousal")}
    path = _known(row.get("image"))
    if path is None:
        return face | {"problem": "The table names no picture for this face."}, None
    try:
        pixels = load_image(path)
    except ImageError as error:
        return face | {"problem": str(error)}, None
    window, crop = _window(row, pixels, context)
    x, y, right, bottom = window
    picture = Image.fromarray(pixels[y:bottom, x:right])
    picture.thumbnail((size, size))
    scale = picture.width / (right - x)
    face |= {"width": picture.width, "height": picture.height}
    if crop is not None:
        face["crop"] = [round(v * scale, 1) for v in (crop[0] - x, crop[1] - y, crop[2])]
    points = row.get("landmarks")
    if points is not None and np.size(points) == 136 and np.isfinite(points).all():
        # The centre of the first pixel is (0, 0) in the table, and (½, ½) on the screen.
        on_screen = (np.asarray(points, float).reshape(68, 2) + 0.5 - (x, y)) * scale
        face["landmarks"] = np.round(on_screen, 1).ravel().tolist()
    jpeg = io.BytesIO()
    picture.save(jpeg, "jpeg", quality=_QUALITY)
    return face, jpeg.getvalue()


def _window(row: Mapping[str, Any], pixels: NDArray, context: float) -> tuple[list[int], NDArray | None]:
    """Pixels shown (x0, y0, x1, y1), and the network's crop (x, y, side) where there is a box."""
    height, width = pixels.shape[:2]
    whole = [0, 0, width, height]
    try:
        matrix = crop_matrix([row.get(name, np.nan) for name in BOX])
    except (TypeError, ValueError):
        return whole, None
    side = CROP_SIZE / matrix[0, 0]
    corner = -matrix[:, 2] / matrix[0, 0]
    margin = side * (context - 1) / 2
    low = np.maximum(np.floor(corner - margin), 0).astype(int)
    high = np.minimum(np.ceil(corner + side + margin), (width, height)).astype(int)
    window = [*low.tolist(), *high.tolist()] if (high > low).all() else whole  # a box beside the picture
    return window, np.array([*corner + 0.5, side])


def _known(value: Any) -> Any:
    """None for every kind of empty cell, and plain Python numbers for JSON."""
    if value is None or value != value:
        return None
    return float(value) if isinstance(value, float | np.floating | int | np.integer) else str(value)
