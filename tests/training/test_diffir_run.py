"""Runs of DiffIR: three stages in one, what each leaves behind, pairs of other sizes and with masks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import smooth_photos

from dfrestore.degrade import KINDS
from dfrestore.errors import StartError, UsageError, WeightsError
from dfrestore.methods import load_network
from dfrestore.methods.diffir.objective import CriticConfig, PerceptualConfig
from dfrestore.methods.diffir.stages import GAN, Joint
from dfrestore.methods.method import Batch
from dfrestore.training.check import load_data
from dfrestore.training.checkpoints import load_state
from dfrestore.training.config import DataConfig, TrainConfig
from dfrestore.training.fit import preset_for, require_fit
from dfrestore.training.run import open_run, train
from dfrestore.training.settings import configure, load_preset, preset_values
from dfrestore.training.start import require_start
from dfrestore.training.trainer import Trainer
from dfrestore.weights import load_checkpoint, resolve

TASKS = {"deblur": "blur", "upscale": "lowres", "inpaint": "holes"}


def tiny(task: str = "upscale", **stages: int) -> TrainConfig:
    """A run of a few thousand weights; stages: iterations by name."""
    preset = {"deblur": "smoke-diffir"}.get(task, f"smoke-{task}")
    network = {"dim": 4, "heads": [1, 1, 1, 1], "prior_features": 4, "prior_blocks": 0}
    side = 64 if task == "upscale" else 32
    settings: dict[str, Any] = {
        "model": {"network": network},
        "validate_every": 2,
        "log_every": 1,
        "data": {"validation": 2, "validation_size": 64},
        "optim": {"precision": "fp32", "ema": 0.5},
        "stages": {
            name: {"iterations": stages.get(name, 2), "patches": [side], "batches": [4], "warmup": 0}
            for name in ("s1", "warm", "joint")
        },
    }
    return load_preset(preset, task, settings)


def trainer_of(config: TrainConfig) -> Trainer:
    return Trainer(config, smooth_photos(), KINDS[TASKS[config.task]].degrade_batch)


def run(config: TrainConfig, folder: Path) -> Trainer:
    trainer = trainer_of(config)
    open_run(folder, config)
    for _ in train(trainer, folder):
        pass
    return trainer


def stopped_and_resumed(config: TrainConfig, folder: Path, steps: int) -> Trainer:
    """A run that was stopped after so many steps, and went on in another trainer to its end."""
    open_run(folder, config)
    stream, done = train(trainer_of(config), folder), 0
    for record in stream:
        done += hasattr(record, "loss")
        if done == steps:
            break
    stream.close()
    second = trainer_of(config)
    assert load_state(second, folder) == []
    for _ in train(second, folder):
        pass
    return second


@pytest.mark.parametrize("task", TASKS)
def test_one_command_trains_all_stages_and_the_model_restores(tmp_path: Path, task: str) -> None:
    run(tiny(task), tmp_path)
    network, spec = load_network(tmp_path / "model.safetensors")
    assert (spec.method, spec.stage, spec.task) == ("diffir", "", task)
    assert not any(name.startswith("E.") for name in network.state_dict())
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {entry["validation"]["stage"] for entry in log if "validation" in entry} == {"s1", "warm", "joint"}
    assert all({"reconstruction", "prior"} <= entry.keys() for entry in log if entry.get("stage") == "joint")


def test_what_s1_trained_has_a_file_of_its_own_that_restores_nothing(tmp_path: Path) -> None:
    trainer = run(tiny(), tmp_path)
    tensors, spec = load_checkpoint(tmp_path / "S1.safetensors")
    assert spec.stage == "S1"
    assert {name.partition(".")[0] for name in tensors} == {"G", "E"}
    assert torch.equal(
        tensors["E.mlp.0.weight"].float(), trainer.network.state_dict()["E.mlp.0.weight"].bfloat16().float()
    )
    with pytest.raises(WeightsError, match="S1"):
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


# --- the adversarial phase ---


def with_gan(task: str = "upscale") -> TrainConfig:
    config = tiny(task, s1=2, warm=1, joint=2)
    kind = "patch" if task == "inpaint" else "unet"
    gan = replace(config.stages["joint"], iterations=3, own=GAN(critic=CriticConfig(kind, features=4)))
    return replace(config, stages={**config.stages, "gan": gan})


@pytest.mark.parametrize("task", ["upscale", "inpaint"])
@pytest.mark.parametrize("steps", [5, 6, 7])
def test_a_stopped_adversarial_phase_goes_on_bit_for_bit(tmp_path: Path, task: str, steps: int) -> None:
    config = with_gan(task)
    whole = run(config, tmp_path / "whole")
    second = stopped_and_resumed(config, tmp_path / "parts", steps)
    for ours, theirs in ((whole.network, second.network), (whole.extras["critic"], second.extras["critic"])):
        assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_discriminators_of_two_stages_are_the_same_however_often_a_run_was_stopped(tmp_path: Path, steps: int) -> None:
    config = tiny("inpaint")
    critic = CriticConfig("patch", features=4)
    stages = {
        name: replace(stage, own=replace(stage.own, critic=critic))
        for name, stage in config.stages.items()
        if name != "warm" and name != "gan"
    }  # type: ignore[type-var]
    config = replace(config, stages={**config.stages, **stages})
    whole = run(config, tmp_path / "whole")
    second = stopped_and_resumed(config, tmp_path / "parts", steps)
    for ours, theirs in ((whole.network, second.network), (whole.extras["critic"], second.extras["critic"])):
        assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())


def test_the_adversarial_phase_begins_with_a_new_optimiser() -> None:
    trainer = trainer_of(with_gan())
    seen = [(record.stage, id(trainer.optimizer)) for record in trainer.run() if hasattr(record, "loss")]
    assert len({optimiser for stage, optimiser in seen if stage == "gan"}) == 1
    assert {optimiser for stage, optimiser in seen if stage == "gan"}.isdisjoint(
        optimiser for stage, optimiser in seen if stage == "joint"
    )


@pytest.mark.parametrize(("rate", "expected"), [("stage", [1e-4, 5e-5, 5e-5]), ("constant", [1e-4] * 3)])
def test_the_rate_of_a_discriminator_falls_with_the_stage_s_or_stays(rate: Any, expected: list[float]) -> None:
    config = with_gan()
    own = GAN(critic=CriticConfig("unet", features=4, rate=rate))
    gan = replace(config.stages["gan"], own=own, rate="steps", milestones=(1 / 3,))
    trainer = trainer_of(replace(config, stages={**config.stages, "gan": gan}))
    rates = [
        trainer.critic.optimizer.param_groups[0]["lr"]
        for record in trainer.run()
        if trainer.critic is not None and hasattr(record, "loss")
    ]
    assert rates == expected


def test_a_discriminator_stays_as_it_is_where_its_loss_is_not_finite() -> None:
    trainer = trainer_of(with_gan())
    for record in trainer.run():
        if getattr(record, "stage", "") == "gan":
            break
    critic = trainer.critic
    assert critic is not None
    before = {name: tensor.clone() for name, tensor in trainer.extras["critic"].named_parameters()}
    clean, degraded = trainer.draw(0)
    critic.show(Batch(clean, degraded, slice(0, 4), 4), torch.full_like(clean, float("nan")))
    critic.step(1.0, 0.0, trainer.world)
    assert all(torch.equal(tensor, before[name]) for name, tensor in trainer.extras["critic"].named_parameters())


def test_the_discriminator_trains_beside_the_network_and_is_not_in_the_model(tmp_path: Path) -> None:
    trainer = trainer_of(with_gan())
    weights = [
        trainer.extras["critic"].conv9.weight.clone()
        for record in trainer.run()
        if getattr(record, "stage", "") == "gan" and hasattr(record, "loss")
    ]
    assert len(weights) == 3
    assert not torch.equal(weights[0], weights[1])
    run(with_gan(), tmp_path)
    tensors, spec = load_checkpoint(tmp_path / "model.safetensors")
    assert {name.partition(".")[0] for name in tensors} == {"G", "condition", "denoise"}
    assert "no perceptual loss" in spec.source


# --- data ---


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
    clean, degraded = (pictures[0] for pictures in trainer.validation_pairs())
    assert torch.equal(clean, degraded.repeat_interleave(4, 1).repeat_interleave(4, 2))


def test_pairs_whose_sizes_do_not_fit_the_scale_are_left_out_and_told(tmp_path: Path) -> None:
    save(tmp_path / "lr" / "a.png", ramp(40, 40))
    save(tmp_path / "hr" / "a.png", ramp(80, 80))
    photos = load_data(DataConfig(pairs=(str(tmp_path),)), scale=4)
    assert photos.names == ()
    (finding,) = photos.findings
    assert (finding.kind, finding.left_out) == ("sizes", True)


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
    clean, degraded = trainer.validation_pairs()
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
        config = load_preset(preset, task, {"data": {"clean": ["x"]}, **settings})
    with pytest.raises(UsageError, match=message):
        require_fit(config)


@pytest.mark.parametrize(
    ("task", "scale", "preset"), [("upscale", 4, "mixed"), ("upscale", 2, "mixed-x2"), ("derain", 1, "mixed")]
)
def test_finetuning_takes_the_degradation_of_the_models_factor(task: str, scale: int, preset: str) -> None:
    assert preset_for(task, scale) == preset
