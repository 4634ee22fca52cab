"""The semantic code of a picture: ResNet-18 with weights of the user's, or what stands in for it.

Facts, section 3.3. Images are seen whole, as 224x224 pixels.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.methods.known_weights import known_weights

Semantic = Literal["resnet18", "tiny", "null", "none"]
CODE = 512  # values
SIDE = 224
_COUNTER = "num_batches_tracked"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut. Names are torchvision's."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        if stride > 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        short = self.downsample(x) if hasattr(self, "downsample") else x
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + short)


class ResNet18(nn.Module):
    """(B, 3, 224, 224) -> (B, 512): ResNet-18 up to the pooling (He et al. 2016), always in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        for i, (before, after, stride) in enumerate([(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)], 1):
            setattr(self, f"layer{i}", nn.Sequential(BasicBlock(before, after, stride), BasicBlock(after, after, 1)))
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> ResNet18:
        """It stays in eval mode: a code must not depend on the rest of a batch."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for i in range(1, 5):
            x = getattr(self, f"layer{i}")(x)
        return x.mean(dim=(2, 3))


class TinyEncoder(nn.Module):
    """(B, 3, 224, 224) -> (B, 512): four convolutions of stride 2, pooling, a linear layer; trained with the rest."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128, 256)
        self.convs = nn.ModuleList(nn.Conv2d(before, after, 3, 2, 1) for before, after in pairwise(widths))
        self.last = nn.Linear(widths[-1], CODE)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = F.relu(conv(x))
        out: Tensor = self.last(x.mean(dim=(2, 3)))
        return out


class SemanticBranch(nn.Module):
    """A picture (B, 3, H, W) in [-1, 1] -> its semantic vector (B or 1, features). No gradient reaches the picture.

    kind: ``resnet18`` (the paper's), ``tiny`` (a small encoder), ``null`` (one learnt code for all pictures).
    """

    def __init__(self, kind: Semantic, features: int) -> None:
        super().__init__()
        if kind == "resnet18":
            self.encoder: nn.Module = ResNet18()
        elif kind == "tiny":
            self.encoder = TinyEncoder()
        else:
            self.code = nn.Parameter(torch.zeros(1, CODE).normal_(std=0.02))
        self.linear = nn.Linear(CODE, features)

    def forward(self, picture: Tensor) -> Tensor:
        code = self.encoder(seen(picture.detach())) if hasattr(self, "encoder") else self.code
        out: Tensor = self.linear(F.layer_norm(code, (CODE,)))
        return out


def seen(picture: Tensor) -> Tensor:
    """What an encoder sees of a picture (B, 3, H, W) in [-1, 1]: 224x224, normalised as for ImageNet."""
    unit = ((picture + 1) / 2).clamp(0, 1)
    small = F.interpolate(unit, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    mean, std = (small.new_tensor(values)[None, :, None, None] for values in (_MEAN, _STD))
    return (small - mean) / std


def load_resnet18(path: str | Path) -> dict[str, Tensor]:
    """The tensors of :class:`ResNet18` from a file in torchvision's layout, ``.pth`` or ``.safetensors``.

    ``fc.*`` and ``num_batches_tracked`` are not needed. Raises :class:`WeightsError` for any other difference.
    """
    with torch.device("meta"):
        wanted = ResNet18().state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in wanted.items() if not name.endswith(_COUNTER)}
    found = known_weights(path, shapes, "torchvision's ResNet-18", "resnet18-f37072fd.pth")
    return {name: found.get(name, torch.zeros((), dtype=torch.long)) for name in wanted}
