"""LPIPS (Zhang et al. 2018, version 0.1) and DISTS (Ding et al. 2020): distances between features of AlexNet or VGG-16.

The weights that the papers learned come with torchmetrics (extra ``metrics``); the backbones' with torchvision's files,
which are downloaded into TORCH_HOME. The backbones are a dozen plain convolutions: torchvision itself is not needed.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias
from urllib.error import URLError

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dfrestore.errors import StartError
from dfrestore.optional_packages import pip_install

Picture: TypeAlias = NDArray[np.uint8]
Measure: TypeAlias = "Callable[[Picture, Picture], float]"
_Layers: TypeAlias = Mapping[int, tuple[Tensor, Tensor]]

_DOWNLOADS = "https://download.pytorch.org/models/"
_PIP = pip_install("metrics")
_VGG_POOL, _ALEX_POOL = (2, 2), (3, 2)


@dataclass(frozen=True)
class Backbone:
    """torchvision's file, and which layers of its ``features`` are convolutions, by stage; ReLU follows each of them.

    pool: (kernel, stride) before each stage of ``pooled``. least: the smallest side of a picture.
    """

    name: str
    file: str
    stages: tuple[tuple[int, ...], ...]
    pooled: frozenset[int]
    pool: tuple[int, int]
    least: int


ALEX = Backbone(
    "AlexNet", "alexnet-owt-7be5be79.pth", ((0,), (3,), (6,), (8,), (10,)), frozenset({1, 2}), _ALEX_POOL, 31
)
VGG = Backbone(
    "VGG-16", "vgg16-397923af.pth", ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)),
    frozenset({1, 2, 3, 4}), _VGG_POOL, 16,
)  # fmt: skip
NETS: Mapping[str, Backbone] = {"alex": ALEX, "vgg": VGG}


def load_lpips(net: str = "alex", device: torch.device | str = "cpu", *, progress: bool = False) -> Measure:
    """The LPIPS of two pictures uint8 (H, W, 3): 0 for identical ones, larger the more they differ.

    The pictures are fed as RGB in [-1, 1], whole. net: ``alex`` or ``vgg``. Raises StartError where weights are
    missing; the function raises ValueError for pictures of different or too small sizes.
    """
    backbone = NETS[net]
    learned = _learned(f"lpips_models/{net}.pth")
    linear = [learned[f"lin{stage}.model.1.weight"].to(device) for stage in range(5)]
    layers = _layers(backbone, device, progress)
    shift, scale = _constants(device, (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450))

    def measure(a: Picture, b: Picture) -> float:
        _check(a, b, "LPIPS", backbone)
        with torch.inference_mode():
            x = (_tensor(a, b, device) / 127.5 - 1 - shift) / scale
            distance = 0.0
            for feature, weight in zip(_features(x, backbone, layers, _max_pool(backbone)), linear, strict=True):
                unit = feature * torch.rsqrt((feature * feature).sum(1, keepdim=True) + 1e-8)
                distance += float(((unit[0] - unit[1]) ** 2 * weight[0]).sum(0).mean())
        return distance

    return measure


def load_dists(device: torch.device | str = "cpu", *, progress: bool = False) -> Measure:
    """The DISTS of two pictures uint8 (H, W, 3): 0 for identical ones; as :func:`load_lpips`, but in [0, 1].

    The pictures are measured whole; the authors' script first makes the shorter side 256, which gives other numbers.
    """
    learned = _learned("dists_models/weights.pt")
    alpha, beta = (learned[name].flatten().to(device) for name in ("alpha", "beta"))
    total = alpha.sum() + beta.sum()
    sizes = [3, 64, 128, 256, 512, 512]
    weights = list(zip((alpha / total).split(sizes), (beta / total).split(sizes), strict=True))
    layers = _layers(VGG, device, progress)
    mean, deviation = _constants(device, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

    def measure(a: Picture, b: Picture) -> float:
        _check(a, b, "DISTS", VGG)
        with torch.inference_mode():
            x = _tensor(a, b, device) / 255
            likeness = _likeness(x, *weights[0])
            stages = _features((x - mean) / deviation, VGG, layers, _l2_pool)
            for feature, pair in zip(stages, weights[1:], strict=True):
                likeness += _likeness(feature, *pair)
        return max(0.0, 1 - likeness)  # below 0 by rounding only

    return measure


def _likeness(feature: Tensor, alpha: Tensor, beta: Tensor) -> float:
    """sum alpha l + beta s of one stage, equations 4 and 5 of the paper; feature: (2, C, H, W)."""
    c = 1e-6
    (mean_a, mean_b), (square_a, square_b) = feature.mean((2, 3)), (feature * feature).mean((2, 3))
    product = (feature[0] * feature[1]).mean((1, 2))
    both = mean_a * mean_b
    texture = (2 * both + c) / (mean_a**2 + mean_b**2 + c)
    structure = (2 * (product - both) + c) / (square_a - mean_a**2 + square_b - mean_b**2 + c)
    return float((alpha * texture + beta * structure).sum())


def _features(x: Tensor, backbone: Backbone, layers: _Layers, pool: Callable[[Tensor], Tensor]) -> Iterator[Tensor]:
    """What each stage of the backbone gives, one after the other: no two of them are needed at a time."""
    for number, stage in enumerate(backbone.stages):
        if number in backbone.pooled:
            x = pool(x)
        for index in stage:
            weight, bias = layers[index]
            stride, padding = (4, 2) if weight.shape[2] == 11 else (1, weight.shape[2] // 2)
            x = functional.relu(functional.conv2d(x, weight, bias, stride, padding))
        yield x


def _max_pool(backbone: Backbone) -> Callable[[Tensor], Tensor]:
    kernel, stride = backbone.pool
    return lambda x: functional.max_pool2d(x, kernel, stride)


def _l2_pool(x: Tensor) -> Tensor:
    """Square root of the smoothed squares (a 3 x 3 Hann window), every second pixel."""
    taps = torch.tensor([0.25, 0.5, 0.25], device=x.device)
    window = torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3)
    return functional.conv2d(x * x, window, stride=2, padding=1, groups=x.shape[1]).add_(1e-12).sqrt_()


def _tensor(a: Picture, b: Picture, device: torch.device | str) -> Tensor:
    pair = np.ascontiguousarray(np.stack([a, b]).transpose(0, 3, 1, 2))
    return torch.from_numpy(pair).to(device, torch.float32)


def _constants(device: torch.device | str, *values: tuple[float, float, float]) -> list[Tensor]:
    return [torch.tensor(three, device=device).view(1, 3, 1, 1) for three in values]


def _check(a: Picture, b: Picture, name: str, backbone: Backbone) -> None:
    if a.shape != b.shape or a.ndim != 3 or a.shape[2] != 3:
        raise ValueError(f"{name} needs two pictures of shape (H, W, 3), not {a.shape} and {b.shape}")
    if min(a.shape[:2]) < backbone.least:
        raise ValueError(
            f"{name} needs at least {backbone.least}x{backbone.least} pixels, not {a.shape[1]}x{a.shape[0]}"
        )


def _learned(name: str) -> dict[str, Any]:
    """Weights of the papers' own, which lie in torchmetrics; its code would import torchvision."""
    spec = find_spec("torchmetrics")
    if spec is None or spec.origin is None:
        raise StartError(f"LPIPS and DISTS need torchmetrics, which is not installed: {_PIP}")
    path = Path(spec.origin).parent / "functional" / "image" / name
    if not path.is_file():
        raise StartError(f"{path}: is not in this torchmetrics; install a newer one with {_PIP} --upgrade")
    return _loaded(path, f"install torchmetrics again, with {_PIP} --force-reinstall")


def _layers(backbone: Backbone, device: torch.device | str, progress: bool) -> _Layers:
    """The weights and biases of the backbone's convolutions, downloaded where they are not there yet."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / backbone.file
    if not path.exists():
        _download(backbone, path, progress)
    stored = _loaded(path, "remove it, and it will be downloaded again")
    try:
        return {
            index: (stored[f"features.{index}.weight"].to(device), stored[f"features.{index}.bias"].to(device))
            for stage in backbone.stages
            for index in stage
        }
    except (KeyError, AttributeError, TypeError):
        raise StartError(f"{path}: holds no weights of {backbone.name}; remove it, and it will be downloaded") from None


def _download(backbone: Backbone, path: Path, progress: bool) -> None:
    url = _DOWNLOADS + backbone.file
    digits = path.stem.rpartition("-")[2]  # the first ones of its SHA-256
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), digits, progress)
    except (OSError, URLError, RuntimeError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise StartError(
            f"{path}: {backbone.name}'s weights are missing and cannot be downloaded ({why}); put the file of {url} "
            "there, or set TORCH_HOME to the folder whose hub/checkpoints/ has it"
        ) from error


def _loaded(path: Path, remedy: str) -> dict[str, Any]:
    try:
        stored: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise StartError(f"{path}: damaged or cut off; {remedy}") from error
    return stored
