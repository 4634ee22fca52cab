"""The presets of C2F-DFT's paper against what its authors' option files and training code say."""

from __future__ import annotations

import pytest

from dfrestore.methods import build_network
from dfrestore.methods.c2f_dft.stages import Fine
from dfrestore.training.config import StageConfig, spec_of
from dfrestore.training.schedules import learning_rate, patch_and_batch
from dfrestore.training.settings import load_preset

TASKS = ("derain", "deblur", "denoise")
RAIN, OTHERS = (32, 64, 128), (64, 128, 256)

# stage, iterations, base rate, periods, second minimum, patches, batches, patch period, cycles
TABLE = [
    ("derain", "coarse", 270_000, 3e-4, (50_000, 220_000), 1e-5, RAIN, (360, 96, 24), 10_000, 9),
    ("deblur", "coarse", 330_000, 3e-4, (50_000, 280_000), 1e-5, OTHERS, (96, 24, 6), 10_000, 9),
    ("denoise", "coarse", 270_000, 3e-4, (50_000, 220_000), 1e-5, OTHERS, (96, 24, 6), 10_000, 9),
    ("derain", "fine", 90_000, 1e-5, (10_000, 80_000), 1e-7, RAIN, (96, 24, 6), 5_000, 6),
    ("deblur", "fine", 30_000, 4e-5, (10_000, 20_000), 1e-6, OTHERS, (24, 6, 1), 5_000, 2),
    ("denoise", "fine", 90_000, 4e-5, (10_000, 80_000), 1e-6, OTHERS, (24, 6, 1), 5_000, 6),
]

# the authors' scheduler class, iterations counted from 1
RATES = [
    ("derain", "coarse", {1: 3e-4, 50_001: 3e-4, 105_001: 2.57530483e-4, 160_001: 1.55e-4, 270_000: 1e-5}),
    ("deblur", "coarse", {1: 3e-4, 50_001: 3e-4, 190_001: 1.55e-4, 330_000: 1e-5}),
    ("denoise", "coarse", {1: 3e-4, 50_001: 3e-4, 215_001: 5.24695167e-5, 270_000: 1e-5}),
    ("derain", "fine", {1: 1e-5, 10_001: 1e-5, 50_001: 5.05e-6, 90_000: 1.00000004e-7}),
    ("deblur", "fine", {1: 4e-5, 10_001: 4e-5, 20_001: 2.05e-5, 30_000: 1.00000024e-6}),
    ("denoise", "fine", {1: 4e-5, 10_001: 4e-5, 50_001: 2.05e-5}),
]


def stage_of(task: str, name: str) -> StageConfig:
    return load_preset(f"paper-{task}").stages[name]


@pytest.mark.parametrize(
    ("task", "name", "iterations", "lr", "periods", "minimum", "patches", "batches", "period", "cycles"), TABLE
)
def test_stages_are_the_authors(
    task: str,
    name: str,
    iterations: int,
    lr: float,
    periods: tuple[float, ...],
    minimum: float,
    patches: tuple[int, ...],
    batches: tuple[int, ...],
    period: int,
    cycles: int,
) -> None:
    stage = stage_of(task, name)
    assert (stage.iterations, stage.lr, stage.periods, stage.minima) == (iterations, lr, periods, (lr, minimum))
    assert (stage.patches, stage.batches, stage.patch_period, stage.patch_cycles) == (patches, batches, period, cycles)
    assert stage.warmup == 0


@pytest.mark.parametrize(("task", "name", "rates"), RATES)
def test_learning_rates_are_the_authors(task: str, name: str, rates: dict[int, float]) -> None:
    for k, rate in rates.items():
        assert learning_rate(stage_of(task, name), k - 1) == pytest.approx(rate, rel=1e-6), k


@pytest.mark.parametrize(("task", "name"), [row[:2] for row in TABLE])
def test_patches_change_after_each_period_and_the_last_stay(task: str, name: str) -> None:
    stage = stage_of(task, name)
    entries = list(zip(stage.patches, stage.batches, strict=True))
    switches = range(0, 3 * stage.patch_cycles * stage.patch_period, stage.patch_period)
    for i, start in enumerate(switches):
        assert patch_and_batch(stage, start) == entries[i % 3]  # iteration start + 1, counted from 1
        assert patch_and_batch(stage, start + stage.patch_period - 1) == entries[i % 3]
    assert patch_and_batch(stage, stage.iterations - 1) == entries[-1]


def test_coarse_deblurring_stays_at_the_largest_patches_for_its_last_60000_iterations() -> None:
    stage = stage_of("deblur", "coarse")
    assert {patch_and_batch(stage, k - 1) for k in (260_001, 270_000, 270_001, 300_001, 330_000)} == {(256, 6)}
    assert patch_and_batch(stage, 260_000 - 1) == (128, 24)


@pytest.mark.parametrize("task", TASKS)
def test_optimiser_loss_and_data_are_the_authors(task: str) -> None:
    config = load_preset(f"paper-{task}")
    assert (config.task, config.seed) == (task, 100)
    optim = config.optim
    assert (optim.weight_decay, optim.ema, optim.clip, optim.precision) == (1e-4, 0.999, 0.0, "fp32")
    assert config.stages["fine"].own == Fine(steps=(4,), loss="ms-ssim-255", ssim_weight=0.84)
    assert config.stages["fine"].fresh_optimizer  # theirs is a run of its own
    data = config.data
    assert (data.clean_fraction, data.jpeg_fraction, data.half_scale) == (0, 0, 0)
    assert (data.crops, data.flip, data.mixup) == ("shared-window", True, task != "derain")
    assert config.validate_every == 1000


@pytest.mark.parametrize(
    ("task", "parameters"), [("derain", 25_363_344), ("deblur", 25_363_344), ("denoise", 25_349_136)]
)
def test_networks_have_the_authors_size(task: str, parameters: int) -> None:
    spec = spec_of(load_preset(f"paper-{task}"))
    assert (spec.sampling, spec.default_steps) == ({"prediction": "epsilon"}, 4)
    network = build_network(spec)
    assert sum(p.numel() for p in network.parameters()) == parameters
