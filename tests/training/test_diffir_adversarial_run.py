"""Runs of DiffIR against a discriminator."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffir_runs import run, stopped_and_resumed, tiny, trainer_of, with_gan
from tiny_runs import smooth_photos

from dfrestore.errors import StartError
from dfrestore.methods import stored_names
from dfrestore.methods.diffir.objective import CriticConfig
from dfrestore.methods.diffir.stages import GAN, Joint
from dfrestore.methods.method import Batch
from dfrestore.training.checkpoints import load_state, save_state
from dfrestore.training.finetune import remarks
from dfrestore.training.floor import Settled, keep_start
from dfrestore.training.run import open_run, train
from dfrestore.training.trainer import Trainer
from dfrestore.weights import load_checkpoint


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


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (CriticConfig("unet", features=4), CriticConfig("patch", features=4)),
        (CriticConfig("unet", features=4), CriticConfig("unet", features=8)),
        (CriticConfig("unet", features=4), CriticConfig()),
        (CriticConfig(), CriticConfig("unet", features=4)),
    ],
    ids=["kind", "features", "none", "new"],
)
def test_another_discriminator_on_resuming_is_one_clear_line(
    tmp_path: Path, before: CriticConfig, after: CriticConfig
) -> None:
    config = tiny(s1=0, warm=0, joint=2)

    def against(critic: CriticConfig) -> Trainer:
        joint = replace(config.stages["joint"], own=Joint(critic=critic))
        return trainer_of(replace(config, stages={**config.stages, "joint": joint}))

    open_run(tmp_path, config)
    trainer = against(before)
    next(iter(trainer.run()))
    path = save_state(trainer, tmp_path)
    with pytest.raises(StartError) as error:
        load_state(against(after), tmp_path)
    cause = "its discriminator is another one; a stage keeps critic.kind and critic.features to its end"
    assert str(error.value).startswith(f"{path}: was saved with other settings ({cause}); leave out what --set changes")


def finetuned(folder: Path, **stage: Any) -> tuple[Settled, dict[str, torch.Tensor]]:
    """The end of a finetuning whose rate ruins the model, and the start's tensors."""
    config = tiny(s1=0, warm=0, joint=0)
    joint = replace(config.stages["joint"], iterations=3, lr=0.3, rate="steps", own=Joint(**stage))
    config = replace(config, stages={**config.stages, "joint": joint})
    trainer = trainer_of(config)
    spec = trainer.spec
    start = {name: trainer.network.state_dict()[name].clone() for name in stored_names(spec)}
    open_run(folder, config, lambda: keep_start(trainer, folder, start, spec))
    *_, settled = train(trainer, folder)
    assert isinstance(settled, Settled)
    return settled, start


def test_a_finetuning_against_a_discriminator_is_not_thrown_away_for_its_psnr(tmp_path: Path) -> None:
    settled, start = finetuned(tmp_path, critic=CriticConfig("unet", features=4))
    assert settled.result < settled.start
    assert "a discriminator costs dB, so the last state is kept all the same" in str(settled)
    tensors, _ = load_checkpoint(tmp_path / "model.safetensors")
    assert not torch.equal(tensors["G.output.weight"].float(), start["G.output.weight"])
    result = json.loads((tmp_path / "RESULT.json").read_text())
    assert (result["best_psnr"], result["start_psnr"]) == (settled.result, settled.start)
    assert result["improved"] is False


def test_a_finetuning_against_a_discriminator_says_so_before_it_begins() -> None:
    config = with_gan()
    (line,) = remarks(smooth_photos(), config)
    assert line == "against a discriminator PSNR falls: the last state is kept, even where the start model has more dB"
    assert remarks(smooth_photos(), tiny()) == []


def test_without_one_the_start_model_is_kept_where_psnr_falls(tmp_path: Path) -> None:
    settled, start = finetuned(tmp_path)
    assert settled.result <= settled.start
    assert str(settled).startswith("no improvement")
    tensors, _ = load_checkpoint(tmp_path / "model.safetensors")
    assert torch.equal(tensors["G.output.weight"], start["G.output.weight"])


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
