"""What DiffIR is trained on: pairs of other sizes and with masks, and what does not fit together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffir_runs import tiny, trainer_of
from PIL import Image

from dfrestore.errors import UsageError
from dfrestore.training.check import load_data
from dfrestore.training.config import DataConfig
from dfrestore.training.fit import preset_for, require_fit
from dfrestore.training.settings import configure, load_preset
from dfrestore.training.toml import merge
from dfrestore.training.trainer import Trainer


def save(path: Path, pixels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def ramp(height: int, width: int) -> Any:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, rows + columns], axis=2).astype(np.uint8)


def test_crops_of_pairs_of_other_sizes_show_the_same_place(tmp_path: Path) -> None:
    small = ramp(41, 47)
    for i in range(6):
        save(tmp_path / "lr" / f"{i}.png", small)
        save(tmp_path / "hr" / f"{i}.png", np.pad(small.repeat(4, 0).repeat(4, 1), ((0, 3), (0, 2), (0, 0))))
    photos = load_data(DataConfig(pairs=(str(tmp_path),)), scale=4)
    assert [tuple(p.shape) for p in photos.pixels] == [(3, 164, 188)] * 6  # what the input does not show is cut
    config = tiny()
    trainer = Trainer(config, photos, None)
    for iteration in range(4):
        clean, degraded = trainer.draw(iteration)
        assert degraded.shape == (4, 3, 16, 16)
        assert torch.equal(clean, degraded.repeat_interleave(4, 2).repeat_interleave(4, 3))
    clean, degraded = (pictures[0] for pictures in trainer.held_out.pairs())
    assert torch.equal(clean, degraded.repeat_interleave(4, 1).repeat_interleave(4, 2))


def test_pairs_whose_sizes_do_not_fit_the_scale_are_left_out_and_told(tmp_path: Path) -> None:
    save(tmp_path / "lr" / "a.png", ramp(40, 40))
    save(tmp_path / "hr" / "a.png", ramp(80, 80))
    photos = load_data(DataConfig(pairs=(str(tmp_path),)), scale=4)
    assert photos.names == ()
    (finding,) = photos.findings
    assert (finding.kind, finding.left_out) == ("sizes", True)


@pytest.mark.parametrize(("side", "multiple"), [(15, 8), (17, 32)])
def test_pairs_smaller_than_the_network_takes_are_left_out_and_told(tmp_path: Path, side: int, multiple: int) -> None:
    for name, small in (("a", side), ("b", 32)):
        save(tmp_path / "lr" / f"{name}.png", ramp(small, 40))
        save(tmp_path / "hr" / f"{name}.png", ramp(4 * small, 160))
    photos = load_data(DataConfig(pairs=(str(tmp_path),)), scale=4, multiple=multiple)
    assert photos.names == ("b",)
    (finding,) = photos.findings
    assert finding.kind == "small"
    assert finding.text.endswith(f"a.png: 160x{4 * side} is smaller than {4 * max(16, multiple)} pixels")


def test_the_smallest_pairs_that_are_kept_are_validated(tmp_path: Path) -> None:
    for i in range(6):
        save(tmp_path / "lr" / f"{i}.png", ramp(16, 16))
        save(tmp_path / "hr" / f"{i}.png", ramp(64, 64))
    photos = load_data(DataConfig(pairs=(str(tmp_path),)), scale=4, multiple=8)
    scores, _ = Trainer(tiny(), photos, None).validate()
    assert all(score > 0 for score in scores.values())


def test_pairs_with_masks_are_black_in_the_hole(tmp_path: Path) -> None:
    target = ramp(64, 64)
    hole = np.zeros((64, 64), np.uint8)
    hole[10:50, 20:60] = 255
    for i in range(3):
        save(tmp_path / "target" / f"{i}.png", target)
        save(tmp_path / "input" / f"{i}.png", np.full_like(target, 200))
        save(tmp_path / "mask" / f"{i}.png", hole)
    save(tmp_path / "target" / "3.png", target)
    save(tmp_path / "input" / "3.png", target)
    photos = load_data(DataConfig(pairs=(str(tmp_path),)), masks=True)
    assert len(photos.masks) == len(photos.names) == 3
    assert [finding.kind for finding in photos.findings] == ["no mask"]
    trainer = Trainer(tiny("inpaint"), photos, None)
    _, degraded = trainer.draw(0)
    assert degraded.shape[1] == 4
    inside = degraded[:, 3] == 1
    assert inside.any()
    assert not degraded[:, :3].movedim(1, -1)[inside].any()
    assert degraded[:, :3].movedim(1, -1)[~inside].allclose(torch.tensor(200 / 255))


def test_validation_keeps_what_is_known() -> None:
    trainer = trainer_of(tiny("inpaint"))
    clean, degraded = trainer.held_out.pairs()
    known = (degraded[0][3:] == 0).expand(3, -1, -1)
    assert torch.equal(trainer.restore(0, 4)[known], clean[0][known])


@pytest.mark.parametrize(
    ("task", "preset", "settings", "message"),
    [
        (
            "upscale",
            "smoke-upscale",
            {"model": {"network": {"scale": 2}}},
            "data.preset can be x2, mixed-x2 or real-x2",
        ),
        ("upscale", "smoke-upscale", {"stages": {"s1": {"patches": [100]}}}, "stages.s1: .* multiples of 32"),
        ("upscale", "smoke", {}, "leaves|smaller"),
        ("upscale", "smoke-upscale", {"data": {"validation_size": 16}}, "validation_size 16: .* sides of 32 pixels"),
        ("inpaint", "smoke-inpaint", {"data": {"mixup": True}}, "data.mixup .* half a hole; leave it out"),
        ("inpaint", "smoke", {}, "takes no mask"),
        ("derain", "smoke", {"model": {"method": "diffir", "network": {"mask": True, "dim": 4}}}, "fills holes"),
    ],
)
def test_what_does_not_fit_together_is_refused_before_anything_is_read(
    task: str, preset: str, settings: dict[str, Any], message: str
) -> None:
    if task == "derain":
        config = configure(
            "test", {"task": "derain", "model": {**settings["model"], "default_steps": 4}, "data": {"clean": ["x"]}}
        )
    else:
        config = load_preset(preset, task, merge({"data": {"clean": ["x"]}}, settings))
    with pytest.raises(UsageError, match=message):
        require_fit(config)


@pytest.mark.parametrize(
    ("task", "scale", "preset"), [("upscale", 4, "mixed"), ("upscale", 2, "mixed-x2"), ("derain", 1, "mixed")]
)
def test_finetuning_takes_the_degradation_of_the_models_factor(task: str, scale: int, preset: str) -> None:
    assert preset_for(task, scale) == preset
