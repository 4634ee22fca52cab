"""A run that builds on a file: what it starts with, what it writes, and what it needs to go on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import partly
import pytest
import torch
from partly import ANEW, OWN, SPEC, save_prior, save_small, settings, tensors_of
from tiny_runs import smooth_pairs
from torch import Tensor

from dfrestore.errors import StartError, UsageError, WeightsError
from dfrestore.methods import METHODS, load_network
from dfrestore.training.base import RunBase, base_of_model, base_of_run, named_base, with_base
from dfrestore.training.checkpoints import load_state
from dfrestore.training.config import TrainConfig
from dfrestore.training.floor import keep_start, resume
from dfrestore.training.run import open_run, read_run, save_model, train
from dfrestore.training.settings import configure, model_values
from dfrestore.training.start import require_start
from dfrestore.training.toml import merge
from dfrestore.training.trainer import Trainer
from dfrestore.weights import load_checkpoint, read_spec, save_checkpoint


@pytest.fixture(autouse=True)
def method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "partly", partly.METHOD)
    monkeypatch.setenv("DFRESTORE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def base(tmp_path: Path) -> RunBase:
    save_prior(tmp_path / "apart" / "prior.safetensors")
    return named_base(str(tmp_path / "apart" / "prior.safetensors"))


def run_on(base: RunBase, **more: Any) -> TrainConfig:
    return with_base(configure("settings", settings(**more)), base, {})


def trainer_on(base: RunBase, config: TrainConfig | None = None) -> Trainer:
    return Trainer(config or run_on(base), smooth_pairs(), None, base=base.tensors)


def same(tensors: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return tensors.keys() == others.keys() and all(torch.equal(t, others[name]) for name, t in tensors.items())


# -- what it starts with --------------------------------------------------------------------------------------------


def test_the_network_starts_with_the_tensors_of_the_base(base: RunBase) -> None:
    trainer = trainer_on(base)
    for network in (trainer.network, trainer.ema):
        state = network.state_dict()
        assert all(torch.equal(state[name], tensor.float()) for name, tensor in base.tensors.items())
    require_start(trainer)  # what its stage needs is there


def test_the_tensors_of_a_start_model_win(base: RunBase, tmp_path: Path) -> None:
    anew = torch.ones_like(base.tensors[ANEW])
    own = save_small(tmp_path / "small.safetensors", base.sha256, **{ANEW: anew})
    trainer = trainer_on(base)
    trainer.load_weights({**base.tensors, **own})
    assert torch.equal(trainer.network.state_dict()[ANEW], anew.float())
    assert torch.equal(trainer.network.state_dict()[OWN], own[OWN].float())


def test_without_a_base_the_stage_says_what_is_missing() -> None:
    trainer = Trainer(configure("settings", settings()), smooth_pairs(), None)
    with pytest.raises(StartError, match="the stage ends builds on what prior trains; give prior iterations, or name"):
        require_start(trainer)


def test_the_base_s_settings_take_the_place_of_a_preset_s_and_not_of_a_user_s(base: RunBase) -> None:
    wide = configure("settings", merge(settings(), {"model": {"network": {"dim": 16}}}))
    assert with_base(wide, base, {}).model.network["dim"] == 8
    with pytest.raises(UsageError, match=r"model\.network\.dim is 16, but 8 in the base, .*prior\.safetensors"):
        with_base(wide, base, {"network": {"dim": 16}})


def test_the_base_s_sampling_takes_the_place_of_a_preset_s_and_not_of_a_user_s_or_a_model_s(tmp_path: Path) -> None:
    noise = replace(SPEC, sampling={"prediction": "epsilon", "sampler": "dpmpp-2m"})
    save_prior(tmp_path / "noise.safetensors", noise)
    base, config = named_base(str(tmp_path / "noise.safetensors")), configure("settings", settings())
    assert with_base(config, base, {}).model.sampling == noise.sampling
    of_user = with_base(config, base, {"sampling": {"prediction": "sample"}}).model.sampling
    assert of_user == {"prediction": "sample", "sampler": "dpmpp-2m"}
    assert with_base(config, base, None).model.sampling == {"prediction": "sample"}


def test_a_base_of_another_method_is_refused(base: RunBase) -> None:
    config = configure("settings", {"model": {"method": "c2f-dft", "network": partly.NETWORK}})
    with pytest.raises(UsageError, match="is a partly file, so it is no base for c2f-dft"):
        with_base(config, base, {})


def test_a_base_whose_tensors_are_not_the_network_s_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "odd.safetensors", {"odd": torch.ones(2), OWN: torch.ones(3)}, SPEC)
    with pytest.raises(UsageError, match=r"as a base it does not fit .*'output\.weight' \[3\] instead of"):
        run_on(named_base(str(tmp_path / "odd.safetensors")))


def test_a_file_that_builds_on_another_is_no_base(base: RunBase, tmp_path: Path) -> None:
    save_small(tmp_path / "small.safetensors", base.sha256)
    with pytest.raises(UsageError, match="builds on another file itself, texture/prior, so it is no base"):
        run_on(named_base(str(tmp_path / "small.safetensors")))


# -- what it writes -------------------------------------------------------------------------------------------------


def test_the_file_holds_what_the_base_lacks_and_what_the_stages_train(base: RunBase, tmp_path: Path) -> None:
    trainer = trainer_on(base)
    open_run(tmp_path / "run", trainer.config)
    list(train(trainer, tmp_path / "run"))
    tensors, spec = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert tensors.keys() == {OWN, ANEW}
    assert spec.base is not None
    assert (spec.base.name, spec.base.sha256) == ("prior", base.sha256)
    network, _ = load_network(tmp_path / "run" / "model.safetensors", base=base.path)
    stored = {name: tensor.to(torch.bfloat16) for name, tensor in network.state_dict().items()}
    assert same(stored, {**base.tensors, **tensors})


def test_a_stage_that_trains_all_writes_all(base: RunBase, tmp_path: Path) -> None:
    trainer = trainer_on(base, run_on(base, stages={"prior": {"iterations": 1, "patches": [32]}}))
    save_model(trainer, tmp_path / "model.safetensors")
    assert load_checkpoint(tmp_path / "model.safetensors")[0].keys() == tensors_of().keys()


def test_what_a_start_model_has_made_different_is_written_though_nothing_trains_it(
    base: RunBase, tmp_path: Path
) -> None:
    other = "latent.0.attn.temperature"
    trainer = trainer_on(base)
    trainer.load_weights({**tensors_of(), other: tensors_of()[other] + 1})
    save_model(trainer, tmp_path / "model.safetensors")
    assert load_checkpoint(tmp_path / "model.safetensors")[0].keys() == {OWN, ANEW, other}


def test_checkpoints_hold_neither_averages_of_frozen_tensors_nor_the_base_s(base: RunBase) -> None:
    trainer = trainer_on(base)
    assert trainer.state_dict()["network"].keys() == trainer.state_dict()["ema"].keys() == {OWN, ANEW}
    frozen = "latent.0.attn.temperature"
    assert trainer.ema.get_parameter(frozen) is trainer.network.get_parameter(frozen)


# -- going on -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stopped_after", [1, 3])
def test_a_stopped_run_goes_on_bit_for_bit(base: RunBase, stopped_after: int, tmp_path: Path) -> None:
    whole = trainer_on(base)
    list(whole.run())
    run = tmp_path / "run"
    open_run(run, run_on(base))
    stream = train(trainer_on(base), run)
    for _ in range(stopped_after):
        next(stream)
    stream.close()
    config = read_run(run)
    again = base_of_run(config, run)
    assert again is not None
    resumed = trainer_on(again, config)
    assert load_state(resumed, run) == []
    assert 0 < resumed.done < 4
    list(resumed.run())
    for ours, theirs in ((whole.network, resumed.network), (whole.ema, resumed.ema)):
        assert same(ours.state_dict(), theirs.state_dict())


def test_a_run_remembers_name_content_and_place_of_its_base(base: RunBase, tmp_path: Path) -> None:
    open_run(tmp_path / "run", run_on(base))
    model = read_run(tmp_path / "run").model
    assert (model.base, model.base_sha256, model.base_file) == ("prior", base.sha256, str(base.path))


def test_a_run_does_not_go_on_without_its_base(base: RunBase, tmp_path: Path) -> None:
    run = tmp_path / "run"
    open_run(run, run_on(base))
    moved = base.path.rename(tmp_path / "moved.safetensors")
    save_prior(base.path, seed=1)  # another one of the same name
    with pytest.raises(WeightsError) as error:
        base_of_run(read_run(run), run)
    assert str(error.value).startswith(f"{run / 'config.toml'}: builds on 'prior', sha256 ")
    assert str(error.value).endswith(f"not on this machine; put that file into {run} or give --base FILE")
    with pytest.raises(WeightsError, match="is not the base of"):
        base_of_run(read_run(run), run, base.path)
    assert base_of_run(read_run(run), run, moved) is not None
    moved.rename(run / "any name.safetensors")
    assert base_of_run(read_run(run), run) is not None


def test_a_run_whose_settings_no_longer_fit_its_base_does_not_go_on(base: RunBase, tmp_path: Path) -> None:
    open_run(tmp_path / "run", run_on(base))
    with pytest.raises(UsageError, match=r"model\.network\.dim is 16, but 8 in the base"):
        base_of_run(read_run(tmp_path / "run", {"model": {"network": {"dim": 16}}}), tmp_path / "run")


# -- finetuning -----------------------------------------------------------------------------------------------------


def begun(base: RunBase, run: Path, lr: float = 1e-3) -> Trainer:
    """A finetuning of a small model on this base."""
    own = save_small(run.parent / "small.safetensors", base.sha256)
    known = base_of_model(read_spec(run.parent / "small.safetensors"), run, known=base)
    changes = {"model": model_values(SPEC), "stages": {"ends": {**settings()["stages"]["ends"], "lr": lr}}}
    config = with_base(configure("settings", merge(settings(), changes)), known, {})
    trainer = trainer_on(base, config)
    spec = read_spec(run.parent / "small.safetensors")
    open_run(run, config, lambda: keep_start(trainer, run, own, spec))
    return trainer


def test_a_finetuned_model_builds_on_the_same_base(base: RunBase, tmp_path: Path) -> None:
    list(train(begun(base, tmp_path / "run"), tmp_path / "run"))
    tensors, spec = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert tensors.keys() == {OWN, ANEW}
    assert spec.base == read_spec(tmp_path / "small.safetensors").base


def test_a_finetuning_without_gain_ends_with_the_small_file_that_it_started_from(base: RunBase, tmp_path: Path) -> None:
    list(train(begun(base, tmp_path / "run", lr=30.0), tmp_path / "run"))
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (tmp_path / "small.safetensors").read_bytes()


def test_a_finetuning_that_was_stopped_at_once_starts_over_from_its_start_model(base: RunBase, tmp_path: Path) -> None:
    run = tmp_path / "run"
    begun(base, run)
    (run / "checkpoints" / "00000000.pt").unlink()
    trainer = trainer_on(base, read_run(run))
    assert resume(trainer, run) == []
    assert torch.equal(trainer.network.state_dict()[OWN], tensors_of()[OWN].float())
