"""The speed of training: the step in each way to compute it, all of it, and the drawing of batches."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from training.tiny_runs import darken, smooth_pairs, smooth_photos, tiny

from dfrestore.benchmark.throughput import Throughput, noise_photos, sizes_of, throughput
from dfrestore.degrade import KINDS
from dfrestore.errors import UsageError
from dfrestore.training.config import TrainConfig, with_stage
from dfrestore.training.photos import Photos
from dfrestore.training.settings import load_preset

CONFIG = tiny(coarse=4, fine=4)


def with_precision(precision: str) -> TrainConfig:
    return load_preset("smoke", "derain", {"model": {"network": {"dim": 8}}, "optim": {"precision": precision}})


def measured(config: TrainConfig, photos: Photos, *sizes: tuple[int, int]) -> list[Throughput]:
    return list(throughput(config, photos, darken, sizes, rounds=1))


def test_each_size_is_a_row_in_the_order_given() -> None:
    rows = measured(CONFIG, smooth_photos(), (32, 2), (16, 3))
    assert [(row.patch, row.batch) for row in rows] == [(32, 2), (16, 3)]


def test_training_in_bf16_is_measured_beside_both_networks_in_fp32() -> None:
    (row,) = measured(with_precision("bf16"), smooth_photos(), (32, 2))
    assert [(way.function, way.dtype, way.training) for way in row.ways] == [
        ("forward", "float32", False),
        ("walk", "float32", False),
        ("walk", "bfloat16", True),
    ]


def test_training_in_fp32_is_measured_once() -> None:
    (row,) = measured(with_precision("fp32"), smooth_photos(), (32, 2))
    assert [(way.function, way.dtype, way.training) for way in row.ways] == [
        ("forward", "float32", False),
        ("walk", "float32", True),
    ]


def test_the_numbers_of_a_row_agree_with_each_other() -> None:
    (row,) = measured(with_precision("bf16"), smooth_photos(), (32, 4))
    for way in row.ways:
        assert way.patches_per_second == pytest.approx(4 / way.seconds)
        assert way.ratio == pytest.approx(row.ways[0].seconds / way.seconds)
    assert row.step_seconds == pytest.approx(row.ways[-1].seconds + row.update_seconds)
    assert row.update_seconds > 0
    assert row.draw_share == pytest.approx(row.draw_seconds / row.step_seconds)


def test_an_iteration_lasts_until_its_step_and_the_next_batch_are_done() -> None:
    slow = 0.3

    def slowly(clean: Tensor, preset: str, generator: torch.Generator) -> Tensor:
        time.sleep(slow)
        return clean

    (row,) = throughput(CONFIG, smooth_photos(), slowly, [(16, 1)], rounds=1)
    assert row.draw_seconds >= slow
    assert row.iteration_seconds >= slow


def test_the_ways_take_turns() -> None:
    happened: list[str] = []

    def drawn(clean: Tensor, preset: str, generator: torch.Generator) -> Tensor:
        happened.append("draw")
        return clean

    def called(module: nn.Module, inputs: object, output: object) -> None:
        if type(module).__name__ == "PatchEmbed":  # the fast network calls no modules
            happened.append("forward")

    with register_module_forward_hook(called):
        list(throughput(CONFIG, smooth_photos(), drawn, [(16, 1)], rounds=2))
    assert happened == ["draw", "forward", "draw"] * 3  # one round before those that count; the last draw is beside


def test_a_row_comes_as_soon_as_it_is_measured() -> None:
    rows = throughput(CONFIG, smooth_photos(), darken, [(16, 1), (17, 1)], rounds=1)
    assert next(rows).patch == 16
    with pytest.raises(UsageError, match="patches of 17 pixels: this network takes multiples of 16"):
        next(rows)


def test_pairs_are_measured_without_drawing_on_them() -> None:
    (row,) = throughput(CONFIG, smooth_pairs(), None, [(16, 1)], rounds=1)
    assert row.draw_seconds > 0


def test_the_sizes_of_a_run_are_those_of_the_stages_that_it_has() -> None:
    config = load_preset("compact", "derain")
    assert sizes_of(config) == [(64, 16), (96, 8), (128, 4), (160, 3)]
    config = with_stage(config, "fine", patches=(32,), batches=(5,))
    assert sizes_of(with_stage(config, "coarse", iterations=0)) == [(32, 5)]


def test_photos_of_noise_are_the_same_every_time() -> None:
    first, second = noise_photos(48, 2), noise_photos(48, 2)
    assert [tuple(pixels.shape) for pixels in first.pixels] == [(3, 48, 48)] * 2
    assert all(torch.equal(a, b) for a, b in zip(first.pixels, second.pixels, strict=True))
    assert not torch.equal(*first.pixels)


def test_a_network_that_trains_in_another_form_has_no_row_of_the_papers_form() -> None:
    config = load_preset("smoke-upscale", "upscale", {"model": {"network": {"dim": 4, "heads": [1, 1, 1, 1]}}})
    degrade = KINDS["lowres"].degrade_batch
    (measured,) = throughput(config, smooth_photos(), degrade, [(32, 1)], rounds=1)
    assert {way.function for way in measured.ways} == {"walk"}
    with pytest.raises(UsageError, match="multiples of 32"):
        list(throughput(config, smooth_photos(), degrade, [(40, 1)], rounds=1))
