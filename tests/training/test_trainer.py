"""The trainer and the run folder: learns, resumes bit for bit, survives bad files and interrupts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dfrestore.errors import StartError
from dfrestore.training.config import DataConfig, TrainConfig, load_preset
from dfrestore.training.data import Photos, degrade_crops, draw_crops, generator_for, load_photos
from dfrestore.training.run import load_state, open_run, read_run, save_state, train
from dfrestore.training.trainer import StepRecord, Trainer, ValidationRecord
from dfrestore.weights import load_checkpoint


def darken(clean: Tensor, preset: str, generator: torch.Generator) -> Tensor:
    """A degradation that can be undone: a seeded gain."""
    return clean * (0.4 + 0.2 * torch.rand(clean.shape[0], 1, 1, 1, generator=generator))


@pytest.fixture
def photos() -> Photos:
    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.integers(0, 256, (10, 3, 12, 12), dtype=np.uint8))
    large = torch.nn.functional.interpolate(small.float(), size=96, mode="bilinear").byte()
    return Photos(tuple(f"p{i}.png" for i in range(10)), tuple(large), ())


def tiny(coarse: int, fine: int) -> TrainConfig:
    config = load_preset("smoke", "derain", {"model": {"network": {"dim": 8}}})
    stage = {"patches": (32,), "batches": (4,), "warmup": 0}
    return replace(
        config,
        validate_every=4,
        log_every=1,
        data=DataConfig(validation=2, validation_size=32),
        coarse=replace(config.coarse, iterations=coarse, **stage),
        fine=replace(config.fine, iterations=fine, steps=(1, 2), **stage),
        optim=replace(config.optim, precision="fp32"),
    )


def parameters(trainer: Trainer) -> list[Tensor]:
    return [*trainer.network.parameters(), *trainer.ema.parameters()]


def test_stopping_and_resuming_equals_going_on_bit_for_bit(photos: Photos, tmp_path: Path) -> None:
    config = tiny(coarse=5, fine=5)
    whole = Trainer(config, photos, darken)
    losses = [r.loss for r in whole.run() if isinstance(r, StepRecord)]

    first = Trainer(config, photos, darken)
    part = []
    stream = first.run()
    for record in stream:
        if isinstance(record, StepRecord):
            part.append(record.loss)
        if len(part) == 7:  # inside the fine stage
            stream.close()
            break
    open_run(tmp_path, config)
    save_state(first, tmp_path)
    second = Trainer(read_run(tmp_path), photos, darken)
    load_state(second, tmp_path)
    part += [r.loss for r in second.run() if isinstance(r, StepRecord)]

    assert part == losses
    assert all(torch.equal(a, b) for a, b in zip(parameters(whole), parameters(second), strict=True))


def test_training_lowers_the_loss_and_beats_the_input(photos: Photos) -> None:
    config = tiny(coarse=10, fine=60)
    records = list(Trainer(replace(config, validate_every=30), photos, darken).run())
    steps = [r for r in records if isinstance(r, StepRecord) and r.stage == "fine"]
    validations = [r for r in records if isinstance(r, ValidationRecord)]
    assert np.mean([r.loss for r in steps[-10:]]) < 0.8 * steps[0].loss
    assert validations[-1].psnr[1] > validations[-1].psnr_input + 1


def test_a_run_folder_holds_log_config_model_and_result(photos: Photos, tmp_path: Path) -> None:
    config = replace(tiny(coarse=2, fine=4), licence="CC0", trained_on="noise")
    open_run(tmp_path, config)
    list(train(Trainer(config, photos, darken), tmp_path))
    _, spec = load_checkpoint(tmp_path / "model.safetensors")
    assert (spec.task, spec.prediction, spec.licence, spec.trained_on) == ("derain", "sample", "CC0", "noise")
    assert read_run(tmp_path) == config
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) >= 6
    assert json.loads((tmp_path / "RESULT.json").read_text())["training_photos"] == 8
    with Image.open(tmp_path / "curves.png") as plot:
        assert plot.size[0] > 100
    assert list((tmp_path / "samples").glob("*.png"))


def test_closing_the_records_saves_the_state(photos: Photos, tmp_path: Path) -> None:
    config = tiny(coarse=2, fine=4)
    open_run(tmp_path, config)
    trainer = Trainer(config, photos, darken)
    stream = train(trainer, tmp_path)
    next(stream)
    stream.close()
    again = Trainer(config, photos, darken)
    load_state(again, tmp_path)
    assert again.done == 1
    assert all(torch.equal(a, b) for a, b in zip(parameters(trainer), parameters(again), strict=True))


def test_a_run_folder_is_not_started_over_by_mistake(tmp_path: Path) -> None:
    open_run(tmp_path, TrainConfig())
    with pytest.raises(StartError, match="--resume"):
        open_run(tmp_path, TrainConfig())


def test_a_failed_save_leaves_the_last_checkpoint(
    photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(coarse=2, fine=0)
    open_run(tmp_path, config)
    trainer = Trainer(config, photos, darken)
    path = save_state(trainer, tmp_path)
    before = path.read_bytes()

    def full_disk(state: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_state(trainer, tmp_path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_step_with_a_loss_that_is_not_finite_changes_nothing(photos: Photos) -> None:
    trainer = Trainer(tiny(coarse=1, fine=0), photos, lambda c, p, g: c * float("nan"))
    before = [p.clone() for p in parameters(trainer)]
    records = [r for r in trainer.run() if isinstance(r, StepRecord)]
    assert not np.isfinite(records[0].loss)
    assert all(torch.equal(a, b) for a, b in zip(before, parameters(trainer), strict=True))


def test_training_stops_after_repeated_losses_that_are_not_finite(photos: Photos) -> None:
    trainer = Trainer(tiny(coarse=50, fine=0), photos, lambda c, p, g: c * float("nan"))
    with pytest.raises(StartError, match="without a finite loss"):
        list(trainer.run())


def test_photos_that_cannot_be_read_are_named_and_left_out(tmp_path: Path) -> None:
    Image.new("RGB", (80, 70)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("no picture")
    Image.new("RGB", (8, 8)).save(tmp_path / "small.png")
    photos = load_photos([tmp_path])
    assert photos.names == ("good.png",)
    assert any("bad.png" in line for line in photos.skipped)
    assert any("small.png" in line for line in photos.skipped)


def test_nothing_to_train_on_is_said(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="nothing to train on"):
        load_photos([tmp_path])


def test_a_tenth_of_the_inputs_stays_clean(photos: Photos) -> None:
    data = DataConfig(clean_fraction=0.1, jpeg_fraction=0.0)
    generator = generator_for(0, 1)
    clean = draw_crops(photos, 16, 1000, data, generator)
    degraded = degrade_crops(clean, darken, data, generator)
    kept = (degraded - clean).abs().flatten(1).amax(1) < 1 / 255
    assert 0.07 < kept.float().mean().item() < 0.13


def test_crops_of_photos_smaller_than_the_patch_are_mirrored(photos: Photos) -> None:
    crops = draw_crops(photos, 128, 2, DataConfig(), generator_for(0, 2))
    assert crops.shape == (2, 3, 128, 128)
    assert crops.min() >= 0
    assert crops.max() <= 1


def test_held_out_photos_are_not_trained_on(photos: Photos) -> None:
    trainer = Trainer(tiny(1, 0), photos, darken)
    assert len(trainer.validation_photos.names) == 2
    assert not set(trainer.validation_photos.names) & set(trainer.train_photos.names)
