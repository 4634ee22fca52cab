"""The perceptual losses of DiffIR's training, and the reading of the weights that they need from the user's files."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import Tensor, nn

from dfrestore.errors import WeightsError
from dfrestore.methods.differences import Shapes, compare_tensors, in_short
from dfrestore.methods.diffir.features import VGG19, DilatedResNet50, resnet50_shapes, vgg19_shapes
from dfrestore.weights.checkpoint import read_bytes
from dfrestore.weights.containers import find_state_dicts
from dfrestore.weights.header import header_of
from dfrestore.weights.unpickle import read_pth

N = TypeVar("N", bound=nn.Module)
VGG_WEIGHTS = (0.1, 0.1, 1.0, 1.0, 1.0)  # of the five features
# What batch norms store besides what they compute with: counters, and sums of training on several GPUs.
_BOOKKEEPING = ("num_batches_tracked", "_tmp_running_mean", "_tmp_running_var", "_running_iter")
_CLASSIFIER = "fc."


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
    return _load(path, VGG19, vgg19_shapes(), "torchvision's VGG-19", "vgg19-dcbb9e9d.pth")


def load_resnet50_dilated(path: str | Path) -> DilatedResNet50:
    """The dilated ResNet-50 with the weights in the file of CSAILVision's ADE20K encoder; as :func:`load_vgg19`."""
    expected = "encoder_epoch_20.pth of ade20k-resnet50dilated-ppm_deepsup"
    return _load(path, DilatedResNet50, resnet50_shapes(), "ADE20K's dilated ResNet-50", expected)


def _features(network: nn.Module, restored: Tensor, target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    with torch.no_grad():
        wanted = network(target)
    return zip(network(restored), wanted, strict=True)


def _load(path: str | Path, build: Callable[[Mapping[str, Tensor]], N], shapes: Shapes, what: str, file: str) -> N:
    tensors, differences = _nearest(_read(Path(path)), str(path), shapes)
    if differences:
        alike = 2 * len(tensors) > len(shapes)
        cause = in_short(differences) if alike else "its tensors have other names"
        raise WeightsError(f"{path}: not the weights of {what} ({cause}); give {file}")
    network = build(tensors)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in network.buffers()):
        raise WeightsError(f"{path}: its weights of {what} are not finite (NaN or infinity); get {file} again")
    return network


def _read(path: Path) -> Any:
    if path.suffix.lower() != ".safetensors":
        return read_pth(path)
    data = read_bytes(path)
    header_of(io.BytesIO(data), len(data), str(path))  # whose errors name the file
    return safetensors.torch.load(data)


def _nearest(content: object, name: str, shapes: Shapes) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors that differ least from ``shapes``, float32 and without the prefix of their names; the differences."""
    best: tuple[dict[str, Tensor], list[str]] | None = None
    for state in find_state_dicts(content, name):
        for prefix in _prefixes(state.tensors, next(iter(shapes))):
            found = {key: tensor for key, tensor in state.tensors.items() if _belongs(key, prefix)}
            expected = {f"{prefix}{key}": torch.empty(shape, device="meta") for key, shape in shapes.items()}
            differences = compare_tensors(found, expected)
            if best is None or len(differences) < len(best[1]):
                best = {key.removeprefix(prefix): tensor for key, tensor in found.items()}, differences
    assert best is not None  # there is a state dict, and it has a prefix
    tensors, differences = best
    return {key: tensor.detach().float().clone() for key, tensor in tensors.items() if key in shapes}, differences


def _prefixes(tensors: Mapping[str, Tensor], first: str) -> list[str]:
    """All that can stand before the name of the first tensor; nothing, where it does not occur."""
    starts = [name.removesuffix(first) for name in tensors if name.endswith(first)]
    return [start for start in starts if not start or start.endswith(".")] or [""]


def _belongs(name: str, prefix: str) -> bool:
    inner = name.removeprefix(prefix)
    bookkeeping = inner.rpartition(".")[2] in _BOOKKEEPING
    return name.startswith(prefix) and not bookkeeping and not inner.startswith(_CLASSIFIER)
