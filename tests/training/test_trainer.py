"""The trainer and the run folder: learns, resumes bit for bit, survives bad files and interrupts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import darken, smooth_pairs, smooth_photos, tiny
from torch import Tensor

from dfrestore.errors import DfrestoreError, StartError, UsageError
from dfrestore.training.checkpoints import load_state, save_state
from dfrestore.training.config import TrainConfig, with_stage
from dfrestore.training.photos import Photos
from dfrestore.training.records import Diverged, StepRecord, ValidationRecord
from dfrestore.training.run import open_run, read_run, train
from dfrestore.training.trainer import Trainer
from dfrestore.weights import load_checkpoint


@pytest.fixture
def photos() -> Photos:
    return smooth_photos()


def parameters(trainer: Trainer) -> list[Tensor]:
    return [*trainer.network.parameters(), *trainer.ema.parameters()]


def as_the_paper(config: TrainConfig) -> TrainConfig:
    """Mixed-up pairs through a shared window, a fresh optimiser for the fine stage."""
    data = replace(config.data, crops="shared-window", mixup=True, clean_fraction=0.0)
    config = with_stage(config, "fine", patches=(16, 32), batches=(4, 2), fresh_optimizer=True)
    return replace(config, data=data)


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("stopped_after", [5, 7])  # between the stages, and inside the fine one
def test_stopping_and_resuming_equals_going_on_bit_for_bit(stopped_after: int, paper: bool, tmp_path: Path) -> None:
    config = as_the_paper(tiny(coarse=5, fine=5)) if paper else tiny(coarse=5, fine=5)
    photos = smooth_pairs() if paper else smooth_photos()
    whole = Trainer(config, photos, darken)
    losses = [r.loss for r in whole.run() if isinstance(r, StepRecord)]

    first = Trainer(config, photos, darken)
    part = []
    stream = first.run()
    for record in stream:
        if isinstance(record, StepRecord):
            part.append(record.loss)
        if len(part) == stopped_after:
            stream.close()
            break
    open_run(tmp_path, config)
    save_state(first, tmp_path)
    second = Trainer(read_run(tmp_path), photos, darken)
    assert load_state(second, tmp_path) == []
    part += [r.loss for r in second.run() if isinstance(r, StepRecord)]

    assert part == losses
    assert all(torch.equal(a, b) for a, b in zip(parameters(whole), parameters(second), strict=True))


def test_a_model_with_windows_is_trained_and_judged_with_them(photos: Photos) -> None:
    config = tiny(coarse=1, fine=1)
    config = with_stage(with_stage(config, "coarse", patches=(64,)), "fine", patches=(64,))
    config = replace(config, data=replace(config.data, validation_size=64))
    losses, scores = {}, {}
    for window in ("global", 64, "8@1", "8@2"):  # level 1 has 32 x 32 positions, level 2 no more than one cell has
        trainer = Trainer(replace(config, model=replace(config.model, window=window)), photos, darken)
        losses[window] = [r.loss for r in trainer.run() if isinstance(r, StepRecord)]
        scores[window] = trainer.validate()[0]
        assert trainer.spec.window == window
    assert losses["global"] == losses[64] == losses["8@2"] != losses["8@1"]
    assert scores["global"] == scores[64] == scores["8@2"] != scores["8@1"]


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
    assert (spec.task, spec.licence, spec.trained_on) == ("derain", "CC0", "noise")
    assert spec.sampling["prediction"] == "sample"
    assert read_run(tmp_path) == config
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) >= 6
    assert json.loads((tmp_path / "RESULT.json").read_text())["training_photos"] == 8
    with Image.open(tmp_path / "curves.png") as plot:
        assert plot.size[0] > 100
    assert list((tmp_path / "samples").glob("*.png"))


def test_scalars_are_written_where_tensorboard_is_installed(photos: Photos, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    open_run(tmp_path, config := tiny(coarse=2, fine=4))
    list(train(Trainer(config, photos, darken), tmp_path))
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("fine/loss")] == [3, 4, 5, 6]
    assert "validation/PSNR, 1 steps" in events.Tags()["scalars"]


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
    with pytest.raises(DfrestoreError, match=r"No space .*earlier checkpoints are intact"):
        save_state(trainer, tmp_path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.filterwarnings("ignore")  # torch's own, of its compiler
def test_a_compiled_network_learns_the_same(photos: Photos) -> None:
    config = tiny(coarse=0, fine=2)
    config = with_stage(config, "fine", steps=(1,))
    # all of the compiler but the translation to C++, which takes minutes
    compiled = replace(config, optim=replace(config.optim, compile="aot_eager"))
    plain, fast = (
        [r.loss for r in Trainer(c, photos, darken).run() if isinstance(r, StepRecord)] for c in (config, compiled)
    )
    assert fast == pytest.approx(plain, rel=1e-4)


def test_a_compiler_that_is_not_there_is_named(photos: Photos) -> None:
    config = tiny(coarse=1, fine=0)
    with pytest.raises(UsageError, match="inductr"):
        Trainer(replace(config, optim=replace(config.optim, compile="inductr")), photos, darken)


def test_a_step_with_a_loss_that_is_not_finite_changes_nothing(photos: Photos) -> None:
    trainer = Trainer(tiny(coarse=1, fine=0), photos, lambda c, p, g: c * float("nan"))
    before = [p.clone() for p in parameters(trainer)]
    records = [r for r in trainer.run() if isinstance(r, StepRecord)]
    assert not np.isfinite(records[0].loss)
    assert all(torch.equal(a, b) for a, b in zip(before, parameters(trainer), strict=True))


def test_training_stops_after_repeated_losses_that_are_not_finite(photos: Photos) -> None:
    trainer = Trainer(tiny(coarse=50, fine=0), photos, lambda c, p, g: c * float("nan"))
    with pytest.raises(Diverged, match="without a finite loss"):
        list(trainer.run())


def test_a_run_that_stays_without_a_finite_loss_leaves_the_batch_and_its_log(photos: Photos, tmp_path: Path) -> None:
    config = replace(tiny(coarse=50, fine=0), log_every=1000, validate_every=1000)
    open_run(tmp_path, config)
    trainer = Trainer(config, photos, lambda c, p, g: c * float("nan"))
    shown = []
    with pytest.raises(Diverged, match=r"bad-batch\.pt"):
        shown += list(train(trainer, tmp_path))
    batch = torch.load(tmp_path / "bad-batch.pt", weights_only=True)
    assert batch["clean"].shape == batch["degraded"].shape == (4, 3, 32, 32)
    assert batch["degraded"].isnan().any()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == [None] * 20


def test_an_optimizer_made_afresh_enters_the_fine_stage_without_moments(photos: Photos) -> None:
    config = tiny(coarse=3, fine=1)
    trainer = Trainer(with_stage(config, "fine", fresh_optimizer=True), photos, darken)
    list(trainer.run())
    assert {int(state["step"]) for state in trainer.optimizer.state.values()} == {1}


def test_training_on_pairs_needs_no_degradation_and_beats_the_input() -> None:
    config = tiny(coarse=0, fine=40)
    trainer = Trainer(replace(config, validate_every=40), smooth_pairs(), None)
    records = list(trainer.run())
    validations = [r for r in records if isinstance(r, ValidationRecord)]
    assert validations[-1].psnr[1] > validations[-1].psnr_input + 1


def test_held_out_photos_are_not_trained_on(photos: Photos) -> None:
    trainer = Trainer(tiny(1, 0), photos, darken)
    assert len(trainer.held_out.photos.names) == 2
    assert not set(trainer.held_out.photos.names) & set(trainer.train_photos.names)
