"""ResNet-18, the paper's baseline, with the state-dict names under which ImageNet weights go."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from emokit.models.emofan import EXPRESSIONS, AffectOutput, split_affect


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut, projected where the shape changes."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """ResNet-18 whose last layer gives expression logits, valence and arousal.

    To start from ImageNet weights, drop ``fc.weight`` and ``fc.bias`` from their state dict
    and load the rest with ``strict=False``.

    Parameters
    ----------
    n_expressions : {8, 5}
        Discrete classes, in the order of ``EXPRESSIONS``.
    width : int
        Channels of the first stage (64 in the original).
    input_size : int
        Side of the crops that the network is meant for, in pixels (256 in the paper).
    """

    def __init__(self, n_expressions: int = 8, width: int = 64, input_size: int = 256) -> None:
        super().__init__()
        if n_expressions not in EXPRESSIONS:
            raise ValueError(f"n_expressions must be 5 or 8, got {n_expressions}")
        self.n_expressions, self.width, self.input_size = n_expressions, width, input_size
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        for stage in range(4):
            out, stride = width * 2**stage, 1 if stage == 0 else 2
            blocks = nn.Sequential(BasicBlock(channels, out, stride), BasicBlock(out, out, 1))
            self.add_module(f"layer{stage + 1}", blocks)
            channels = out
        self.fc = nn.Linear(channels, n_expressions + 2)

    @property
    def expressions(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return EXPRESSIONS[self.n_expressions]

    @property
    def config(self) -> dict:
        """Arguments that make this network again."""
        return {name: getattr(self, name) for name in ("n_expressions", "width", "input_size")}

    def forward(self, images: Tensor) -> AffectOutput:
        """Affect of ``images`` (N, 3, H, W), RGB in [0, 1]; ``heatmaps`` is None."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, stride=2, padding=1)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return split_affect(self.fc(x.mean(dim=(2, 3))))
