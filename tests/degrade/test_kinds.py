"""The table of degradations that training and the command line share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dfrestore.degrade
from dfrestore.cli.degrade import PRESETS
from dfrestore.degrade import KINDS
from dfrestore.tasks import TASKS
from dfrestore.training.data import degradation

WITHOUT_METHOD = ("upscale", "inpaint")  # their tasks come with a method that can do them


def test_the_command_line_knows_the_same_kinds_and_presets() -> None:
    assert {name: kind.presets for name, kind in KINDS.items()} == {
        name: tuple(known) for name, known in PRESETS.items()
    }


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_a_task_and_a_preset_for_training(name: str) -> None:
    kind = KINDS[name]
    assert kind.name == name
    assert "mixed" in kind.presets
    assert kind.task in TASKS or kind.task in WITHOUT_METHOD
    if kind.task in TASKS:
        assert degradation(kind.task) == kind.degrade_batch


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_works_on_batches_and_on_photos(name: str) -> None:
    clean = torch.full((2, 3, 24, 24), 0.5)
    side, channels = 24 // KINDS[name].scale("mixed"), 4 if KINDS[name].mask else 3
    assert KINDS[name].degrade_batch(clean, "mixed", torch.Generator().manual_seed(1)).shape == (
        2,
        channels,
        side,
        side,
    )
    photo = np.full((24, 24, 3), 0.5, np.float32)
    assert KINDS[name].apply(photo, "mixed", 1).shape == (side, side, channels)
    assert np.array_equal(KINDS[name].apply(photo, "mixed", 1), KINDS[name].apply(photo, "mixed", 1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_draws_the_same_on_another_device(name: str) -> None:
    clean = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    kind = KINDS[name]
    presets = [preset for preset in kind.presets if 48 % kind.scale(preset) == 0]
    for preset in presets:
        here, there = (
            kind.degrade_batch(clean.to(device), preset, torch.Generator().manual_seed(1)) for device in ("cpu", "cuda")
        )
        assert there.device.type == "cuda"
        assert float((here - there.cpu()).abs().mean()) < 2e-3


def test_the_short_names_are_rain() -> None:
    assert dfrestore.degrade.degrade_batch == KINDS["rain"].degrade_batch
