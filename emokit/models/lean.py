"""A network as it is only read from: the same outputs with less work.

Gains that leave outputs equal (to about 1e-6): batch norm folded into the convolution before it;
no second copy of what the next line overwrites; and, for wide networks in single precision on a
processor, 3×3 convolutions by Winograd's algorithm, which needs about a quarter of the
multiplications (PyTorch's NNPACK has it, oneDNN does not).
"""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from emokit.models.cores import bands, side_by_side
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
    widest = max((m.in_channels for m in model.modules() if _keeps_size(m, 3)), default=0)
    return widest >= _WIDE and torch.get_num_threads() <= _MOST_THREADS and torch.backends.nnpack.is_available()


def with_winograd(model: nn.Module) -> nn.Module:
    """``model`` itself, with Winograd's convolutions, for contiguous tensors; call it by way of `share`."""
    for module in model.modules():
        if _keeps_size(module, 3) or _keeps_size(module, 1):
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


def _keeps_size(module: nn.Module, kernel: int) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (kernel, kernel)
        and module.padding == (kernel // 2, kernel // 2)
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
    """A 3×3 convolution by Winograd's algorithm, or a 1×1 one; large maps in bands of rows, as `share` says."""

    def forward(self, x: Tensor) -> Tensor:
        n, height = bands(), x.shape[2]
        if height < _SMALLEST_MAP or not self._quick(x) and n == 1:
            return super().forward(x)
        rows = [(k * height // n, (k + 1) * height // n) for k in range(n)]
        # One face at a time: NNPACK chooses a slower algorithm for batches.
        faces = [_cat(side_by_side(partial(self._band, face), rows), dim=2) for face in x.split(1)]
        return _cat(faces, dim=0)

    def _band(self, face: Tensor, rows: tuple[int, int]) -> Tensor:
        """The answer for some rows, from these and those beside them that the kernel reaches."""
        (first, last), reach = rows, self.padding[0]
        above, below = min(reach, first), min(reach, face.shape[2] - last)
        band = face[:, :, first - above : last + below]
        if self._quick(band):
            found = torch._nnpack_spatial_convolution(band, self.weight, self.bias, self.padding)
        else:
            found = super().forward(band)
        return found[:, :, above : above + last - first]

    def _quick(self, x: Tensor) -> bool:
        # Asking makes NNPACK ready, which each process must do once.
        ready = x.is_cpu and x.dtype == torch.float32 and torch._nnpack_available()
        return ready and self.kernel_size == (3, 3)


def _cat(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)
