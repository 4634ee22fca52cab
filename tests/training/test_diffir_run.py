"""Runs of DiffIR: three stages in one, and what each leaves behind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffir_runs import TASKS, run, stopped_and_resumed, tiny, trainer_of, with_gan

from dfrestore.errors import StartError, UsageError, WeightsError
from dfrestore.methods import load_network
from dfrestore.methods.diffir.objective import CriticConfig, PerceptualConfig
from dfrestore.methods.diffir.stages import GAN, Joint
from dfrestore.training.settings import configure, preset_values
from dfrestore.training.start import require_start
from dfrestore.weights import load_checkpoint, resolve


@pytest.mark.parametrize("task", TASKS)
def test_one_command_trains_all_stages_and_the_model_restores(tmp_path: Path, task: str) -> None:
    run(tiny(task), tmp_path)
    network, spec = load_network(tmp_path / "model.safetensors")
    assert (spec.method, spec.stage, spec.task) == ("diffir", "", task)
    assert not any(name.startswith("E.") for name in network.state_dict())
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {entry["validation"]["stage"] for entry in log if "validation" in entry} == {"s1", "warm", "joint"}
    assert all({"reconstruction", "prior"} <= entry.keys() for entry in log if entry.get("stage") == "joint")


@pytest.mark.parametrize(("stages", "file"), [({}, "model"), ({"warm": 0, "joint": 0}, "S1")])
def test_the_parameters_that_are_told_are_the_model_s(tmp_path: Path, stages: dict[str, int], file: str) -> None:
    trainer = run(tiny(**stages), tmp_path)
    tensors, _ = load_checkpoint(tmp_path / f"{file}.safetensors")
    count = sum(tensor.numel() for tensor in tensors.values())
    assert json.loads((tmp_path / "RESULT.json").read_text())["parameters"] == count
    assert f"{count / 1e6:.2f} M parameters" in trainer.describe()


def test_what_s1_trained_has_a_file_of_its_own_that_restores_nothing(tmp_path: Path) -> None:
    trainer = run(tiny(), tmp_path)
    tensors, spec = load_checkpoint(tmp_path / "S1.safetensors")
    assert spec.stage == "S1"
    assert {name.partition(".")[0] for name in tensors} == {"G", "E"}
    assert torch.equal(
        tensors["E.mlp.0.weight"].float(), trainer.network.state_dict()["E.mlp.0.weight"].bfloat16().float()
    )
    with pytest.raises(UsageError, match="S1"):
        resolve(str(tmp_path / "S1.safetensors"), task="upscale")


def test_the_diffusion_starts_from_the_averages_of_s1_and_leaves_its_encoder_as_it_is() -> None:
    trainer = trainer_of(tiny(s1=3, warm=2, joint=2))
    averages: dict[str, torch.Tensor] = {}
    for record in trainer.run():
        if getattr(record, "stage", "") == "s1" and record.iteration == 3:
            averages = {name: tensor.clone() for name, tensor in trainer.ema.state_dict().items()}
            online = trainer.network.state_dict()["E.mlp.0.weight"].clone()
    assert not torch.equal(averages["E.mlp.0.weight"], online)
    for network in (trainer.network, trainer.ema):
        encoder = {name: tensor for name, tensor in network.state_dict().items() if name.startswith("E.")}
        assert all(torch.equal(tensor, averages[name]) for name, tensor in encoder.items())


def test_g_stays_as_it_is_while_the_diffusion_is_trained_alone() -> None:
    trainer = trainer_of(tiny(s1=2, warm=3, joint=0))
    states = [
        (record.stage, trainer.network.state_dict()["G.latent.0.attn.qkv.weight"].clone())
        for record in trainer.run()
        if hasattr(record, "loss")
    ]
    warm = [weight for stage, weight in states if stage == "warm"]
    assert all(torch.equal(weight, warm[0]) for weight in warm)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_a_stopped_run_goes_on_bit_for_bit_across_the_borders_of_stages(tmp_path: Path, steps: int) -> None:
    config = tiny()
    whole = run(config, tmp_path / "whole")
    second = stopped_and_resumed(config, tmp_path / "parts", steps)
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name]), name
    for name, tensor in whole.ema.state_dict().items():
        assert torch.equal(tensor, second.ema.state_dict()[name]), name
    models = [load_checkpoint(tmp_path / part / "model.safetensors")[0] for part in ("whole", "parts")]
    assert all(torch.equal(tensor, models[1][name]) for name, tensor in models[0].items())


@pytest.mark.parametrize("stages", [{"s1": 0, "warm": 2, "joint": 0}, {"s1": 0, "warm": 0, "joint": 2}])
def test_stages_that_build_on_s1_need_it(stages: dict[str, int]) -> None:
    trainer = trainer_of(tiny(**stages))
    with pytest.raises(StartError, match="builds on what s1 trains"):
        require_start(trainer)


def test_a_later_stage_needs_it_too() -> None:
    config = with_gan()
    joint = replace(config.stages["joint"], own=Joint())
    config = replace(config, stages={**config.stages, "joint": joint, "s1": replace(config.stages["s1"], iterations=0)})
    config = replace(config, stages={**config.stages, "warm": replace(config.stages["warm"], iterations=0)})
    gan = replace(config.stages["gan"], own=GAN(prior_weight=1.0))
    with pytest.raises(StartError, match="the stage gan builds on what s1 trains"):
        require_start(trainer_of(replace(config, stages={**config.stages, "gan": gan})))


def test_a_missing_file_of_an_extra_is_found_before_the_first_step() -> None:
    config = with_gan()
    own = GAN(critic=CriticConfig("unet", features=4), perceptual=PerceptualConfig(vgg="/nowhere/vgg.pth"))
    gan = replace(config.stages["gan"], own=own)
    with pytest.raises(WeightsError, match=r"vgg\.pth"):
        require_start(trainer_of(replace(config, stages={**config.stages, "gan": gan})))


def test_a_run_goes_on_from_the_file_of_s1(tmp_path: Path) -> None:
    run(tiny(warm=0, joint=0), tmp_path / "one")
    assert not (tmp_path / "one" / "model.safetensors").exists()
    tensors, spec = load_checkpoint(tmp_path / "one" / "S1.safetensors")
    trainer = trainer_of(tiny(s1=0))
    trainer.load_weights(tensors, spec.stage)
    require_start(trainer)
    for name in ("G.latent.0.attn.qkv.weight", "E.mlp.0.weight"):
        assert torch.equal(trainer.network.state_dict()[name], tensors[name].float())
    for _ in trainer.run():
        pass


def test_a_finished_model_is_trained_on_without_the_ground_truths_encoder(tmp_path: Path) -> None:
    run(tiny(), tmp_path / "one")
    tensors, spec = load_checkpoint(tmp_path / "one" / "model.safetensors")
    changes = {"s1": {"iterations": 0}, "warm": {"iterations": 0}, "joint": {"prior_weight": 0.0}}
    values = preset_values("smoke-upscale")
    network = {"model": {"network": spec.network}, "optim": {"precision": "fp32"}}
    patches = {name: {**stage, "patches": [64]} for name, stage in changes.items()}
    config = configure("test", values, {**network, "stages": patches, "data": {"validation": 0}})
    trainer = trainer_of(config)
    trainer.load_weights(tensors, spec.stage)
    require_start(trainer)
    before = trainer.network.state_dict()["condition.mlp.0.weight"].clone()
    next(iter(trainer.run()))
    assert not torch.equal(before, trainer.network.state_dict()["condition.mlp.0.weight"])


def test_start_weights_of_another_network_are_named() -> None:
    trainer = trainer_of(tiny(s1=0))
    tensors = {name: tensor for name, tensor in trainer.network.state_dict().items() if not name.startswith("E.")}
    tensors["G.patch_embed.proj.weight"] = torch.zeros(8, 3, 3, 3)
    with pytest.raises(StartError, match=r"patch_embed.*\[8, 3, 3, 3\] instead of \[4, 3, 3, 3\]"):
        trainer.load_weights(tensors)
