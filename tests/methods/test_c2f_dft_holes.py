"""A C2F-DFT that fills holes: what it is given, how it is computed, and what it is trained for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from reference.random_network import random_network
from torch import Tensor

from dfrestore.engine import choose_device, choose_precision, make_plan, restore_array
from dfrestore.methods.c2f_dft import C2FDFT, C2FDFTConfig
from dfrestore.methods.c2f_dft.stages import Coarse, Fine
from dfrestore.methods.method import Batch, restored_at_once
from dfrestore.nn import Strips, Whole
from dfrestore.nn.fill import filled_smoothly

CPU = choose_device("cpu")
FP32 = choose_precision("fp32", CPU)


def network(stem: int = 2) -> C2FDFT:
    return random_network("sample", mask=True, stem=stem)[0]


def planes(side: int = 32, strength: float = 1.0) -> Tensor:
    """(4, side, side): a picture with a hole, which is black."""
    made = torch.rand((4, side, side), generator=torch.Generator().manual_seed(0))
    made[3] = 0
    made[3, side // 4 : side // 2, side // 3 :] = strength
    made[:3] *= (made[3:] == 0).float()
    return made


@pytest.mark.parametrize("strength", [1.0, 0.25])
def test_it_is_given_holes_filled_smoothly_however_soft_the_mask(strength: float) -> None:
    hole = (planes()[None, 3:] > 0).float()
    y = network().seen(planes(strength=strength)[None])
    torch.testing.assert_close(y[:, :3], filled_smoothly(planes()[None, :3], hole) * 2 - 1, rtol=0, atol=1e-6)
    assert torch.equal(y[:, 3:], hole)


def test_what_lies_under_the_mask_changes_nothing() -> None:
    one, other = planes(), planes()
    other[:3] += 0.5 * other[3:]
    assert torch.equal(restored_at_once(network(), one, 1), restored_at_once(network(), other, 1))


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("stem", [1, 2])
def test_whole_tensors_and_strips_compute_what_forward_does(stem: int, steps: int) -> None:
    with torch.no_grad():
        expected, whole, strips = (
            restored_at_once(network(stem), planes(), steps, how=how) for how in (None, Whole(), Strips(rows=5))
        )
    assert expected.shape == (3, 32, 32)
    torch.testing.assert_close(whole, expected, rtol=0, atol=2e-5)
    torch.testing.assert_close(strips, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("tile", [0, 16])
def test_the_engine_fills_pictures_of_any_size(tile: int) -> None:
    filling, side = network(), 37
    rgb = np.random.default_rng(0).random((side, side, 3), dtype=np.float32)
    mask = np.zeros((side, side), np.float32)
    mask[5:9, 20:] = 1
    plan = make_plan(side, side, filling, tile=tile, precision=FP32, device=CPU)
    result = list(restore_array(filling, rgb, steps=1, seed=0, plan=plan, device=CPU, precision=FP32, mask=mask))[-1]
    assert result.result is not None
    assert result.result.shape == (side, side, 3)
    assert np.isfinite(result.result).all()


@pytest.mark.parametrize("stage", [Coarse(), Fine(steps=(1,)), Fine(steps=(2,), loss="psnr", unroll="one")])
def test_what_is_known_does_not_count(stage: Any) -> None:
    filling, hole = network(), planes()[None, 3:]
    clean = torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(1))

    def call(y: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        made: Tensor = filling(y, torch.zeros_like(x_t), t)  # what the noised target shows is not looked at
        return made

    def loss(target: Tensor) -> float:
        batch = Batch(target, torch.cat([clean * (1 - hole), hole], dim=1), slice(0, 1), 1)
        return float(stage.losses(filling, call, batch, torch.Generator().manual_seed(2), {})["loss"].item())

    assert loss(clean + 0.3 * (1 - hole)) == pytest.approx(loss(clean), rel=1e-6)
    assert loss(clean + 0.3 * hole) != pytest.approx(loss(clean), rel=1e-3)


def test_a_batch_is_not_changed_by_being_looked_at() -> None:
    for filling, count in ((network(), 4), (random_network("sample")[0], 3)):
        degraded = planes()[None, :count].clone()
        batch = Batch(torch.rand(1, 3, 32, 32), degraded.clone(), slice(0, 1), 1)
        Fine(steps=(1,)).losses(filling, filling, batch, torch.Generator().manual_seed(0), {})
        assert torch.equal(batch.degraded, degraded)


@pytest.mark.parametrize("stem", [1, 2])
def test_it_can_begin_as_a_network_without_a_mask_and_then_sees_the_smooth_fill_alone(stem: int) -> None:
    plain, filling = random_network("sample", stem=stem, seed=3)[0], network(stem)
    filling.load_state_dict(filling.begun_from(plain.state_dict()))
    y, x_t, t = filling.seen(planes()[None]), torch.rand(1, 3, 32, 32), torch.tensor([999.0])
    torch.testing.assert_close(filling(y, x_t, t), plain(y[:, :3], x_t, t), rtol=0, atol=1e-5)
    own = filling.state_dict()
    assert filling.begun_from(own) is own
    assert plain.begun_from(own) is own


def test_the_mask_is_a_setting_like_any_other() -> None:
    config = C2FDFTConfig(dim=16, mask=True)
    assert config.planes == 4
    assert C2FDFTConfig().planes == 3
    assert C2FDFTConfig.from_mapping(config.to_mapping()) == config
