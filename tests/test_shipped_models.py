"""The models that ship do their work: drawn damage on an example becomes less, and a photo that needs nothing stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dfrestore import Auto, Restorer
from dfrestore.degrade import KINDS
from dfrestore.metrics import psnr, psnr_hole, to_8bit
from dfrestore.nn.fill import without_holes
from dfrestore.photo import read
from dfrestore.photo.enlarged import resized
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


@pytest.mark.parametrize(("preset", "gain"), [("strokes", 0.5), ("scratches", 0.5)])
def test_the_shipped_model_for_holes_fills_them_better_than_smoothly(preset: str, gain: float) -> None:
    clean = read(CHELSEA).rgb[:200, :256]
    given = KINDS["holes"].apply(clean, preset, 1)
    mask = given[..., 3]
    planes = torch.from_numpy(given).permute(2, 0, 1)[None]
    smooth = without_holes(planes)[0, :3].permute(1, 2, 0).numpy()
    filled = Restorer.from_pretrained("inpaint", device="cpu", precision="fp32")(given[..., :3].copy(), mask=mask)
    before, after = (psnr_hole(to_8bit(made), to_8bit(clean), mask) for made in (smooth, filled))
    print(f"{preset}: filled smoothly {before:.2f}, by the model {after:.2f} dB")
    assert after > before + gain
    assert np.array_equal(filled[mask == 0], given[..., :3][mask == 0])


@pytest.mark.parametrize(("model", "preset", "gain"), [("compact", "x4", 0.5), ("x2", "x2", 1.0)])
def test_a_shipped_model_enlarges_better_than_a_bicubic_filter(model: str, preset: str, gain: float) -> None:
    clean = read(CHELSEA).rgb[:200, :256]
    small = KINDS["lowres"].apply(clean, preset, 1)
    large = Restorer.from_pretrained("upscale", model, device="cpu", precision="fp32")(small)
    plain = np.stack([resized(plane, *clean.shape[:2]) for plane in np.moveaxis(small, 2, 0)], axis=2)
    before, after = (psnr(to_8bit(made), to_8bit(clean)) for made in (plain, large))
    print(f"{preset}: bicubic {before:.2f}, by the model {after:.2f} dB")
    assert after > before + gain


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
