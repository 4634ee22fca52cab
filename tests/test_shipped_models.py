"""The models that ship do their work: drawn damage on an example becomes less, and a photo that needs nothing stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfrestore import Auto, Restorer
from dfrestore.degrade import KINDS
from dfrestore.metrics import psnr, to_8bit
from dfrestore.photo import read
from dfrestore.restore.remedies import ORDER
from dfrestore.weights.registry import load_registry

CHELSEA = Path(__file__).parents[1] / "examples" / "pairs" / "target" / "chelsea.jpg"
# task -> kind, preset, the gain in dB that is the least on this photo, and the least PSNR of the clean photo to itself
FLOORS = {
    "derain": ("rain", "storm", 6.0, 40.0),
    "denoise": ("noise", "gaussian25", 7.0, 38.0),
    "dejpeg": ("jpeg", "q20", 0.8, 40.0),
    "deblur": ("blur", "linear", 0.8, 40.0),
    "dehaze": ("haze", "bench", 3.0, 34.0),
    "desnow": ("snow", "snow", 5.0, 40.0),
    "raindrop": ("drops", "bench", 2.5, 38.0),
    "defocus": ("defocus", "bench", 0.3, 38.0),
}


def test_every_default_that_restores_in_place_is_measured_here() -> None:
    registry = load_registry(user=False)
    assert FLOORS.keys() | {"upscale", "inpaint", "detect"} == registry.defaults.keys()
    assert all(name in registry.models for name in registry.defaults.values())


@pytest.mark.parametrize("task", FLOORS)
def test_a_shipped_model_takes_away_what_it_is_for_and_leaves_the_rest(task: str) -> None:
    kind, preset, gain, kept = FLOORS[task]
    clean = read(CHELSEA).rgb[:200, :256]
    damaged = to_8bit(KINDS[kind].apply(clean, preset, 1))
    restorer = Restorer.from_pretrained(task, device="cpu", precision="fp32")
    same = to_8bit(clean)
    before, after, untouched = psnr(damaged, same), psnr(restorer(damaged), same), psnr(restorer(same), same)
    print(f"{task}: {before:.2f} -> {after:.2f} dB; clean {untouched:.2f} dB")
    assert after > before + gain
    assert untouched > kept


@pytest.mark.parametrize(
    ("kind", "preset", "task"),
    [
        ("noise", "gaussian25", "denoise"),
        ("jpeg", "q10", "dejpeg"),
        ("rain", "storm", "derain"),
        ("snow", "snow", "desnow"),
        ("haze", "bench", "dehaze"),
        ("drops", "bench", "raindrop"),
    ],
)
def test_the_shipped_detector_finds_what_auto_then_takes_away(kind: str, preset: str, task: str) -> None:
    clean = read(CHELSEA).rgb
    damaged = to_8bit(KINDS[kind].apply(clean, preset, 1))
    result, repair = Auto.from_pretrained(device="cpu", precision="fp32").with_repair(damaged)
    print(repair.words)
    assert (repair.tried[0].task, repair.tried[0].result) == (task, "kept")
    assert psnr(result, to_8bit(clean)) > psnr(damaged, to_8bit(clean)) + 0.5


def test_auto_leaves_clean_photos_and_derains_the_rainy_ones() -> None:
    auto = Auto.from_pretrained(device="cpu", precision="fp32")
    assert auto.tasks == tuple(task for task in ORDER if task != "upscale")  # each has a model
    for folder, tasks in (("target", []), ("input", ["derain"])):
        for path in sorted((CHELSEA.parents[1] / folder).glob("*.jpg")):
            planned = auto.planned(read(path).rgb).planned
            assert [remedy.task for remedy in planned] == tasks, path


def test_models_on_a_base_hold_no_part_of_it() -> None:
    registry = load_registry(user=False)
    small = [entry for entry in registry.models.values() if entry.base]
    assert small
    for entry in small:
        assert entry.local_path is not None
        assert entry.local_path.stat().st_size < 2_000_000
        assert registry.models[entry.base].local_path is not None
    assert np.all([registry.models[entry.base].task == "texture" for entry in small])
