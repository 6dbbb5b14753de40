"""What the network computes on the way to its answer: for pictures and explanations."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from emokit.data.crops import crop_face
from emokit.data.images import Picture, load_image
from emokit.models.emofan import EmoFAN, attention_map


class FaceMaps(NamedTuple):
    """Of one face, with S the network's input size: ``crop`` (S, S, 3) uint8, the network's
    input; ``heatmaps`` (68, S/4, S/4), one per landmark; ``attention`` (S/4, S/4), their sum,
    with which the affect head weighs its features."""

    crop: NDArray[np.uint8]
    heatmaps: NDArray[np.float32]
    attention: NDArray[np.float32]


@torch.inference_mode()
def face_maps(image: Picture, box: ArrayLike, model: EmoFAN) -> FaceMaps:
    """Heatmaps and attention of one face.

    Parameters
    ----------
    image : path, array or PIL image
    box : array-like, shape (4,)
        Tight x0, y0, x1, y1 in pixels of ``image``.
    model : EmoFAN

    Raises
    ------
    ImageError
        The picture cannot be read.
    ValueError
        The box is none.
    """
    crop = crop_face(load_image(image), box, model.input_size)
    pixels = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255
    heatmaps = model.features(pixels.to(next(model.parameters()).device)).heatmaps[-1].cpu()
    return FaceMaps(crop, heatmaps[0].numpy(), attention_map(heatmaps)[0, 0].numpy())
