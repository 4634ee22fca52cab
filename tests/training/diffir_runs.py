"""What the tests of DiffIR's training share: tiny runs, one that is stopped and goes on, one against a critic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tiny_runs import smooth_photos

from dfrestore.degrade import KINDS
from dfrestore.methods.diffir.objective import CriticConfig
from dfrestore.methods.diffir.stages import GAN
from dfrestore.training.checkpoints import load_state
from dfrestore.training.config import TrainConfig
from dfrestore.training.run import open_run, train
from dfrestore.training.settings import load_preset
from dfrestore.training.trainer import Trainer

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


def with_gan(task: str = "upscale") -> TrainConfig:
    config = tiny(task, s1=2, warm=1, joint=2)
    kind = "patch" if task == "inpaint" else "unet"
    gan = replace(config.stages["joint"], iterations=3, own=GAN(critic=CriticConfig(kind, features=4)))
    return replace(config, stages={**config.stages, "gan": gan})
