"""EmoFAN: landmarks, discrete expression, valence and arousal in one pass (paper, Fig. 3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from emokit.models.fan import FAN, N_LANDMARKS, FANFeatures, HierarchicalBlock

EXPRESSIONS = {
    8: ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"),
    # The public README of the 5-class model lists class 4 as fear; its data code maps anger to 4.
    5: ("neutral", "happy", "sad", "surprise", "anger"),
}


class AffectOutput(NamedTuple):
    """What a network says of a batch of N faces.

    ``heatmaps`` (N, 68, H/4, W/4), or None for a network without landmarks; ``expression``
    (N, classes) logits; ``valence`` and ``arousal`` (N,), unbounded as they leave the
    network: clip them to [-1, 1] to report them.
    """

    heatmaps: Tensor | None
    expression: Tensor
    valence: Tensor
    arousal: Tensor


def split_affect(scores: Tensor, heatmaps: Tensor | None = None) -> AffectOutput:
    """Read an affect head's (N, classes + 2) scores: logits, then valence, then arousal."""
    return AffectOutput(heatmaps, scores[:, :-2], scores[:, -2], scores[:, -1])


class EmoFAN(FAN):
    """FAN with the paper's affect head on its features.

    Parameters
    ----------
    n_expressions : {8, 5}
        Discrete classes, in the order of ``EXPRESSIONS``.
    attention : bool
        Multiply the hourglass features with the sum of the 68 heatmaps (the paper's
        attention); otherwise the heatmaps are concatenated to the features.
    width, depth : int
        See `FAN`; 256 and 4 in the paper.
    input_size : int
        Side of the crops that the network is meant for, in pixels (256 in the paper).
    """

    def __init__(
        self,
        n_expressions: int = 8,
        attention: bool = True,
        width: int = 256,
        depth: int = 4,
        input_size: int = 256,
    ) -> None:
        super().__init__(width, depth)
        if n_expressions not in EXPRESSIONS:
            raise ValueError(f"n_expressions must be 5 or 8, got {n_expressions}")
        if input_size % (4 * 2**depth) or input_size < 64:
            raise ValueError(f"input_size must be at least 64 and a multiple of {4 * 2**depth}, got {input_size}")
        self.n_expressions, self.attention, self.input_size = n_expressions, attention, input_size
        in_channels = 3 * width + (0 if attention else N_LANDMARKS)
        self.conv1x1_input_emo_2 = nn.Conv2d(in_channels, width, 1)
        blocks: list[nn.Module] = []
        for _ in range(4):
            blocks += [HierarchicalBlock(width, width), nn.MaxPool2d(2)]
        self.emo_net_2 = nn.Sequential(*blocks)
        # The paper's 4×4 average pool, at any input size.
        self.avg_pool_2 = nn.AdaptiveAvgPool2d(1)
        self.emo_fc_2 = nn.Sequential(
            nn.Linear(width, width // 2),
            nn.BatchNorm1d(width // 2),
            nn.ReLU(),
            nn.Linear(width // 2, n_expressions + 2),
        )

    @property
    def expressions(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return EXPRESSIONS[self.n_expressions]

    @property
    def config(self) -> dict:
        """Arguments that make this network again."""
        names = ("n_expressions", "attention", "width", "depth", "input_size")
        return {name: getattr(self, name) for name in names}

    def affect(self, features: FANFeatures) -> AffectOutput:
        """The affect head alone, on features that FAN has computed."""
        stem, hourglass, (_, heatmaps) = features
        x = torch.cat(hourglass, dim=1)
        if self.attention:
            x = torch.cat((stem, x * attention_map(heatmaps)), dim=1)
        else:
            x = torch.cat((stem, x, heatmaps), dim=1)
        x = self.emo_net_2(self.conv1x1_input_emo_2(x))
        return split_affect(self.emo_fc_2(self.avg_pool_2(x).flatten(1)), heatmaps)

    def forward(self, images: Tensor) -> AffectOutput:
        """Everything the network says of ``images`` (N, 3, H, W), RGB in [0, 1]."""
        return self.affect(self.features(images))

    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters of the affect head: what stage 2 trains while FAN is frozen."""
        return [p for n, p in self.named_parameters() if "emo_" in n]


def attention_map(heatmaps: Tensor) -> Tensor:
    """Sum of the heatmaps, (N, 1, h, w): where the affect head looks."""
    return heatmaps.sum(dim=1, keepdim=True)
