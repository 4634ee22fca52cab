"""Runs of DTPM: a prior, a task on top of it, what their files hold, and resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import darken, smooth_photos

from dfrestore.errors import StartError, UsageError
from dfrestore.methods import load_network
from dfrestore.training.base import named_base, with_base
from dfrestore.training.checkpoints import load_state
from dfrestore.training.config import TrainConfig, with_stage
from dfrestore.training.run import open_run, train
from dfrestore.training.settings import load_preset
from dfrestore.training.start import prepare, require_start
from dfrestore.training.trainer import Trainer
from dfrestore.weights import load_checkpoint

TINY: dict[str, Any] = {
    "model": {"network": {"width": 4, "time_features": 4, "semantic": "null", "semantic_features": 4}},
    "validate_every": 2,
    "log_every": 1,
    "data": {"validation": 2, "validation_size": 32},
    "optim": {"precision": "fp32", "ema": 0.5},
}
TASK = {"predictor": True, "predictor_width": 4, "predictor_encoder": [1], "predictor_decoder": [1], "adapters": True}


def prior_config(iterations: int = 2) -> TrainConfig:
    config = load_preset("smoke-texture", "texture", TINY)
    return with_stage(config, "prior", iterations=iterations, patches=(32,), batches=(4,), warmup=0)


def task_config(iterations: int = 4, trained: str = "adapters") -> TrainConfig:
    network = {**TINY["model"]["network"], **TASK}
    config = load_preset("smoke-dtpm", "dehaze", {**TINY, "model": {"network": network}})
    return with_stage(
        config, "adapt", iterations=iterations, patches=(32,), batches=(4,), warmup=0, trained=trained, aux_weight=0.5
    )


def run(config: TrainConfig, folder: Path, base: Path | None = None) -> Trainer:
    below = named_base(str(base)) if base else None
    if below is not None:
        config = with_base(config, below, {})
    trainer = Trainer(config, smooth_photos(), darken, base=below.tensors if below else None)
    prepare(trainer)
    require_start(trainer)
    open_run(folder, config)
    for _ in train(trainer, folder):
        pass
    return trainer


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prior") / "run"
    run(prior_config(), folder)
    return folder / "model.safetensors"


def test_a_prior_is_a_model_of_its_own(prior: Path) -> None:
    network, spec = load_network(prior)
    assert (spec.task, spec.method, spec.base) == ("texture", "dtpm", None)
    assert {name.split(".")[0] for name in network.state_dict()} == {"denoiser", "semantic"}


def test_a_task_holds_what_stage_two_trains_and_nothing_of_the_frozen_prior(prior: Path, tmp_path: Path) -> None:
    run(task_config(), tmp_path / "run", prior)
    file = tmp_path / "run" / "model.safetensors"
    tensors, spec = load_checkpoint(file)
    assert {name.split(".")[0] for name in tensors} == {"denoiser", "predictor", "adapters"}
    assert {name for name in tensors if name.startswith("denoiser")} == {"denoiser.intro.weight", "denoiser.intro.bias"}
    assert spec.base is not None
    below, _ = load_checkpoint(prior)
    network, _ = load_network(file, base=prior)
    for name, tensor in network.state_dict().items():
        if name in below and name not in tensors:
            assert torch.equal(tensor, below[name].float()), name
    assert not torch.equal(network.state_dict()["denoiser.intro.weight"], below["denoiser.intro.weight"].float())


def test_a_stopped_run_of_each_stage_goes_on_bit_for_bit(prior: Path, tmp_path: Path) -> None:
    for config, base in ((prior_config(4), None), (task_config(4), prior)):
        straight = tmp_path / f"{config.task}-straight"
        stopped = tmp_path / f"{config.task}-stopped"
        whole = run(config, straight, base)
        below = named_base(str(base)) if base else None
        config = with_base(config, below, {}) if below else config
        tensors = below.tensors if below else None
        open_run(stopped, config)
        first = Trainer(config, smooth_photos(), darken, base=tensors)
        stream = train(first, stopped)
        while first.done < 2:
            next(stream)
        stream.close()
        second = Trainer(config, smooth_photos(), darken, base=tensors)
        load_state(second, stopped)
        for _ in train(second, stopped):
            pass
        for name, tensor in whole.network.state_dict().items():
            assert torch.equal(tensor, second.network.state_dict()[name]), name


def test_without_a_prior_stage_two_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"the stage adapt builds on what prior trains.*--base"):
        run(task_config(), tmp_path / "run")


def test_without_stage_one_everything_is_trained_and_stored(tmp_path: Path) -> None:
    run(task_config(2, trained="all"), tmp_path / "run")
    tensors, spec = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert spec.base is None
    assert {name.split(".")[0] for name in tensors} == {"denoiser", "semantic", "predictor", "adapters"}


def test_a_prior_has_neither_predictor_nor_adapters(tmp_path: Path) -> None:
    config = load_preset("smoke-texture", "texture", {"model": {"network": TASK}})
    with pytest.raises(UsageError, match="neither predictor nor adapters"):
        run(config, tmp_path / "run")


def test_the_predictors_psnr_is_in_the_log(prior: Path, tmp_path: Path) -> None:
    run(task_config(1), tmp_path / "run", prior)
    assert "psnr_of_guess" in (tmp_path / "run" / "log.jsonl").read_text()
