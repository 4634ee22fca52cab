"""DiffIR through the engine: the prior of the whole picture, one evaluation of G, scale and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference.random_diffir import tiny_diffir
from torch import Tensor, nn

from dfrestore.engine import choose_device, choose_precision, make_plan, restore_array
from dfrestore.engine.run import Progress
from dfrestore.methods.diffir import OFFICIAL, DiffIR
from dfrestore.methods.diffir.cost import prior_products, restoring_products
from dfrestore.methods.method import restored_at_once
from dfrestore.nn import Strips, Whole
from dfrestore.nn.padding import pad

CPU = choose_device("cpu")
FP32 = choose_precision("fp32", CPU)
SUPER: dict[str, Any] = {"scale": 4, "tail": True, "prior_stem": 1, "norm": "BiasFree"}
INPAINT: dict[str, Any] = {"mask": True, "residual": False, "refinement": 0}
Plane = NDArray[np.float32]


def picture(height: int, width: int) -> Plane:
    return np.random.default_rng(0).random((height, width, 3), dtype=np.float32)


def hole(height: int, width: int, strength: float = 1.0) -> Plane:
    mask = np.zeros((height, width), np.float32)
    mask[height // 4 : height // 2, width // 4 :] = strength
    return mask


def records(network: DiffIR, rgb: Plane, tile: int = 0, seed: int = 0, **more: Any) -> list[Progress]:
    plan = make_plan(*rgb.shape[:2], network, tile=tile, precision=FP32, device=CPU)
    steps = network.default_steps
    return list(restore_array(network, rgb, steps=steps, seed=seed, plan=plan, device=CPU, precision=FP32, **more))


def restored(network: DiffIR, rgb: Plane, **options: Any) -> Plane:
    result = records(network, rgb, **options)[-1].result
    assert result is not None
    return result


def by_the_paper(network: DiffIR, planes: Tensor, seed: int = 0) -> Plane:
    """(3 or 4, H, W), what the network is given -> (sH, sW, 3)."""
    _, height, width = planes.shape
    padded = pad(planes, network.multiple, network.padding)[None]
    noise = torch.randn(1, network.config.code, generator=torch.Generator().manual_seed(seed))
    out = network(padded, noise)[0].clamp(0, 1)[:, : height * network.scale, : width * network.scale]
    return out.permute(1, 2, 0).numpy()


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([{}, SUPER, {"scale": 2, "stem": 2, "prior_stem": 2}]))
def test_the_result_is_forward_of_the_padded_picture(height: int, width: int, config: dict[str, Any]) -> None:
    network, rgb = tiny_diffir(**config), picture(height, width)
    expected = by_the_paper(network, torch.from_numpy(rgb).permute(2, 0, 1), seed=3)
    assert expected.shape == (height * network.scale, width * network.scale, 3)
    np.testing.assert_allclose(restored(network, rgb, seed=3), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("strength", [1.0, 0.25])
def test_holes_are_black_and_marked_however_soft_the_mask(strength: float) -> None:
    network, rgb = tiny_diffir(**INPAINT), picture(21, 30)
    mask = hole(21, 30)
    seen = np.concatenate([rgb * (1 - mask[..., None]), mask[..., None]], axis=2)
    expected = by_the_paper(network, torch.from_numpy(seen).permute(2, 0, 1))
    result = restored(network, rgb, mask=hole(21, 30, strength))
    np.testing.assert_allclose(result, expected, rtol=0, atol=2e-5)


def test_what_lies_in_a_hole_changes_nothing() -> None:
    network, rgb, mask = tiny_diffir(**INPAINT), picture(24, 24), hole(24, 24)
    other = np.where(mask[..., None] > 0, 1 - rgb, rgb)
    np.testing.assert_array_equal(restored(network, rgb, mask=mask), restored(network, other, mask=mask))


@pytest.mark.parametrize("config", [{}, SUPER], ids=["deblur", "upscale"])
def test_in_tiles_the_prior_is_still_of_the_whole_picture(config: dict[str, Any]) -> None:
    network, rgb, seen = tiny_diffir(**config), picture(40, 72), []
    whole = network.conditioned(Strips(), torch.from_numpy(rgb).permute(2, 0, 1)[None])
    hook = network.denoise.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    result = restored(network, rgb, tile=32)
    hook.remove()
    assert result.shape == (40 * network.scale, 72 * network.scale, 3)
    assert len(seen) == 4  # once, in four steps
    torch.testing.assert_close(seen[0], whole, rtol=0, atol=1e-6)


def test_the_progress_ends_at_its_total_and_moves_between() -> None:
    network, seen = tiny_diffir(**SUPER), []
    found = records(network, picture(32, 40), watch=lambda done, total: seen.append(done / total))
    assert [record.estimate is None for record in found] == [True, False]
    assert found[-1].done == found[-1].total == pytest.approx(sum(network.parts(4)))
    assert found[0].done == pytest.approx(network.parts(4)[0])
    assert seen == sorted(seen)
    assert seen[-1] > 0.6


def test_the_seed_draws_the_vector() -> None:
    network, rgb = tiny_diffir(), picture(16, 16)
    first, again, other = (restored(network, rgb, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("config", [{}, SUPER, INPAINT], ids=["deblur", "upscale", "inpaint"])
def test_at_once_it_is_the_same_in_all_ways(config: dict[str, Any]) -> None:
    network = tiny_diffir(**config)
    planes = torch.rand((network.config.planes, 20, 28), generator=torch.Generator().manual_seed(0))
    expected = restored_at_once(network, planes, 4)
    for how in (Whole(), Strips(rows=3)):
        torch.testing.assert_close(restored_at_once(network, planes, 4, how=how), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("task", "g", "prior"), [("deblur", 117.3, 3.7), ("sr_x4", 645.1, 77.4), ("inpaint", 46.8, 3.8)]
)
def test_the_share_of_the_prior_follows_from_the_multiplications(task: str, g: float, prior: float) -> None:
    pixels = 256 * 256
    assert restoring_products(OFFICIAL[task]) * pixels / 1e9 == pytest.approx(g, rel=0.02)
    assert prior_products(OFFICIAL[task]) * pixels / 1e9 == pytest.approx(prior, rel=0.02)


def test_the_ends_are_the_layers_that_read_or_write_pictures() -> None:
    for config in ({}, SUPER):
        first, last = tiny_diffir(**config).ends()
        assert isinstance(first, nn.Conv2d)
        assert isinstance(last, nn.Conv2d)
        assert (first.in_channels, last.out_channels) == (3, 3)
