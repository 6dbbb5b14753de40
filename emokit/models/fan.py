"""The face-alignment network (FAN) of Bulat and Tzimiropoulos, as EmoFAN uses it.

Module names are those of the public checkpoint, so its weights load as they are.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

N_LANDMARKS = 68


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)


class HierarchicalBlock(nn.Module):
    """Residual block whose three 3×3 convolutions are concatenated (pre-activation batch norm).

    Half of the output channels come from the first convolution, a quarter each from the
    second and third, so one block sees three receptive fields.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half, quarter = out_channels // 2, out_channels // 4
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv3x3(in_channels, half)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv2 = conv3x3(half, quarter)
        self.bn3 = nn.BatchNorm2d(quarter)
        self.conv3 = conv3x3(quarter, quarter)
        self.downsample = None
        if in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.BatchNorm2d(in_channels),
                nn.ReLU(),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
            )

    def forward(self, x: Tensor) -> Tensor:
        a = self.conv1(F.relu(self.bn1(x)))
        b = self.conv2(F.relu(self.bn2(a)))
        c = self.conv3(F.relu(self.bn3(b)))
        skip = x if self.downsample is None else self.downsample(x)
        return torch.cat((a, b, c), dim=1) + skip


class UpAdd(nn.Module):
    """The skip branch plus the other one at twice its resolution."""

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        return skip + F.interpolate(x, scale_factor=2, mode="nearest")


class Hourglass(nn.Module):
    """Recursive hourglass: at each level a skip branch and a branch at half the resolution."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        for level in range(depth, 0, -1):
            self.add_module(f"b1_{level}", HierarchicalBlock(width, width))
            self.add_module(f"b2_{level}", HierarchicalBlock(width, width))
        self.add_module("b2_plus_1", HierarchicalBlock(width, width))
        for level in range(1, depth + 1):
            self.add_module(f"b3_{level}", HierarchicalBlock(width, width))
        self.pool, self.up_add = nn.MaxPool2d(2), UpAdd()

    def _level(self, level: int, x: Tensor) -> Tensor:
        block = self.get_submodule
        skip = block(f"b1_{level}")(x)
        x = block(f"b2_{level}")(self.pool(x))
        x = self._level(level - 1, x) if level > 1 else block("b2_plus_1")(x)
        return self.up_add(skip, block(f"b3_{level}")(x))

    def forward(self, x: Tensor) -> Tensor:
        return self._level(self.depth, x)


class FANFeatures(NamedTuple):
    """What FAN knows of a batch, all at a quarter of the input size.

    ``stem`` (N, width, H/4, W/4); ``hourglass`` two tensors of that shape; ``heatmaps`` two
    tensors (N, 68, H/4, W/4), the second one being FAN's answer.
    """

    stem: Tensor
    hourglass: tuple[Tensor, Tensor]
    heatmaps: tuple[Tensor, Tensor]


class FAN(nn.Module):
    """Two stacked hourglasses that turn a face crop into 68 landmark heatmaps.

    Parameters
    ----------
    width : int
        Channels of the hourglasses; a multiple of 16 (256 in the paper).
    depth : int
        Halvings inside an hourglass (4 in the paper). The input size must be a multiple
        of ``4 * 2**depth``.
    """

    def __init__(self, width: int = 256, depth: int = 4) -> None:
        super().__init__()
        if width % 16 or width < 16:
            raise ValueError(f"width must be a positive multiple of 16, got {width}")
        self.width, self.depth = width, depth
        self.conv1 = nn.Conv2d(3, width // 4, 7, stride=2, padding=3)
        self.bn1 = nn.BatchNorm2d(width // 4)
        self.conv2 = HierarchicalBlock(width // 4, width // 2)
        self.pool = nn.MaxPool2d(2)
        self.conv3 = HierarchicalBlock(width // 2, width // 2)
        self.conv4 = HierarchicalBlock(width // 2, width)
        for i in range(2):
            self.add_module(f"m{i}", Hourglass(width, depth))
            self.add_module(f"top_m_{i}", HierarchicalBlock(width, width))
            self.add_module(f"conv_last{i}", nn.Conv2d(width, width, 1))
            self.add_module(f"bn_end{i}", nn.BatchNorm2d(width))
            self.add_module(f"l{i}", nn.Conv2d(width, N_LANDMARKS, 1))
            if i == 0:
                self.add_module("bl0", nn.Conv2d(width, width, 1))
                self.add_module("al0", nn.Conv2d(N_LANDMARKS, width, 1))

    def features(self, images: Tensor) -> FANFeatures:
        """Stem, hourglass features and heatmaps of ``images`` (N, 3, H, W), RGB in [0, 1]."""
        step = 4 * 2**self.depth
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % step or images.shape[3] % step:
            raise ValueError(
                f"images must be (N, 3, H, W) with H and W multiples of {step}, got "
                f"{tuple(images.shape)}; crop faces with emokit.data.crops first"
            )
        x = F.relu(self.bn1(self.conv1(images)))
        x = self.pool(self.conv2(x))
        stem = self.conv4(self.conv3(x))

        f0 = F.relu(self.bn_end0(self.conv_last0(self.top_m_0(self.m0(stem)))))
        h0 = self.l0(f0)
        f0 = self.bl0(f0)
        f1 = self.top_m_1(self.m1(stem + f0 + self.al0(h0)))
        f1 = F.relu(self.bn_end1(self.conv_last1(f1)))
        return FANFeatures(stem, (f0, f1), (h0, self.l1(f1)))

    def forward(self, images: Tensor) -> Tensor:
        """Heatmaps (N, 68, H/4, W/4) of ``images`` (N, 3, H, W), RGB in [0, 1]."""
        return self.features(images).heatmaps[1]


def landmarks_from_heatmaps(heatmaps: Tensor, stride: int = 4) -> tuple[Tensor, Tensor]:
    """Sub-pixel landmarks, and their confidence, from heatmaps.

    The peak is refined by the parabola through the logarithm of its neighbours along each
    axis, which is exact for a Gaussian peak.

    Parameters
    ----------
    heatmaps : Tensor, shape (N, K, h, w)
    stride : int
        Input pixels per heatmap cell.

    Returns
    -------
    landmarks : Tensor, shape (N, K, 2)
        (x, y) in pixels of the network's input; the centre of the top-left pixel is (0, 0).
    confidence : Tensor, shape (N, K)
        Height of the peak, clipped to [0, 1].
    """
    n, k, h, w = heatmaps.shape
    flat = heatmaps.flatten(2)
    peak, index = flat.max(dim=2)
    cells = torch.stack((index % w, index // w), dim=2)
    offsets = []
    for axis, (size, step) in enumerate(((w, 1), (h, w))):
        position = cells[..., axis]
        inside = (position > 0) & (position < size - 1)
        floor = (peak * 1e-3).clamp(min=1e-6)
        before, after = (flat.gather(2, (index + d * inside * step).unsqueeze(2)).squeeze(2) for d in (-1, 1))
        before, centre, after = (torch.log(torch.maximum(v, floor)) for v in (before, peak, after))
        curvature = 2 * centre - before - after
        offset = torch.where(curvature > 1e-6, 0.5 * (after - before) / curvature.clamp(min=1e-6), 0.0)
        offsets.append(torch.where(inside, offset.clamp(-0.5, 0.5), 0.0))
    landmarks = (cells + torch.stack(offsets, dim=2) + 0.5) * stride - 0.5
    return landmarks, peak.clamp(0, 1)
