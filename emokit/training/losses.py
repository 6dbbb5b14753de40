"""Losses of the paper, each a plain function; equation numbers are the paper's.

Those built on correlations are statistics of a batch: under data-parallel training, gather
the batch first (`emokit.training.module` does). Gradients stay finite when a batch is
constant or holds a single face.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_EPSILON = 1e-8  # keeps ratios and their gradients finite when a batch is constant

# Equation 8 names them α, β and γ.
REGRESSION_LOSSES = ("mse", "pcc", "ccc")


def _moments(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Variances of both, and their covariance."""
    p, t = prediction - prediction.mean(), target - target.mean()
    return p.square().mean(), t.square().mean(), (p * t).mean()


def correlation(prediction: Tensor, target: Tensor) -> Tensor:
    """Pearson correlation coefficient of two (N,) batches (equation 3); 0 where one is constant."""
    p, t, both = _moments(prediction, target)
    return both / ((p + _EPSILON) * (t + _EPSILON)).sqrt()


def concordance(prediction: Tensor, target: Tensor) -> Tensor:
    """Concordance correlation coefficient of two (N,) batches (equation 4)."""
    p, t, both = _moments(prediction, target)
    return 2 * both / (p + t + (prediction.mean() - target.mean()) ** 2 + _EPSILON)


def ccc_loss(valence: Tensor, arousal: Tensor, true_valence: Tensor, true_arousal: Tensor) -> Tensor:
    """One minus the mean CCC of valence and arousal (equation 6)."""
    return 1 - (concordance(valence, true_valence) + concordance(arousal, true_arousal)) / 2


def pcc_loss(valence: Tensor, arousal: Tensor, true_valence: Tensor, true_arousal: Tensor) -> Tensor:
    """One minus the mean PCC of valence and arousal (equation 10)."""
    return 1 - (correlation(valence, true_valence) + correlation(arousal, true_arousal)) / 2


def mse_loss(valence: Tensor, arousal: Tensor, true_valence: Tensor, true_arousal: Tensor) -> Tensor:
    """Sum of the mean squared errors of valence and arousal (equation 9)."""
    return F.mse_loss(valence, true_valence) + F.mse_loss(arousal, true_arousal)


def category_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross entropy of expression ``logits`` (N, C) and ``classes`` (N,) (equation 5).

    Faces of class -1 have no expression label and are left out; without any label the loss is 0.
    """
    known = classes >= 0
    return F.cross_entropy(logits, classes.clamp(min=0), reduction="none").mul(known).sum() / known.sum().clamp(min=1)


def distillation_loss(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean KL divergence of the student's expressions from the teacher's (equation 7)."""
    student, teacher = (x.log_softmax(dim=1) for x in (logits, teacher_logits))
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def shake_weights(generator: torch.Generator | None = None) -> dict[str, float]:
    """Weights of MSE, PCC and CCC for one step (equation 8): uniform in [0, 1], then made to sum to 1."""
    drawn = torch.rand(3, generator=generator, dtype=torch.float64) + _EPSILON
    return dict(zip(REGRESSION_LOSSES, (drawn / drawn.sum()).tolist(), strict=True))


def regression_loss(
    valence: Tensor, arousal: Tensor, true_valence: Tensor, true_arousal: Tensor, weights: dict[str, float]
) -> Tensor:
    """Weighted sum of the regression losses named in ``weights`` (equation 8)."""
    losses = {"mse": mse_loss, "pcc": pcc_loss, "ccc": ccc_loss}
    return sum(weight * losses[name](valence, arousal, true_valence, true_arousal) for name, weight in weights.items())


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
