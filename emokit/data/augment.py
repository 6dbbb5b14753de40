"""Augmentation of whole batches, on their device, with their landmarks.

Rotation, scale, translation and flip, as the paper's baseline is trained with. Pixel
coordinates are OpenCV's and kornia's: the centre of the top-left pixel is (0, 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from kornia.geometry.transform import warp_affine
from torch import Tensor

# Left and right swap in a mirror: index of each of the 68 landmarks' mirror image.
MIRROR = torch.tensor(
    [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46,
     39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65]
)  # fmt: skip


@dataclass(frozen=True)
class Augment:
    """Random similarity transforms of batches.

    Parameters
    ----------
    rotation : float
        Greatest angle, in degrees.
    scale : float
        Greatest relative change of size: 0.1 gives factors from 0.9 to 1.1.
    translation : float
        Greatest shift along each axis, as a share of the side.
    flip : float
        Probability of a mirror image.
    gain : float
        Greatest relative change of brightness.
    tint : float
        Greatest further change of each colour.
    """

    rotation: float = 10.0
    scale: float = 0.1
    translation: float = 0.05
    flip: float = 0.5
    gain: float = 0.15
    tint: float = 0.0

    def __call__(
        self, images: Tensor, landmarks: Tensor, size: int, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Augmented copies.

        Parameters
        ----------
        images : Tensor, shape (N, 3, S, S)
            RGB in [0, 1].
        landmarks : Tensor, shape (N, 68, 2)
            In pixels of ``images``.
        size : int
            Side of the result, whose middle is the middle of ``images``; S or less.
        generator : torch.Generator, optional
            On the CPU, whatever the device of ``images``, so that devices agree.

        Returns
        -------
        images : Tensor, shape (N, 3, size, size)
        landmarks : Tensor, shape (N, 68, 2)
            In pixels of the new images, in the order of the 68-point scheme.
        """
        n = len(images)

        def uniform(reach: float) -> Tensor:
            return (torch.rand(n, generator=generator) * 2 - 1) * reach

        angle, zoom = torch.deg2rad(uniform(self.rotation)), 1 + uniform(self.scale)
        shift = torch.stack((uniform(self.translation), uniform(self.translation)), dim=1) * size
        mirrored = torch.rand(n, generator=generator) < self.flip
        gain = 1 + uniform(self.gain)
        colours = gain[:, None] * (1 + torch.stack([uniform(self.tint) for _ in range(images.shape[1])], dim=1))
        matrix = similarity(images.shape[-1], size, angle, zoom, shift, mirrored).to(images)
        images = warp_affine(images, matrix, (size, size), padding_mode="zeros", align_corners=True)
        images = (images * colours.to(images)[:, :, None, None]).clamp(0, 1)
        return images, move(landmarks, matrix, mirrored.to(images.device))


def similarity(side: int, size: int, angle: Tensor, zoom: Tensor, shift: Tensor, mirrored: Tensor) -> Tensor:
    """Matrices (N, 2, 3) from pixels of a side × side picture to pixels of a size × size one.

    They turn by ``angle`` (N,) radians and zoom around the middle, mirror where ``mirrored``
    (N,), and shift by ``shift`` (N, 2) pixels.
    """
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    sign = 1 - 2 * mirrored.to(cos)
    linear = torch.stack((torch.stack((cos * sign, -sin), 1), torch.stack((sin * sign, cos), 1)), 1)
    middle_in, middle_out = (torch.full((2, 1), (s - 1) / 2, dtype=cos.dtype) for s in (side, size))
    offset = middle_out + shift.unsqueeze(2) - linear @ middle_in
    return torch.cat((linear, offset), dim=2)


def move(landmarks: Tensor, matrix: Tensor, mirrored: Tensor) -> Tensor:
    """Landmarks (N, 68, 2) under ``matrix`` (N, 2, 3), renamed left for right where ``mirrored`` (N,)."""
    moved = landmarks @ matrix[:, :, :2].mT + matrix[:, :, 2].unsqueeze(1)
    return torch.where(mirrored[:, None, None], moved[:, MIRROR.to(moved.device)], moved)
