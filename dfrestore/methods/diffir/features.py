"""Networks whose features perceptual losses compare: VGG-19, and the dilated ResNet-50 of ADE20K segmentation.

Pictures are (B, 3, H, W) in [0, 1]. The weights are constants: buffers that no state dict holds, so nothing trains,
averages or saves them, and gradients reach the pictures alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures
NORM_EPS = 1e-5
# Of VGG-19: which layers of torchvision's ``features`` are convolutions, by stage, and the stages' widths.
VGG_STAGES = ((0, 2), (5, 7), (10, 12, 14, 16), (19, 21, 23, 25), (28, 30, 32, 34))
VGG_WIDTHS = (64, 128, 256, 512, 512)
VGG_LEAST = 16  # pixels a side: it is halved four times
RESNET_BLOCKS = (3, 4, 6, 3)
RESNET_DILATIONS = (1, 1, 2, 4)


class _Convolution(nn.Module):
    """A convolution with constant weights; it keeps the size but for its stride."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach(), persistent=False)
        self.register_buffer("bias", bias.detach(), persistent=False)
        self.stride, self.dilation, self.padding = stride, dilation, dilation * (weight.shape[-1] // 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation)


class _Normalised(nn.Module):
    """What both have in common: pictures are shifted and scaled as ImageNet's are."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)

    def normalised(self, pictures: Tensor) -> Tensor:
        return (pictures - self.mean) / self.deviation


class VGG19(_Normalised):
    """pictures, at least 16 x 16 -> what conv1_2, conv2_2, conv3_4, conv4_4 and conv5_4 compute, before ReLU.

    weights: by the names of torchvision's ``features``, of the shapes of :func:`vgg19_shapes`.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.ModuleList(_Convolution(weights[f"{n}.weight"], weights[f"{n}.bias"]) for n in stage)
            for stage in VGG_STAGES
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Raises ValueError for smaller pictures."""
        if min(pictures.shape[-2:]) < VGG_LEAST:
            raise ValueError(f"VGG-19 needs sides of at least {VGG_LEAST} pixels, not {list(pictures.shape)}")
        x, features = self.normalised(pictures), list[Tensor]()
        for stage in self.stages:
            if features:
                x = F.max_pool2d(x, 2).relu_()  # ReLU before or after: the same, and four times less to keep
            first, *others = stage.children()
            x = first(x)
            for convolution in others:
                x = convolution(x.relu_())
            features.append(x)
        return tuple(features)


def vgg19_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors that :class:`VGG19` takes."""
    shapes: dict[str, tuple[int, ...]] = {}
    inputs = 3
    for stage, width in zip(VGG_STAGES, VGG_WIDTHS, strict=True):
        for n in stage:
            shapes |= {f"{n}.weight": (width, inputs, 3, 3), f"{n}.bias": (width,)}
            inputs = width
    return shapes


@dataclass(frozen=True)
class _Layer:
    """A convolution without bias, and the batch norm after it."""

    convolution: str
    norm: str
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    dilation: int = 1

    def shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{self.convolution}.weight", (self.outputs, self.inputs, self.kernel, self.kernel)
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{self.norm}.{part}", (self.outputs,)

    def folded(self, weights: Mapping[str, Tensor]) -> _Convolution:
        """Both as one convolution: a batch norm of its own would keep one more map for the gradients."""
        weight = weights[f"{self.convolution}.weight"]
        gain, bias, mean, variance = (
            weights[f"{self.norm}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / (variance + NORM_EPS).sqrt()
        wide = weight.double() * scale[:, None, None, None]
        return _Convolution(wide.to(weight.dtype), (bias - mean * scale).to(weight.dtype), self.stride, self.dilation)


_STEM = (
    _Layer("conv1", "bn1", 3, 64, 3, stride=2),
    _Layer("conv2", "bn2", 64, 64, 3),
    _Layer("conv3", "bn3", 64, 128, 3),
)


def _block(stage: int, number: int) -> list[_Layer]:
    """The three layers of a bottleneck, and of a stage's first one its shortcut.

    A stage whose stride was taken away is dilated instead: all that follows the convolution that had the stride.
    """
    width, first = 64 << stage, number == 0
    inputs = (2 if first else 4) * width
    stride = 2 if first and stage == 1 else 1
    dilation = RESNET_DILATIONS[stage - 1 if first and stage else stage]
    name = f"layer{stage + 1}.{number}"
    layers = [
        _Layer(f"{name}.conv1", f"{name}.bn1", inputs, width, 1),
        _Layer(f"{name}.conv2", f"{name}.bn2", width, width, 3, stride, dilation),
        _Layer(f"{name}.conv3", f"{name}.bn3", width, 4 * width, 1),
    ]
    shortcut = _Layer(f"{name}.downsample.0", f"{name}.downsample.1", inputs, 4 * width, 1, stride)
    return [*layers, shortcut] if first else layers


class _Bottleneck(nn.Module):
    def __init__(self, layers: list[_Layer], weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.body = nn.ModuleList(layer.folded(weights) for layer in layers[:3])
        self.shortcut = layers[3].folded(weights) if layers[3:] else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        reduce, spread, expand = self.body
        y: Tensor = expand(spread(reduce(x).relu_()).relu_())
        y += self.shortcut(x)
        return y.relu_()


class DilatedResNet50(_Normalised):
    """pictures -> the outputs of the four stages: (B, 256, H/4, W/4), then 512, 1024 and 2048 channels of H/8, W/8.

    CSAILVision's ``resnet50dilated``: three 3 x 3 convolutions come first; stages 3 and 4 are dilated by 2 and 4 where
    ResNet-50 has strides. weights: by its encoder's names, of the shapes of :func:`resnet50_shapes`.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.stem = nn.ModuleList(layer.folded(weights) for layer in _STEM)
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Bottleneck(_block(stage, n), weights) for n in range(blocks)))
            for stage, blocks in enumerate(RESNET_BLOCKS)
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        x, features = self.normalised(pictures), list[Tensor]()
        for convolution in self.stem:
            x = convolution(x).relu_()
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return tuple(features)


def resnet50_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors that :class:`DilatedResNet50` takes."""
    blocks = [_block(stage, n) for stage, blocks in enumerate(RESNET_BLOCKS) for n in range(blocks)]
    layers = [*_STEM, *(layer for block in blocks for layer in block)]
    return dict(item for layer in layers for item in layer.shapes())
