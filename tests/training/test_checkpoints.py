"""Which checkpoints are kept, and what happens when one is damaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_runs import darken, smooth_photos, tiny

from dfrestore.errors import StartError
from dfrestore.training.checkpoints import load_state, save_state
from dfrestore.training.config import TrainConfig
from dfrestore.training.records import StepRecord
from dfrestore.training.run import open_run, train
from dfrestore.training.trainer import Trainer


@pytest.fixture
def config() -> TrainConfig:
    return replace(tiny(coarse=6, fine=0), validate_every=3)


def saved_each_step(config: TrainConfig, folder: Path) -> Iterator[Trainer]:
    """A trainer whose state is saved after each step."""
    open_run(folder, config)
    trainer = Trainer(config, smooth_photos(), darken)
    for record in trainer.run():
        if isinstance(record, StepRecord):
            save_state(trainer, folder)
            yield trainer


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_the_last_two_stay(config: TrainConfig, tmp_path: Path) -> None:
    list(saved_each_step(config, tmp_path))
    assert names(tmp_path) == ["00000005.pt", "00000006.pt"]


def test_as_many_stay_as_the_settings_say(config: TrainConfig, tmp_path: Path) -> None:
    list(saved_each_step(replace(config, keep_checkpoints=3), tmp_path))
    assert names(tmp_path) == ["00000004.pt", "00000005.pt", "00000006.pt"]


def test_the_best_stays_beside_them(config: TrainConfig, tmp_path: Path) -> None:
    open_run(tmp_path, config)
    list(train(Trainer(config, smooth_photos(), darken), tmp_path))
    assert "best.pt" in names(tmp_path)
    assert torch.load(tmp_path / "checkpoints" / "best.pt", weights_only=True)["iteration"] in (3, 6)


def test_a_damaged_checkpoint_is_said_and_the_one_before_taken(config: TrainConfig, tmp_path: Path) -> None:
    list(saved_each_step(config, tmp_path))
    newest = tmp_path / "checkpoints" / "00000006.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    again = Trainer(config, smooth_photos(), darken)
    (remark,) = load_state(again, tmp_path)
    assert "00000006.pt" in remark
    assert "continuing from the one before" in remark
    assert again.done == 5


def test_a_run_goes_on_bit_for_bit_from_the_checkpoint_before(config: TrainConfig, tmp_path: Path) -> None:
    whole = list(saved_each_step(config, tmp_path))[-1]
    (tmp_path / "checkpoints" / "00000006.pt").write_bytes(b"")
    again = Trainer(config, smooth_photos(), darken)
    load_state(again, tmp_path)
    list(again.run())
    for a, b in zip(whole.ema.parameters(), again.ema.parameters(), strict=True):
        assert torch.equal(a, b)


def test_with_all_damaged_the_run_does_not_start(config: TrainConfig, tmp_path: Path) -> None:
    list(saved_each_step(config, tmp_path))
    for path in (tmp_path / "checkpoints").iterdir():
        path.write_bytes(b"no checkpoint")
    with pytest.raises(StartError, match=r"00000006\.pt.*nor can 1 before it.*to start over"):
        load_state(Trainer(config, smooth_photos(), darken), tmp_path)


def test_settings_that_do_not_fit_the_checkpoint_are_said_and_not_taken_for_damage(
    config: TrainConfig, tmp_path: Path
) -> None:
    list(saved_each_step(config, tmp_path))
    wider = replace(config, model=replace(config.model, network={**config.model.network, "dim": 16}))
    with pytest.raises(StartError, match=r"00000006\.pt: was saved with other settings \(.*size mismatch") as error:
        load_state(Trainer(wider, smooth_photos(), darken), tmp_path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400 + len(str(tmp_path))


def test_without_a_checkpoint_the_run_starts_over(config: TrainConfig, tmp_path: Path) -> None:
    open_run(tmp_path, config)
    trainer = Trainer(config, smooth_photos(), darken)
    assert load_state(trainer, tmp_path) == []
    assert trainer.done == 0


def test_a_run_whose_folder_of_checkpoints_was_removed_starts_over_and_saves(
    config: TrainConfig, tmp_path: Path
) -> None:
    open_run(tmp_path, config)
    (tmp_path / "checkpoints").rmdir()
    trainer = Trainer(config, smooth_photos(), darken)
    assert load_state(trainer, tmp_path) == []
    list(train(trainer, tmp_path))
    assert "00000006.pt" in names(tmp_path)


def test_checkpoints_beyond_the_place_gone_on_from_go_with_the_next_save(config: TrainConfig, tmp_path: Path) -> None:
    list(saved_each_step(config, tmp_path))
    (tmp_path / "checkpoints" / "00000006.pt").write_bytes(b"")
    again = Trainer(config, smooth_photos(), darken)
    load_state(again, tmp_path)
    save_state(again, tmp_path)
    assert names(tmp_path) == ["00000005.pt"]
