"""Any picture a user may have, as RGB uint8."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from emokit.whole import whole

Picture = str | os.PathLike | IO[bytes] | NDArray | Image.Image


class ImageError(ValueError):
    """A picture that cannot be used; the message names it and says why."""


def load_image(picture: Picture) -> NDArray[np.uint8]:
    """``picture`` as an RGB array (H, W, 3), uint8, upright.

    Paths, open files and PIL images are turned as their EXIF orientation says; transparency is
    laid on white; 16-bit pictures are scaled to 8 bits; grey ones get three equal channels.
    Arrays are (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): uint8, uint16, bool, or floats in
    [0, 1].

    Raises
    ------
    ImageError
        The file is missing, corrupt, too large to open safely or no picture, or the array has
        another shape, type or range.
    """
    if isinstance(picture, Image.Image):
        with _named_errors("the PIL image"):
            return _from_pil(picture, "the PIL image")
    if hasattr(picture, "read") or is_path(picture):
        name = getattr(picture, "name", "the file") if hasattr(picture, "read") else str(picture)
        with _named_errors(name), Image.open(picture) as image:
            return _from_pil(image, name)
    return _from_array(np.asarray(picture))


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Pillow's many errors as one kind that names the picture and the mend."""
    try:
        yield
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{name} does not exist") from error
    except IsADirectoryError as error:
        raise ImageError(f"{name} is a folder; give its pictures as a list of paths") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is not a picture that Pillow can read") from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{name} is too large to open safely ({error}); shrink it, or raise "
            "PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{name} is damaged and cannot be read ({error}); replace it") from error


def _from_pil(image: Image.Image, name: str) -> NDArray[np.uint8]:
    if not image.width or not image.height:
        raise ImageError(f"{name} is empty ({image.width}×{image.height})")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _from_wide(np.asarray(image), name)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def file_size(image: object) -> int:
    """Bytes of a picture's file; -1 where there is none, which whoever opens it will say better."""
    try:
        return os.stat(image).st_size if is_path(image) and image else -1
    except OSError:
        return -1


def is_path(image: object) -> bool:
    """Whether a picture is given by the path of its file."""
    return isinstance(image, str | os.PathLike)


def write_picture(picture: NDArray[np.uint8], path: Path, quality: int = 92) -> None:
    """Write an RGB ``picture`` so that another process finds a whole file or none; ``quality`` is of JPEG files.

    Raises
    ------
    OSError
        The folder cannot be written to.
    """
    with whole(path) as beside:
        options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
        if not cv2.imwrite(str(beside), picture[:, :, ::-1], options):
            raise OSError(f"{path} cannot be written; check that its folder exists, is yours and has room")


def _from_wide(values: NDArray, name: str) -> NDArray[np.uint8]:
    """A grey picture of more than 8 bits."""
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 65535:
        raise ImageError(f"{name} has values outside 0–65535; scale it to 16 or 8 bits")
    grey = np.round(values / (257 if values.max() > 255 else 1)).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _from_array(array: NDArray) -> NDArray[np.uint8]:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise ImageError(f"an image array is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {array.shape}")
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16:
        array = np.round(array / 257).astype(np.uint8)
    elif np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):
            raise ImageError("a float image has values in [0, 1]; divide it by 255 or cast it to uint8")
        array = np.round(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ImageError(f"an image array is uint8, uint16, bool or float, got {array.dtype}")
    if array.shape[2] == 4:
        alpha = array[:, :, 3:] / 255
        array = np.round(array[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))
