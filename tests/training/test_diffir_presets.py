"""The presets of DiffIR's paper against what its authors' option files and training code say. (Facts, 5 and 6.)"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dfrestore.methods.diffir import OFFICIAL, DiffIRConfig
from dfrestore.methods.diffir.objective import CriticConfig, PerceptualConfig
from dfrestore.methods.diffir.stages import GAN, S1, Joint
from dfrestore.training.config import TrainConfig
from dfrestore.training.schedules import learning_rate, patch_counts
from dfrestore.training.settings import load_preset

DATA = Path(__file__).parents[1] / "data" / "parity_diffir"

# preset, stage, iterations, (patch, batch) of one GPU, and the rate by iteration, counted from 1. What is halved at
# 500k by a scheduler is so from the iteration after; what is computed as it // 60k is so from the 60000th itself.
DIFFIR_TABLE = [
    ("sr", "s1", 1_000_000, (256, 8), {1: 2e-4, 500_000: 2e-4, 500_001: 1e-4, 700_001: 5e-5, 1_000_000: 5e-5}),
    ("sr", "warm", 0, None, {}),
    ("sr", "joint", 1_000_000, (256, 8), {1: 2e-4, 500_000: 2e-4, 500_001: 1e-4, 700_001: 5e-5, 1_000_000: 5e-5}),
    ("sr", "gan", 400_000, (256, 8), {1: 2e-4, 200_000: 2e-4, 200_001: 1e-4, 400_000: 1e-4}),
    ("realsr", "s1", 1_000_000, (256, 9), {1: 2e-4, 500_000: 2e-4, 500_001: 1e-4, 700_001: 5e-5, 1_000_000: 5e-5}),
    ("realsr", "warm", 100_000, (256, 9), {1: 2e-4, 59_999: 2e-4, 60_000: 2e-5, 100_000: 2e-5}),
    ("realsr", "joint", 900_000, (256, 9), {1: 2e-4, 599_999: 2e-4, 600_000: 1e-4, 900_000: 1e-4}),
    ("realsr", "gan", 400_000, (256, 9), {1: 1e-4, 299_999: 1e-4, 300_000: 5e-5, 400_000: 5e-5}),
    ("inpaint", "s1", 1_000_000, (256, 4), {1: 2e-4, 1_000_000: 2e-4}),
    ("inpaint", "warm", 0, None, {}),
    ("inpaint", "joint", 1_000_000, (256, 4), {1: 2e-4, 1_000_000: 2e-4}),
    ("inpaint", "gan", 0, None, {}),
]


def diffir(name: str) -> TrainConfig:
    return load_preset(f"paper-diffir-{name}")


@pytest.mark.parametrize(("name", "stage_name", "iterations", "crops", "rates"), DIFFIR_TABLE)
def test_stages_of_diffir_are_the_authors(
    name: str, stage_name: str, iterations: int, crops: tuple[int, int] | None, rates: dict[int, float]
) -> None:
    stage = diffir(name).stages[stage_name]
    assert stage.iterations == iterations
    assert crops in (None, *patch_counts(stage))
    assert len(patch_counts(stage)) == 1
    assert stage.warmup == 0
    for k, rate in rates.items():
        assert learning_rate(stage, k - 1) == pytest.approx(rate, rel=1e-9), k


def test_the_deblurring_preset_has_the_authors_rates() -> None:
    expected = json.loads((DATA / "constants.json").read_text())
    config = diffir("deblur")
    for epoch, rate in expected["lr_stage1_deblur_by_last_epoch"].items():
        assert learning_rate(config.stages["s1"], int(epoch)) == pytest.approx(rate, rel=1e-6), epoch
    warm = config.stages["warm"].iterations
    for iteration, rate in expected["lr_stage2_deblur_by_iter"].items():  # counted from 1
        if int(iteration) == warm:  # theirs takes the next phase's rate in this one iteration already
            continue
        stage, place = ("warm", int(iteration)) if int(iteration) < warm else ("joint", int(iteration) - warm)
        assert learning_rate(config.stages[stage], place - 1) == pytest.approx(rate, rel=1e-9), iteration


LAMA = CriticConfig("patch", weight=10.0, matching=100.0, features=64, lr=1e-4)
LAMA_FEATURES = PerceptualConfig(resnet_weight=30.0)
U_NET = CriticConfig("unet", weight=1.0, features=64, lr=1e-4)


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("deblur", {"s1": S1(), "joint": Joint(prior_weight=1.0)}),
        ("sr", {"s1": S1(), "joint": Joint(prior_weight=1.0), "gan": GAN(prior_weight=1.0, critic=U_NET)}),
        (
            "realsr",
            {
                "s1": S1(),
                "joint": Joint(prior_weight=1.0),
                "gan": GAN(prior_weight=1.0, critic=replace(U_NET, rate="constant")),  # halved at its end alone
            },
        ),
        (
            "inpaint",
            {
                "s1": S1(region="known", critic=LAMA, perceptual=LAMA_FEATURES),
                "joint": Joint(region="known", critic=LAMA, perceptual=LAMA_FEATURES, prior_weight=1.0),
            },
        ),
    ],
)
def test_losses_of_diffir_are_the_authors(name: str, stages: dict[str, Any]) -> None:
    config = diffir(name)
    assert {name: config.stages[name].own for name in stages} == stages
    assert all(
        stage.own.loss == "l1" for stage in config.stages.values() if stage.iterations and stage.own.name != "warm"
    )


def test_features_are_weighed_as_the_authors_do_once_their_files_are_named() -> None:
    assert (PerceptualConfig().vgg_weight, PerceptualConfig().resnet_weight) == (1.0, 30.0)


@pytest.mark.parametrize(
    ("name", "betas", "ema", "clip"),
    [
        ("deblur", {"s1": (0.9, 0.999), "warm": (0.9, 0.99), "joint": (0.9, 0.99)}, 0.999, 0.0),
        ("sr", {"s1": (0.9, 0.99), "joint": (0.9, 0.99), "gan": (0.9, 0.99)}, 0.999, 0.0),
        ("realsr", dict.fromkeys(("s1", "warm", "joint", "gan"), (0.9, 0.99)), 0.999, 0.0),
        ("inpaint", {"s1": (0.9, 0.999), "joint": (0.9, 0.999)}, 0.0, 1.0),
    ],
)
def test_optimisers_of_diffir_are_the_authors(
    name: str, betas: dict[str, tuple[float, float]], ema: float, clip: float
) -> None:
    config, optim = diffir(name), diffir(name).optim
    assert (optim.name, optim.weight_decay, optim.ema, optim.clip, optim.precision) == ("adamw", 0.0, ema, clip, "fp32")
    assert {stage: config.stages[stage].betas or optim.betas for stage in config.running} == betas


@pytest.mark.parametrize(
    ("name", "task", "preset", "flip", "quarter", "upside_down"),
    [
        ("deblur", "deblur", None, True, 0.5, 0.5),  # pairs; one of the eight flips and turns
        ("sr", "upscale", "x4", True, 0.5, 0.0),
        ("realsr", "upscale", "real", True, 0.0, 0.0),
        ("inpaint", "inpaint", "lama", False, 0.0, 0.0),
    ],
)
def test_data_of_diffir_are_the_authors(
    name: str, task: str, preset: str | None, flip: bool, quarter: float, upside_down: float
) -> None:
    config = diffir(name)
    data = config.data
    assert (config.task, data.crops == "shared-window") == (task, name == "deblur")
    assert preset in (None, data.preset)
    assert (data.flip, data.quarter_turn, data.upside_down, data.mixup) == (flip, quarter, upside_down, False)
    assert (data.half_scale, data.enlarged) == (0, 0)


def test_deblurring_s_crops_grow_as_the_authors_do() -> None:
    sides, batches = (192, 256, 320, 384, 464, 512), (8, 4, 2, 2, 1, 1)
    lengths = {
        "s1": (92_000, 80_000, 38_000, 33_000, 33_000, 24_000),
        "joint": (50_000, 60_000, 50_000, 60_000, 40_000, 40_000),  # the first 100000 of theirs are the stage warm
    }
    for name, each in lengths.items():
        stage = diffir("deblur").stages[name]
        assert (stage.patches, stage.batches, stage.patch_lengths) == (sides, batches, each)
        assert stage.iterations == sum(each)
    warm = diffir("deblur").stages["warm"]
    assert (warm.iterations, warm.patches, warm.batches) == (100_000, (192,), (8,))


@pytest.mark.parametrize(
    ("name", "config"), [("deblur", "deblur"), ("sr", "sr_x4"), ("realsr", "sr_x4"), ("inpaint", "inpaint")]
)
def test_networks_of_diffir_are_the_authors(name: str, config: str) -> None:
    model = diffir(name).model
    assert DiffIRConfig.from_mapping(model.network) == OFFICIAL[config]
    assert (model.sampling, model.default_steps) == ({"timesteps": 4}, 4)
