"""Runs of the detector: what their folders hold, how they are judged, and resuming."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import smooth_photos

from dfrestore.errors import StartError, UsageError
from dfrestore.methods import load_network
from dfrestore.methods.detector import Detector
from dfrestore.severities import DAMAGES
from dfrestore.training.budget import fit, measure
from dfrestore.training.checkpoints import load_state
from dfrestore.training.config import DataConfig, TrainConfig
from dfrestore.training.data import degradation
from dfrestore.training.finetune import require_trainable
from dfrestore.training.fit import require_fit
from dfrestore.training.records import StepRecord, VerdictRecord
from dfrestore.training.run import open_run, train
from dfrestore.training.settings import load_preset
from dfrestore.training.trainer import Trainer
from dfrestore.weights.header import read_spec

TINY: dict[str, Any] = {
    "model": {"network": {"widths": [8, 8], "blocks": [0, 1], "hidden": 8, "crop": 32, "view": 32}},
    "validate_every": 2,
    "log_every": 1,
    "data": {"validation": 2, "validation_size": 32},
    "stages": {"detect": {"iterations": 4, "patches": [48], "batches": [4], "warmup": 0}},
    "optim": {"precision": "fp32", "ema": 0.5},
}


def tiny_config(**settings: Any) -> TrainConfig:
    return load_preset("smoke-detect", "detect", {**TINY, **settings})


def trainer_of(config: TrainConfig) -> Trainer:
    return Trainer(config, smooth_photos(), degradation(config.task, config.data.preset))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, config = tmp_path_factory.mktemp("detector") / "run", tiny_config()
    open_run(folder, config)
    for _ in train(trainer_of(config), folder):
        pass
    return folder


def test_a_run_makes_a_model_that_tells_severities(run: Path) -> None:
    network, spec = load_network(run / "model.safetensors")
    assert isinstance(network, Detector)
    assert (spec.task, spec.method, spec.stage) == ("detect", "detector", "")
    with torch.no_grad():
        told = network(*network.look(torch.rand(1, 3, 70, 90)))
    assert told.shape == (1, len(DAMAGES))


def test_the_log_has_a_row_for_each_kind_and_the_result_the_best_score(run: Path) -> None:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    validations = [record["validation"] for record in records if "validation" in record]
    assert [validation["iteration"] for validation in validations] == [2, 4]
    for validation in validations:
        assert list(validation["rows"]) == [*DAMAGES, "clean photos"]
        assert set(validation["rows"]["rain"]) == {"error", "found", "false"}
        assert all(0 <= value <= 1 for row in validation["rows"].values() for value in row.values())
    result = json.loads((run / "RESULT.json").read_text())
    assert result["best_score"] == max(validation["score"] for validation in validations)
    assert "best_psnr" not in result
    assert {"entropy", "error"} <= set(records[0])
    assert (run / "curves.png").stat().st_size > 1000
    assert list((run / "samples").iterdir()) == []  # nothing is restored


def test_the_best_state_is_the_model(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trainer = trainer_of(tiny_config())
    trainer.best = 2.0  # better than any score
    records = [record for record in trainer.run() if isinstance(record, VerdictRecord)]
    assert [record.best for record in records] == [False, False]


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, stopped_after: int) -> None:
    config = tiny_config()
    whole = trainer_of(config)
    records = [record.loss for record in whole.run() if isinstance(record, StepRecord)]
    folder = tmp_path / "run"
    open_run(folder, config)
    stream = train(trainer_of(config), folder)
    steps = 0
    for record in stream:
        steps += isinstance(record, StepRecord)
        if steps == stopped_after:
            break
    stream.close()
    again = trainer_of(config)
    assert load_state(again, folder) == []
    assert [record.loss for record in again.run() if isinstance(record, StepRecord)] == records[stopped_after:]
    for name, average in again.ema.state_dict().items():
        assert torch.equal(average, whole.ema.state_dict()[name])


def test_the_time_of_its_steps_and_validations_is_measured() -> None:
    config = tiny_config()
    speed = measure(config, smooth_photos(), degradation("detect"), "cpu", 1.0)
    assert list(speed.steps) == [("detect", 48, 4)]
    assert speed.validation > 0.5
    assert fit(config, replace(speed, steps={("detect", 48, 4): 0.01}, validation=0.1), 30).iterations > 100


def test_its_crops_are_drawn_clean() -> None:
    clean, degraded = trainer_of(tiny_config()).draw(0)
    assert torch.equal((clean * 255).round() / 255, degraded)
    with pytest.raises(UsageError, match="draws every kind of damage itself"):
        degradation("detect", "storm")


def test_pairs_are_refused_for_they_do_not_say_how_severe_what_is() -> None:
    config = replace(tiny_config(), data=DataConfig(pairs=("pairs",)))
    with pytest.raises(UsageError, match="--clean"):
        require_fit(config)


@pytest.mark.parametrize(("preset", "task", "other"), [("smoke", "derain", "detect"), ("smoke-detect", None, "derain")])
def test_a_method_that_restores_is_no_detector_and_the_other_way_round(
    preset: str, task: str | None, other: str
) -> None:
    require_fit(load_preset(preset, task))
    with pytest.raises(UsageError, match=f"not for {other}"):
        require_fit(replace(load_preset(preset, task), task=other))


def test_a_detector_is_not_finetuned_but_trained_on(run: Path) -> None:
    with pytest.raises(StartError, match="train detect --init-from"):
        require_trainable(read_spec(run / "model.safetensors"))
