"""The perceptual losses of DiffIR's training, and the reading of the weights that they need from the user's files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from dfrestore.methods.diffir.features import VGG19, DilatedResNet50, resnet50_shapes, vgg19_shapes
from dfrestore.methods.known_weights import known_weights

VGG_WEIGHTS = (0.1, 0.1, 1.0, 1.0, 1.0)  # of the five features


def perceptual_loss(vgg: VGG19, restored: Tensor, target: Tensor) -> Tensor:
    """Sum over VGG-19's features of their mean absolute difference, by :data:`VGG_WEIGHTS`. (Facts, section 5.)

    restored, target: (B, 3, H, W) in [0, 1], sides of at least 16. No gradient reaches ``target``.
    """
    distances = [(a - b).abs().mean() for a, b in _features(vgg, restored, target)]
    return sum((w * d for w, d in zip(VGG_WEIGHTS, distances, strict=True)), start=restored.new_zeros(()))


def high_receptive_field_loss(resnet: DilatedResNet50, restored: Tensor, target: Tensor) -> Tensor:
    """Sum over the four stages of their mean squared difference. (Suvorov et al., "LaMa", WACV 2022, Eq. 1.)

    restored, target: (B, 3, H, W) in [0, 1]. No gradient reaches ``target``.
    """
    distances = [(a - b).square().mean() for a, b in _features(resnet, restored, target)]
    return torch.stack(distances).sum()


def load_vgg19(path: str | Path) -> VGG19:
    """VGG-19 with the weights in torchvision's file (or a safetensors file of the same names), on the CPU.

    Names may have a prefix, and other networks may be in the file. Raises :class:`WeightsError`.
    """
    return VGG19(known_weights(path, vgg19_shapes(), "torchvision's VGG-19", "vgg19-dcbb9e9d.pth"))


def load_resnet50_dilated(path: str | Path) -> DilatedResNet50:
    """The dilated ResNet-50 with the weights in the file of CSAILVision's ADE20K encoder; as :func:`load_vgg19`."""
    expected = "encoder_epoch_20.pth of ade20k-resnet50dilated-ppm_deepsup"
    return DilatedResNet50(known_weights(path, resnet50_shapes(), "ADE20K's dilated ResNet-50", expected))


def _features(network: nn.Module, restored: Tensor, target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    with torch.no_grad():
        wanted = network(target)
    return zip(network(restored), wanted, strict=True)
