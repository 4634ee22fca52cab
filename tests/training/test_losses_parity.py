"""Losses and gradients against vectors made with the authors' code (tests/data/parity/README.md)."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dfrestore.diffusion import ddim_step, linear_alpha_bars
from dfrestore.losses import l1, ms_ssim, negative_psnr, picture_loss
from dfrestore.methods.c2f_dft import C2FDFT, C2FDFTConfig, Sampling
from dfrestore.methods.c2f_dft.stages import coarse_loss, unrolled
from dfrestore.nn import Whole

PARITY = Path(__file__).parents[1] / "data" / "parity"
NUMBERS = json.loads((PARITY / "train_ssim_numbers.json").read_text())
NAMED = ("encoder_level1.0.attn.qkv.weight", "latent.1.norm2.body.weight", "output.weight")


def network_a(dtype: torch.dtype = torch.float32) -> C2FDFT:
    values = json.loads((PARITY / "cfg_a.json").read_text())
    config = C2FDFTConfig(values["dim"], tuple(values["num_blocks"]), tuple(values["heads"]))
    network = C2FDFT(config)
    network.load_state_dict(torch.load(PARITY / "cfg_a.pth", weights_only=True)["params"])
    return network.to(dtype)


def gradient_norm(network: C2FDFT) -> float:
    return torch.stack([p.grad.norm() for p in network.parameters() if p.grad is not None]).norm().item()


def assert_named_gradients(network: C2FDFT, vectors: dict[str, Tensor], tolerance: float) -> None:
    parameters = dict(network.named_parameters())
    for name in NAMED:
        expected, found = vectors[f"grad.{name}"].double(), parameters[name].grad
        assert found is not None
        assert (found.double() - expected).abs().max() <= tolerance * expected.abs().max(), name


def called(network: C2FDFT, path: str) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    return partial(network.walk, Whole()) if path == "walk" else network


@pytest.mark.parametrize("path", ["forward", "walk"])
def test_coarse_loss_and_gradients_equal_the_authors(path: str) -> None:
    vectors = load_file(PARITY / "train_coarse.safetensors")
    network = network_a()
    loss = coarse_loss(
        called(network, path),
        vectors["lq"] * 2 - 1,
        vectors["gt"] * 2 - 1,
        vectors["e"],
        vectors["t"].long(),
        linear_alpha_bars(),
        "epsilon",
    )
    loss.backward()
    assert loss.item() == pytest.approx(NUMBERS["coarse fp32"]["loss"], abs=2e-6)
    assert gradient_norm(network) == pytest.approx(NUMBERS["coarse fp32"]["grad_l2"], rel=1e-4)
    assert_named_gradients(network, vectors, 1e-3)


@pytest.mark.parametrize("path", ["forward", "walk"])
def test_fine_loss_and_gradients_through_four_steps_equal_the_authors(path: str) -> None:
    vectors = load_file(PARITY / "train_fine.safetensors")
    network = network_a()
    y, target = vectors["lq"] * 2 - 1, vectors["gt"] * 2 - 1
    steps, bars = [999, 666, 333, 0], linear_alpha_bars()
    call = called(network, path)
    loss = picture_loss("ms-ssim-255", unrolled(call, y, vectors["x_T"], steps, bars, Sampling()), target)
    loss.backward()
    assert loss.item() == pytest.approx(NUMBERS["fine fp32"]["loss"], abs=2e-6)
    assert gradient_norm(network) == pytest.approx(NUMBERS["fine fp32"]["grad_l2"], rel=1e-4)
    assert_named_gradients(network, vectors, 1e-3)
    with torch.no_grad():
        restored = unrolled(call, y, vectors["x_T"], steps, bars, Sampling())
    assert (restored - vectors["x_final"]).abs().max() <= 2e-4
    assert l1(restored, target).item() == pytest.approx(NUMBERS["fine fp32"]["l1_unweighted"], abs=2e-6)
    assert ms_ssim(restored, target).item() == pytest.approx(NUMBERS["fine fp32"]["ms_ssim"], abs=2e-6)


def test_coarse_gradients_in_double_precision_equal_the_authors() -> None:
    vectors = load_file(PARITY / "train_coarse.safetensors")
    network = network_a(torch.float64)
    loss = coarse_loss(
        network,
        vectors["lq"].double() * 2 - 1,
        vectors["gt"].double() * 2 - 1,
        vectors["e"].double(),
        vectors["t"].long(),
        linear_alpha_bars(),
        "epsilon",
    )
    loss.backward()
    assert loss.item() == pytest.approx(NUMBERS["coarse fp64"]["loss"], abs=1e-7)
    assert_named_gradients(network, vectors, 1e-6)


def test_checkpointed_steps_give_the_same_gradient_as_plain_ones() -> None:
    vectors = load_file(PARITY / "train_fine.safetensors")
    y, bars = vectors["lq"] * 2 - 1, linear_alpha_bars()
    gradients = []
    for checkpointed in (True, False):
        network = network_a()
        points, way = [999, 333, 0], {"checkpointed": checkpointed}
        unrolled(network, y, vectors["x_T"], points, bars, Sampling(), **way).abs().mean().backward()
        gradients.append(network.output.weight.grad)
    assert torch.equal(gradients[0], gradients[1])


def test_the_gradient_through_one_step_is_that_of_the_last_alone() -> None:
    vectors = load_file(PARITY / "train_fine.safetensors")
    y, bars = vectors["lq"] * 2 - 1, linear_alpha_bars()
    network = network_a()
    with torch.no_grad():
        seen = ddim_step("epsilon", network(y, vectors["x_T"], torch.tensor([999.0])), vectors["x_T"], bars, 999, 333)
    last = ddim_step("epsilon", network(y, seen[0], torch.tensor([333.0])), seen[0], bars, 333, None)
    last[0].abs().mean().backward()
    expected = network.output.weight.grad
    network = network_a()
    unrolled(network, y, vectors["x_T"], [999, 333], bars, Sampling(), "one").abs().mean().backward()
    assert expected is not None
    assert torch.equal(network.output.weight.grad, expected)


SMALL, LARGE = ("small.img1", "small.img2"), ("large.img1_u8", "large.img2_u8")


@pytest.mark.parametrize(
    ("names", "scale", "value_range", "key"),
    [
        (SMALL, (1.0, 0.0), 255.0, "ssim small, data [-1,1], max_val 255 (what the training code does)"),
        (SMALL, (1.0, 0.0), 2.0, "ssim small, data [-1,1], max_val 2"),
        (LARGE, (1 / 127.5, -1.0), 255.0, "ssim large, data u8/127.5-1, max_val 255 (what the training code does)"),
        (LARGE, (1.0, 0.0), 255.0, "ssim large, data 0..255, max_val 255"),
    ],
)
def test_ms_ssim_equals_the_authors(
    names: tuple[str, str], scale: tuple[float, float], value_range: float, key: str
) -> None:
    vectors = load_file(PARITY / "ssim.safetensors")
    a, b = (vectors[name].float() * scale[0] + scale[1] for name in names)
    assert ms_ssim(a, b, value_range).item() == pytest.approx(NUMBERS[key]["fp64"]["ms_ssim"], abs=2e-6)
    assert ms_ssim(a.double(), b.double(), value_range).item() == pytest.approx(
        NUMBERS[key]["fp64"]["ms_ssim"], abs=1e-7
    )


def test_the_psnr_loss_is_the_mean_over_pictures_in_bels_and_ends_at_thirty_decibels() -> None:
    target = torch.zeros(2, 3, 8, 8)
    off = torch.tensor([0.6, 0.2]).view(2, 1, 1, 1).expand_as(target)  # of a range of 2: 10.5 and 20 dB
    assert negative_psnr(target + off, target).item() == pytest.approx(-(1.0458 + 2) / 2, abs=0.03)
    assert negative_psnr(target, target).item() == pytest.approx(-3.0)
    assert picture_loss("psnr", target, target, psnr_level=40).item() == pytest.approx(-4.0)
