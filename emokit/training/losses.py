"""Losses of the paper, each a plain function; equation numbers are the paper's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_EPSILON = 1e-8  # keeps gradients finite when a batch is constant


def concordance(prediction: Tensor, target: Tensor) -> Tensor:
    """Concordance correlation coefficient of two (N,) batches (equation 4)."""
    p, t = prediction - prediction.mean(), target - target.mean()
    shift = (prediction.mean() - target.mean()) ** 2
    return 2 * (p * t).mean() / (p.square().mean() + t.square().mean() + shift + _EPSILON)


def ccc_loss(valence: Tensor, arousal: Tensor, true_valence: Tensor, true_arousal: Tensor) -> Tensor:
    """One minus the mean CCC of valence and arousal (equation 6)."""
    return 1 - (concordance(valence, true_valence) + concordance(arousal, true_arousal)) / 2


def mse_loss(valence: Tensor, arousal: Tensor, true_valence: Tensor, true_arousal: Tensor) -> Tensor:
    """Sum of the mean squared errors of valence and arousal (equation 9)."""
    return F.mse_loss(valence, true_valence) + F.mse_loss(arousal, true_arousal)


def heatmap_loss(heatmaps: Tensor, landmarks: Tensor, stride: int = 4, sigma: float = 1.0) -> Tensor:
    """Mean squared error to a Gaussian at each landmark, times the cells of one heatmap.

    Parameters
    ----------
    heatmaps : Tensor, shape (N, 68, h, w)
    landmarks : Tensor, shape (N, 68, 2)
        (x, y) in pixels of the network's input.
    stride : int
        Input pixels per heatmap cell.
    sigma : float
        Standard deviation of the Gaussians, in cells.
    """
    h, w = heatmaps.shape[2:]
    cells = (landmarks + 0.5) / stride - 0.5
    x, y = (
        torch.exp(-((torch.arange(n, device=cells.device) - cells[..., axis : axis + 1]) ** 2) / (2 * sigma**2))
        for axis, n in ((0, w), (1, h))
    )
    target = y.unsqueeze(3) * x.unsqueeze(2)
    return F.mse_loss(heatmaps, target) * h * w
