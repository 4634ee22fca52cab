"""A disk that refuses while a run is trained: what was saved before is whole, and one line says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_runs import darken, smooth_photos, tiny

from dfrestore.errors import DfrestoreError
from dfrestore.training.checkpoints import load_state, save_best, save_state
from dfrestore.training.config import TrainConfig
from dfrestore.training.records import StepRecord
from dfrestore.training.run import open_run, train
from dfrestore.training.trainer import Trainer

pytestmark = pytest.mark.skipif(os.name == "nt", reason="limits files as POSIX does")


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Writing beyond so many bytes of a file fails, as on a full disk."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def config() -> TrainConfig:
    return replace(tiny(coarse=4, fine=0), validate_every=100)


def begun(config: TrainConfig, folder: Path) -> Trainer:
    """A trainer that has done two steps and saved them."""
    open_run(folder, config)
    trainer = Trainer(config, smooth_photos(), darken)
    for record in trainer.run():
        if isinstance(record, StepRecord) and record.iteration == 2:
            break
    save_state(trainer, folder)
    return trainer


@pytest.mark.parametrize("size", [0, 4096, 60_000])
def test_a_checkpoint_that_does_not_fit_leaves_the_one_before_whole(
    config: TrainConfig, tmp_path: Path, size: int
) -> None:
    trainer = begun(config, tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
    trainer.iteration += 1
    for save in (save_state, save_best):
        with files_limited_to(size), pytest.raises(DfrestoreError, match=r"cannot be saved \(File too large\)"):
            save(trainer, tmp_path)
    assert {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()} == before
    again = Trainer(config, smooth_photos(), darken)
    assert load_state(again, tmp_path) == []
    assert again.done == 2


def test_a_run_goes_on_once_there_is_room(config: TrainConfig, tmp_path: Path) -> None:
    begun(config, tmp_path)
    trainer = Trainer(config, smooth_photos(), darken)
    load_state(trainer, tmp_path)
    with files_limited_to(4096), pytest.raises(DfrestoreError, match="continue with --resume"):
        list(train(trainer, tmp_path))
    again = Trainer(config, smooth_photos(), darken)
    load_state(again, tmp_path)
    assert again.done == 2
    list(train(again, tmp_path))
    assert (tmp_path / "model.safetensors").is_file()


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux does")
def test_a_full_disk_is_named_as_such(config: TrainConfig, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting needs the superuser")
    try:
        open_run(folder / "run", config)
        with pytest.raises(DfrestoreError, match=r"cannot be saved \(No space left on device\); free some space"):
            save_state(Trainer(config, smooth_photos(), darken), folder / "run")
        assert list((folder / "run" / "checkpoints").iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
