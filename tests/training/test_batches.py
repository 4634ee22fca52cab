"""What a batch is made of: crops, pairs that stay pairs, the authors' shared window, mixup."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import darken, smooth_pairs, smooth_photos, tiny
from torch import Tensor

from dfrestore.errors import UsageError
from dfrestore.training.batches import (
    Place,
    cut,
    draw_batch,
    eighth_turn,
    loader_batch,
    mixup,
    shared_window_places,
    turned_side,
)
from dfrestore.training.config import TrainConfig, with_stage
from dfrestore.training.data import degrade_crops, generator_for
from dfrestore.training.photos import Photos


def settings(**data: Any) -> TrainConfig:
    """Crops of 16, 4 at a time; then of 32, 2 at a time."""
    config = tiny(coarse=40, fine=0)
    data = {"clean_fraction": 0.0, "jpeg_fraction": 0.0, "half_scale": 0.0, **data}
    config = with_stage(config, "coarse", patches=(16, 32), batches=(4, 2), patch_period=10)
    return replace(config, data=replace(config.data, **data))


def coordinates(count: int, height: int = 96, width: int = 90) -> Photos:
    """Photos whose pixels tell where they are: red the row, green the column, blue the photo; the input is equal."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = tuple(torch.stack([rows, columns, torch.full_like(rows, i)]).byte() for i in range(count))
    return Photos(tuple(map(str, range(count))), pixels, inputs=pixels)


def corners(batch: Tensor) -> Tensor:
    """Row, column and photo of each crop's first pixel."""
    return (batch[:, :, 0, 0] * 255).round()


def test_a_batch_follows_from_its_iteration_alone() -> None:
    config, photos = settings(mixup=True), smooth_photos()
    first, again = (draw_batch(photos, config, 0, 7, darken) for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], draw_batch(photos, config, 0, 8, darken)[0])


@pytest.mark.parametrize("crops", ["independent", "shared-window"])
@pytest.mark.parametrize("iteration", [0, 10])
def test_both_pictures_of_a_pair_are_cropped_and_mirrored_alike(crops: str, iteration: int) -> None:
    clean, degraded = draw_batch(smooth_pairs(), settings(crops=crops), 0, iteration, None)
    assert torch.equal((degraded * 255).round(), (clean * 255).round() // 2)
    assert clean.shape == ((4, 3, 16, 16) if iteration < 10 else (2, 3, 32, 32))


def test_pairs_are_neither_degraded_nor_reduced() -> None:
    config = settings(jpeg_fraction=1.0, half_scale=1.0)
    clean, degraded = draw_batch(coordinates(3), config, 0, 0, None)
    assert torch.equal(clean, degraded)
    assert ((clean[:, 1, :, 1:] - clean[:, 1, :, :-1]).abs() * 255).round().unique().tolist() == [1]


def test_crops_are_enlarged_before_they_are_degraded() -> None:
    photos = replace(coordinates(3), inputs=())
    steps = []
    for iteration in range(10):
        clean, degraded = draw_batch(photos, settings(enlarged=0.5, flip=False), 0, iteration, darken)
        assert clean.shape == degraded.shape == (4, 3, 16, 16)
        assert (degraded < clean * 0.6 + 1 / 255).all()
        steps += ((clean[:, 1, :, 8] - clean[:, 1, :, 7]) * 255).mean(dim=1).tolist()
    plain = sum(abs(step - 1) < 1e-3 for step in steps)
    assert 10 <= plain <= 30
    assert min(steps) < 0.7
    assert all(0.45 < step < 1.001 for step in steps)


def test_parts_of_the_crops_are_no_more_than_all_of_them() -> None:
    with pytest.raises(UsageError, match=r"half_scale 0.7 and enlarged 0.4"):
        settings(half_scale=0.7, enlarged=0.4)


def busy_photos() -> Photos:
    rng = np.random.default_rng(1)
    return Photos(("p.png",), (torch.from_numpy(rng.integers(0, 256, (3, 96, 96), dtype=np.uint8)),))


def busy(crops: Tensor) -> Tensor:
    """How much each crop changes from pixel to pixel."""
    return (crops[..., 1:] - crops[..., :-1]).abs().mean(dim=(1, 2, 3))


def test_a_part_of_the_crops_is_put_out_of_focus_before_they_are_degraded() -> None:
    soft = []
    for iteration in range(10, 22):
        plain, _ = draw_batch(busy_photos(), settings(), 0, iteration, darken)
        clean, degraded = draw_batch(busy_photos(), settings(defocused=0.5), 0, iteration, darken)
        assert (degraded < clean * 0.6 + 1 / 255).all()
        assert torch.equal(clean, (clean * 255).round() / 255)
        same = [torch.equal(a, b) for a, b in zip(clean, plain, strict=True)]
        less = busy(clean) < 0.95 * busy(plain)
        assert not any(a and b for a, b in zip(same, less.tolist(), strict=True))
        soft += less.tolist()
    assert 4 <= sum(soft) <= 20


def test_shares_of_crops_are_from_0_to_1() -> None:
    with pytest.raises(UsageError, match=r"data.defocused 1.5 is not from 0 to 1"):
        settings(defocused=1.5)


def test_of_pairs_a_part_gets_its_target_as_input() -> None:
    config, pairs = settings(clean_fraction=0.25), smooth_pairs()
    kept = 0
    for iteration in range(10):
        clean, degraded = draw_batch(pairs, config, 0, iteration, None)
        kept += sum(torch.equal(a, b) for a, b in zip(clean, degraded, strict=True))
    assert 3 <= kept <= 20


def test_clean_photos_are_degraded() -> None:
    clean, degraded = draw_batch(smooth_photos(), settings(), 0, 0, darken)
    assert (degraded.mean() / clean.mean()).item() == pytest.approx(0.5, abs=0.1)


def test_without_flip_no_crop_is_mirrored() -> None:
    clean, _ = draw_batch(coordinates(3), settings(flip=False), 0, 0, None)
    assert (clean[:, 1, :, 1:] > clean[:, 1, :, :-1]).all()


def test_a_part_of_the_crops_is_turned_together_with_what_fell_on_them() -> None:
    upright = draw_batch(smooth_pairs(), settings(), 0, 0, None)
    for share, turns in ((1.0, 1), (0.0, 0)):
        turned = draw_batch(smooth_pairs(), settings(quarter_turn=share), 0, 0, None)
        for a, b in zip(upright, turned, strict=True):
            assert torch.equal(torch.rot90(a, turns, (-2, -1)), b)


def test_crops_of_photos_smaller_than_the_patch_are_mirrored_at_bottom_and_right() -> None:
    crop = cut(coordinates(1, 20, 24).pixels[0], Place(0, 0.9, 0.9, 32, flip=False)) * 255
    assert crop.shape == (3, 32, 32)
    assert crop[0, 18:22, 0].round().tolist() == [18, 19, 19, 18]  # the edge is repeated
    assert crop[1, 0, 22:26].round().tolist() == [22, 23, 23, 22]


def test_a_tenth_of_the_inputs_stays_clean() -> None:
    data = settings(clean_fraction=0.1).data
    clean = torch.rand(1000, 3, 8, 8, generator=generator_for(0, 1))
    degraded = degrade_crops(clean, darken, data, generator_for(0, 2))
    kept = (degraded - clean).abs().flatten(1).amax(1) < 1 / 255
    assert 0.07 < kept.float().mean().item() < 0.13


def test_an_epoch_of_the_loader_gives_every_photo_once() -> None:
    batches = [loader_batch(12, 4, i, (0, 0), generator_for(0)) for i in range(6)]
    for epoch in (batches[:3], batches[3:]):
        assert sorted(chain.from_iterable(epoch)) == list(range(12))
    assert batches[:3] != batches[3:]


def test_incomplete_batches_of_the_loader_are_dropped() -> None:
    assert all(len(loader_batch(11, 4, i, (0, 0), generator_for(0))) == 4 for i in range(6))


def test_fewer_photos_than_a_batch_are_repeated() -> None:
    assert set(loader_batch(2, 8, 0, (0, 0), generator_for(0))) <= {0, 1}


def test_one_window_of_the_current_size_is_taken_from_crops_of_the_largest() -> None:
    places = shared_window_places([0, 1, 2, 3], 64, 16, True, generator_for(1))
    assert len({place.window for place in places}) == 1
    assert len({(place.row, place.column) for place in places}) == 4
    assert {place.size for place in places} == {64}


def test_the_window_is_taken_after_mirroring() -> None:
    pixels = coordinates(1).pixels[0]
    plain = cut(pixels, Place(0, 0.0, 0.0, 64, flip=True))
    top, left, side = 5, 9, 16
    window = cut(pixels, Place(0, 0.0, 0.0, 64, flip=True, window=(top, left, side)))
    assert torch.equal(window, plain[:, top : top + side, left : left + side])


def test_the_largest_crop_is_its_own_window() -> None:
    places = shared_window_places([0], 64, 64, False, generator_for(1))
    assert places[0].window == (0, 0, 64)


def test_windows_reach_every_place_of_a_photo() -> None:
    config, photos = settings(crops="shared-window", flip=False), coordinates(4, 40, 40)
    found = torch.cat([corners(draw_batch(photos, config, 0, i % 10, None)[0]) for i in range(10)])
    assert found[:, 0].max() > 15
    assert found[:, 1].min() < 9
    assert len(found[:, 2].unique()) == 4


def test_mixup_mixes_both_pictures_with_one_weight() -> None:
    clean = torch.stack([torch.zeros(3, 4, 4), torch.ones(3, 4, 4)])
    weights = []
    for i in range(400):
        new, other = mixup(clean, 1 - clean, generator_for(4, i))
        assert torch.allclose(other, 1 - new)
        assert len(new[0].unique()) == 1
        assert torch.allclose(new[0] + new[1], torch.ones(3, 4, 4))
        if not torch.equal(new, clean):
            weights.append(new[0, 0, 0, 0].item())
    assert 60 < len(weights) < 140  # half of the batches, and of these half with an order that changes places
    assert abs(sum(weights) / len(weights) - 0.5) < 0.1
    assert len(set(weights)) == len(weights)


def test_mixup_leaves_a_batch_of_one_alone() -> None:
    clean = torch.rand(1, 3, 4, 4)
    for i in range(10):
        assert torch.allclose(mixup(clean, clean, generator_for(5, i))[0], clean)


def test_an_eighth_of_a_turn_keeps_what_is_straight() -> None:
    """A ramp along one diagonal becomes a ramp along one side."""
    side = 32
    whole = turned_side(side)
    down, right = torch.meshgrid(torch.arange(whole), torch.arange(whole), indexing="ij")
    turned = eighth_turn((down + right)[None].float(), side)[0]
    steps = turned.diff(dim=1)
    assert torch.allclose(steps, torch.full_like(steps, 2**0.5), atol=1e-3)
    assert turned.diff(dim=0).abs().max() < 1e-3
    assert float(turned.mean()) == pytest.approx(whole - 1, abs=1e-3)  # the middle stays the middle
    assert turned_side(256) == 364


def test_pairs_are_turned_by_an_eighth_alike() -> None:
    straight, turned = (draw_batch(smooth_pairs(), settings(eighth_turn=share), 0, 0, None) for share in (0.0, 1.0))
    clean, degraded = turned
    assert clean.shape == straight[0].shape
    assert not torch.equal(clean, straight[0])
    assert (clean / 2 - degraded).abs().max() < 2 / 255  # the inputs of these pairs are half as bright
    again = draw_batch(smooth_pairs(), settings(eighth_turn=1.0), 0, 0, None)
    assert torch.equal(clean, again[0])
