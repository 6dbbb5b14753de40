"""A network as it is only read from: the same outputs with less work.

Gains that leave outputs equal (to about 1e-6): batch norm folded into the convolution before it;
no second copy of what the next line overwrites; and, for wide networks in single precision on a
processor, 3×3 convolutions by Winograd's algorithm, which needs about a quarter of the
multiplications (PyTorch's NNPACK has it, oneDNN does not).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from emokit.models.fan import FAN, HierarchicalBlock, UpAdd
from emokit.models.resnet import BasicBlock, ResNet18

# Batch norms that come straight after a convolution; those of `HierarchicalBlock` come before one.
_PAIRS = {
    FAN: [("conv1", "bn1"), ("conv_last0", "bn_end0"), ("conv_last1", "bn_end1")],
    ResNet18: [("conv1", "bn1")],
    BasicBlock: [("conv1", "bn1"), ("conv2", "bn2")],
}
# Winograd's transforms cost more than they save on narrow layers and small maps.
_WIDE, _SMALLEST_MAP = 128, 32
# With more threads oneDNN has fewer idle ones.
_MOST_THREADS = 8


def lean(model: nn.Module) -> nn.Module:
    """A copy of ``model`` in eval mode for inference; its parameters take no gradient.

    Parameters
    ----------
    model : EmoFAN or ResNet18
        Other networks are copied as they are.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for module in model.modules():
        for pair in _pairs(module):
            _fold(module, *pair)
    for module in model.modules():
        module.__class__ = {HierarchicalBlock: _Block, UpAdd: _UpAdd}.get(type(module), type(module))
    return model


def winograd_pays(model: nn.Module) -> bool:
    """Whether ``model`` is wide enough, threads are few, and this PyTorch has NNPACK."""
    widest = max((m.in_channels for m in model.modules() if _keeps_size(m)), default=0)
    return widest >= _WIDE and torch.get_num_threads() <= _MOST_THREADS and torch.backends.nnpack.is_available()


def with_winograd(model: nn.Module) -> nn.Module:
    """A copy of ``model`` with Winograd's convolutions, for contiguous tensors; call it by way of `share`."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if _keeps_size(module):
            module.__class__ = _Winograd
        elif type(module) is nn.MaxPool2d and module.kernel_size == module.stride == 2:
            module.__class__ = _Halve
    return model


def _pairs(module: nn.Module) -> list[tuple[str, str]]:
    """Names of a convolution (or linear layer) of ``module`` and of the batch norm after it."""
    if isinstance(module, nn.Sequential):
        names = list(module._modules)
        return [
            (a, b)
            for a, b in zip(names, names[1:], strict=False)
            if isinstance(module[int(a)], nn.Conv2d | nn.Linear)
            and isinstance(module[int(b)], nn.BatchNorm1d | nn.BatchNorm2d)
        ]
    return next((pairs for kind, pairs in _PAIRS.items() if isinstance(module, kind)), [])


def _fold(module: nn.Module, first: str, norm: str) -> None:
    layer, batch_norm = getattr(module, first), getattr(module, norm)
    fuse = fuse_linear_bn_eval if isinstance(layer, nn.Linear) else fuse_conv_bn_eval
    setattr(module, first, fuse(layer, batch_norm).requires_grad_(False))
    setattr(module, norm, nn.Identity())


def _keeps_size(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and (module.kernel_size, module.padding) == ((3, 3), (1, 1))
        and (module.stride, module.dilation, module.groups) == ((1, 1), (1, 1), 1)
    )


class _Block(HierarchicalBlock):
    def forward(self, x: Tensor) -> Tensor:
        a = self.conv1(F.relu_(self.bn1(x)))
        b = self.conv2(F.relu_(self.bn2(a)))
        c = self.conv3(F.relu_(self.bn3(b)))
        skip = x if self.downsample is None else self.downsample(x)
        return torch.cat((a, b, c), dim=1).add_(skip)


class _UpAdd(UpAdd):
    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        skip.view(n, c, h, 2, w, 2).add_(x.view(n, c, h, 1, w, 1))
        return skip


class _Halve(nn.MaxPool2d):
    """Maximum of 2×2 cells: PyTorch's own pooling of contiguous maps is not vectorised."""

    def forward(self, x: Tensor) -> Tensor:
        rows = torch.maximum(x[:, :, ::2], x[:, :, 1::2])
        return torch.maximum(rows[..., ::2], rows[..., 1::2])


class _Winograd(nn.Conv2d):
    """A 3×3 convolution by Winograd's algorithm."""

    def forward(self, x: Tensor) -> Tensor:
        # Asking makes NNPACK ready, which each process must do once.
        ready = x.is_cpu and x.dtype == torch.float32 and torch._nnpack_available()
        if not ready or x.shape[2] < _SMALLEST_MAP:
            return super().forward(x)
        # One face at a time: NNPACK chooses a slower algorithm for batches.
        faces = [torch._nnpack_spatial_convolution(face, self.weight, self.bias, self.padding) for face in x.split(1)]
        return faces[0] if len(faces) == 1 else torch.cat(faces)
