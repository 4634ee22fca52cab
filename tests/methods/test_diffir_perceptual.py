"""Perceptual losses against literal networks in fp64, and the files that their weights may come in.

The published weights are hundreds of megabytes and are not fetched here: the weights are random, in the same layout.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from reference.random_features import resnet50_weights, vgg19_weights
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.errors import WeightsError
from dfrestore.methods.diffir.features import VGG19, DilatedResNet50, resnet50_shapes
from dfrestore.methods.diffir.perceptual import (
    high_receptive_field_loss,
    load_resnet50_dilated,
    load_vgg19,
    perceptual_loss,
)

Weights = Mapping[str, Tensor]
KINDS = ["vgg", "resnet"]
LOSSES: dict[str, Callable[..., Tensor]] = {"vgg": perceptual_loss, "resnet": high_receptive_field_loss}


@cache
def weights_of(kind: str) -> Weights:
    return vgg19_weights() if kind == "vgg" else resnet50_weights()


def doubled(weights: Weights) -> Weights:
    return {name: tensor.double() for name, tensor in weights.items()}


@cache
def network_of(kind: str, double: bool = False) -> Any:
    weights = doubled(weights_of(kind)) if double else weights_of(kind)
    return VGG19(weights) if kind == "vgg" else DilatedResNet50(weights)


def pictures(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def normalised(x: Tensor) -> Tensor:
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])  # fp32, as the authors'
    return torch.stack([(x[:, c] - mean[c]) / deviation[c] for c in range(3)], dim=1)


# -- the networks ---------------------------------------------------------------------------------------------------


def torchvisions_features() -> nn.Sequential:
    """``features`` of torchvision's VGG-19."""
    layers: list[nn.Module] = []
    channels = 3
    for wide, count in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(count):
            layers += [nn.Conv2d(channels, wide, 3, padding=1), nn.ReLU()]
            channels = wide
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


def literal_vgg(weights: Weights, x: Tensor) -> list[Tensor]:
    """conv1_2, conv2_2, conv3_4, conv4_4, conv5_4."""
    with torch.device("meta"):
        features = torchvisions_features()
    features.load_state_dict(doubled(weights), strict=True, assign=True)
    x, found = normalised(x), []
    for n, layer in enumerate(features):
        x = layer(x)
        if n in (2, 7, 16, 25, 34):
            found.append(x)
    return found


# Of the 3x3 convolution in each block of stages 3 and 4. The first one's had a stride of 2 before it was taken away.
DILATIONS = {3: (1, 2, 2, 2, 2, 2), 4: (2, 4, 4)}


def literal_resnet(weights: Weights, x: Tensor, dilated: bool = True) -> list[Tensor]:
    """The four stages; without dilation: ResNet-50 as it is, which halves in stages 3 and 4 too."""

    def conv(x: Tensor, name: str, norm: str, stride: int = 1, dilation: int = 1) -> Tensor:
        kernel = weights[f"{name}.weight"].double()
        x = F.conv2d(x, kernel, stride=stride, dilation=dilation, padding=dilation if kernel.shape[-1] == 3 else 0)
        mean, variance, gain, bias = (
            weights[f"{norm}.{part}"].double() for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, gain, bias, training=False, eps=1e-5)

    x = F.relu(conv(normalised(x), "conv1", "bn1", stride=2))
    x = F.relu(conv(x, "conv2", "bn2"))
    x = F.relu(conv(x, "conv3", "bn3"))
    x, found = F.max_pool2d(x, 3, 2, 1), []
    for stage, blocks in ((1, 3), (2, 4), (3, 6), (4, 3)):
        for n in range(blocks):
            halves = n == 0 and (stage == 2 or (stage > 2 and not dilated))
            stride, dilation = 2 if halves else 1, DILATIONS[stage][n] if dilated and stage > 2 else 1
            name = f"layer{stage}.{n}"
            y = F.relu(conv(x, f"{name}.conv1", f"{name}.bn1"))
            y = F.relu(conv(y, f"{name}.conv2", f"{name}.bn2", stride, dilation))
            y = conv(y, f"{name}.conv3", f"{name}.bn3")
            shortcut = x if n else conv(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)
            x = F.relu(y + shortcut)
        found.append(x)
    return found


LITERAL: dict[str, Callable[..., list[Tensor]]] = {"vgg": literal_vgg, "resnet": literal_resnet}


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_the_literal_network(kind: str) -> None:
    x = pictures(2, 3, 40, 32)
    got, expected = network_of(kind, double=True)(x), LITERAL[kind](weights_of(kind), x)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_features_in_fp32_are_those_in_fp64_within_rounding(kind: str) -> None:
    x = pictures(1, 3, 32, 32)
    for one, other in zip(network_of(kind)(x.float()), network_of(kind, double=True)(x), strict=True):
        assert one.dtype == torch.float32
        assert float((one - other).abs().max() / other.abs().max()) < 1e-5


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (41, 55)])
def test_the_dilated_resnet_is_the_usual_one_at_each_pixel_that_the_usual_one_keeps(size: tuple[int, int]) -> None:
    x = pictures(1, 3, *size)
    got, usual = network_of("resnet", double=True)(x), literal_resnet(weights_of("resnet"), x, dilated=False)
    for step, one, other in zip((1, 1, 2, 4), got, usual, strict=True):
        torch.testing.assert_close(one[..., ::step, ::step], other, rtol=1e-9, atol=1e-9)


def test_sizes_of_the_features() -> None:
    x = pictures(1, 3, 64, 48, dtype=torch.float32)
    assert [tuple(f.shape) for f in network_of("vgg")(x)] == [
        (1, 64, 64, 48), (1, 128, 32, 24), (1, 256, 16, 12), (1, 512, 8, 6), (1, 512, 4, 3),
    ]  # fmt: skip
    assert [tuple(f.shape) for f in network_of("resnet")(x)] == [
        (1, 256, 16, 12), (1, 512, 8, 6), (1, 1024, 8, 6), (1, 2048, 8, 6),
    ]  # fmt: skip


def test_pictures_that_vgg_cannot_halve_four_times_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 pixels"):
        network_of("vgg")(pictures(1, 3, 15, 64))


# -- the losses -----------------------------------------------------------------------------------------------------


def test_the_perceptual_loss_is_the_weighted_sum_of_mean_absolute_differences() -> None:
    restored, target = pictures(2, 3, 32, 32), pictures(2, 3, 32, 32, seed=1)
    literal = [literal_vgg(weights_of("vgg"), x) for x in (restored, target)]
    expected = sum(w * (a - b).abs().sum() / a.numel() for w, a, b in zip((0.1, 0.1, 1, 1, 1), *literal, strict=True))
    torch.testing.assert_close(perceptual_loss(network_of("vgg", double=True), restored, target), expected)


def test_the_high_receptive_field_loss_is_the_sum_of_mean_squared_differences() -> None:
    restored, target = pictures(2, 3, 32, 32), pictures(2, 3, 32, 32, seed=1)
    literal = [literal_resnet(weights_of("resnet"), x) for x in (restored, target)]
    expected = sum(((a - b) ** 2).sum() / a.numel() for a, b in zip(*literal, strict=True))
    torch.testing.assert_close(high_receptive_field_loss(network_of("resnet", double=True), restored, target), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_pictures_cost_nothing_and_results_repeat(kind: str) -> None:
    a, b = pictures(1, 3, 32, 32, dtype=torch.float32), pictures(1, 3, 32, 32, seed=1, dtype=torch.float32)
    assert float(LOSSES[kind](network_of(kind), a, a)) == 0
    assert torch.equal(LOSSES[kind](network_of(kind), a, b), LOSSES[kind](network_of(kind), a, b))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_right_and_reach_the_restored_picture_alone(kind: str) -> None:
    network, target = network_of(kind, double=True), pictures(1, 3, 16, 16, seed=1).requires_grad_()
    restored = pictures(1, 3, 16, 16).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: LOSSES[kind](network, x, target), (restored,), eps=1e-7, atol=1e-5, fast_mode=True
    )
    LOSSES[kind](network, restored, target).backward()
    assert restored.grad is not None
    assert target.grad is None
    assert not any(tensor.requires_grad for tensor in network.buffers())


@pytest.mark.parametrize(("kind", "values"), [("vgg", 520), ("resnet", 580)])
def test_little_more_than_one_map_of_each_convolution_is_kept_for_the_gradients(kind: str, values: int) -> None:
    network, side = network_of(kind), 64
    own = {tensor.untyped_storage().data_ptr() for tensor in network.buffers()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    restored = pictures(1, 3, side, side, dtype=torch.float32).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = LOSSES[kind](network, restored, restored.detach().flip(-1))
    sizes = [tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own]
    assert sum(sizes) / 4 / side**2 < values
    loss.backward()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_network_is_trained_or_stored(kind: str) -> None:
    network, x = network_of(kind), pictures(1, 3, 32, 32, dtype=torch.float32)
    assert not list(network.parameters())
    assert not network.state_dict()
    before = network.train()(x)
    assert all(torch.equal(one, other) for one, other in zip(before, network.eval()(x), strict=True))


def test_pictures_in_half_precision_are_looked_at_in_that_of_the_weights() -> None:
    x = pictures(1, 3, 16, 16, dtype=torch.float32).bfloat16()
    assert all(torch.equal(a, b) for a, b in zip(network_of("vgg")(x), network_of("vgg")(x.float()), strict=True))


# -- files ----------------------------------------------------------------------------------------------------------

LOADERS: dict[str, Callable[..., Any]] = {"vgg": load_vgg19, "resnet": load_resnet50_dilated}


def half(weights: Weights, prefix: str = "") -> dict[str, Tensor]:
    """Files of half the size: the random weights are exact in half precision."""
    return {f"{prefix}{name}": tensor.half() for name, tensor in weights.items()}


def saved(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    """A place for large files, which do not outlive the test."""
    yield tmp_path
    for path in tmp_path.iterdir():
        path.unlink()


def torchvisions_file() -> dict[str, Tensor]:
    classifier = {"classifier.0.weight": torch.zeros(8, 4), "classifier.0.bias": torch.zeros(8)}
    return half(weights_of("vgg"), "features.") | classifier


def csailvisions_file() -> dict[str, Tensor]:
    """385 tensors: its batch norms also keep what they gather on several GPUs."""
    weights = weights_of("resnet")
    sums = {
        name.replace("running_", "_tmp_running_"): tensor * 7 for name, tensor in weights.items() if "running_" in name
    }
    return half(weights) | half(sums)


def trainers_file() -> dict[str, Any]:
    others = {"generator.conv1.weight": torch.zeros(4, 3, 3, 3), "discriminator.model0.0.weight": torch.zeros(2)}
    return {"epoch": 3, "state_dict": half(weights_of("resnet"), "loss_resnet_pl.impl.") | others}


def test_the_file_of_csailvision_has_as_many_tensors_as_the_published_one() -> None:
    assert len(csailvisions_file()) == 385


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("vgg", torchvisions_file),
        ("vgg", lambda: half(weights_of("vgg"))),
        ("resnet", csailvisions_file),
        ("resnet", lambda: {"state_dict": half(weights_of("resnet"), "module.encoder.")}),
        ("resnet", trainers_file),
    ],
    ids=["torchvision", "features alone", "CSAILVision", "prefix", "trainer"],
)
@pytest.mark.parametrize("new", [True, False])
def test_weights_are_found_in_every_usual_file(kind: str, content: Callable[[], Any], new: bool, folder: Path) -> None:
    path = saved(folder / "weights.pth", content(), _use_new_zipfile_serialization=new)
    assert_same(LOADERS[kind](path), network_of(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_safetensors_are_read(kind: str, folder: Path) -> None:
    save_file(half(weights_of(kind), "features." if kind == "vgg" else ""), folder / "weights.safetensors")
    assert_same(LOADERS[kind](str(folder / "weights.safetensors")), network_of(kind))


def assert_same(network: nn.Module, expected: nn.Module) -> None:
    pairs = zip(network.named_buffers(), expected.named_buffers(), strict=True)
    for (name, tensor), (other, value) in pairs:
        assert name == other
        assert torch.equal(tensor, value), name


def refusal(kind: str, path: Path) -> str:
    with pytest.raises(WeightsError) as error:
        LOADERS[kind](path)
    assert str(path) in str(error.value)
    return str(error.value)


def of_another_depth() -> dict[str, Tensor]:
    """VGG-16: three convolutions in each of the last stages."""
    names = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    convolutions = [layer for layer in torchvisions_features() if isinstance(layer, nn.Conv2d)]
    kept = [n for n in range(16) if n not in (7, 11, 15)]
    return {
        f"features.{name}.{part}": getattr(convolutions[n], part).detach().half()
        for name, n in zip(names, kept, strict=True)
        for part in ("weight", "bias")
    }


def test_a_vgg_of_another_depth_is_refused(folder: Path) -> None:
    message = refusal("vgg", saved(folder / "vgg16.pth", of_another_depth()))
    assert "not the weights of torchvision's VGG-19" in message
    assert "'features.16.weight' missing" in message
    assert "give vgg19-dcbb9e9d.pth" in message


def test_a_deeper_resnet_is_refused_although_it_has_all_the_tensors(folder: Path) -> None:
    more = {"layer3.6.conv1.weight": torch.zeros(256, 1024, 1, 1)}
    message = refusal("resnet", saved(folder / "resnet101.pth", half(weights_of("resnet")) | more))
    assert "'layer3.6.conv1.weight' [256, 1024, 1, 1] unexpected" in message
    assert "encoder_epoch_20.pth" in message


def test_a_resnet_with_the_usual_first_convolution_is_refused(folder: Path) -> None:
    state = {name: torch.zeros(shape, dtype=torch.half) for name, shape in resnet50_shapes().items()}
    state["conv1.weight"] = torch.zeros(64, 3, 7, 7)
    message = refusal("resnet", saved(folder / "resnet50.pth", state))
    assert "'conv1.weight' [64, 3, 7, 7] instead of [64, 3, 3, 3]" in message


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda state: state.pop("features.34.bias"), "'features.34.bias' missing"),
        (lambda state: state.update({"features.0.bias": torch.zeros(64, dtype=torch.int64)}), "of type int64"),
        (lambda state: state.update({"features.0.bias": torch.full((64,), torch.nan)}), "not finite"),
    ],
    ids=["missing", "type", "NaN"],
)
def test_what_is_wrong_with_a_file_is_named(change: Callable[[Any], Any], named: str, folder: Path) -> None:
    state = torchvisions_file()
    change(state)
    assert named in refusal("vgg", saved(folder / "weights.pth", state))


def test_a_variance_below_zero_is_refused(folder: Path) -> None:
    state = half(weights_of("resnet"))
    state["bn2.running_var"][3] = -1
    assert "not finite" in refusal("resnet", saved(folder / "weights.pth", state))


@pytest.mark.parametrize("kind", KINDS)
def test_other_files_are_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "executed"),)

    assert "no such file" in refusal(kind, tmp_path / "missing.pth")
    assert "unsafe pickle" in refusal(kind, saved(tmp_path / "harmful.pth", {"x": Harmful()}))
    assert not (tmp_path / "executed").exists()
    assert "holds no weights" in refusal(kind, saved(tmp_path / "empty.pth", {"epoch": 1}))
    other = saved(tmp_path / "other.pth", {"layer1.0.conv1.weight": torch.zeros(2), "0.weight": torch.zeros(2)})
    assert "(its tensors have other names); give " in refusal(kind, other)
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{}")
    assert "truncated" in refusal(kind, tmp_path / "cut.safetensors")
