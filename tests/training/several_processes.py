"""What torchrun starts in the tests: trains the scenarios together; then the second process fails alone."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from diffir_runs import tiny as tiny_diffir
from tiny_runs import darken, smooth_pairs, smooth_photos, tiny
from torch import Tensor

from dfrestore.cli.together import together
from dfrestore.degrade import KINDS
from dfrestore.methods.diffir.objective import CriticConfig
from dfrestore.methods.diffir.stages import Joint
from dfrestore.training.config import TrainConfig, with_stage
from dfrestore.training.distributed import SOLO, World
from dfrestore.training.records import StepRecord, ValidationRecord
from dfrestore.training.run import open_run, train
from dfrestore.training.trainer import Trainer

Result = tuple[list[float], list[float], list[float], list[Tensor]]


def scenarios() -> dict[str, TrainConfig]:
    """Name -> a run whose result must not depend on how many processes train."""
    base = replace(tiny(coarse=3, fine=3), validate_every=3)

    def each(config: TrainConfig, **changes: object) -> TrainConfig:
        for name in config.stages:
            config = with_stage(config, name, **changes)
        return config

    return {
        "even": base,
        "uneven": each(base, batches=(3,)),
        "fewer samples than processes": each(base, batches=(1,)),
        "in parts": replace(each(base, batches=(5,)), optim=replace(base.optim, accumulate=2)),
        "paper": replace(base, data=replace(base.data, crops="shared-window", mixup=True)),
        "a discriminator": against(CriticConfig("unet", features=4)),
    }


def own_statistics() -> dict[str, TrainConfig]:
    """Name -> a run whose discriminator has statistics of its own in each process: one process gives another result."""
    base = against(CriticConfig("unet", features=4))
    joint = replace(base.stages["joint"], batches=(3,))
    uneven = replace(base, stages={**base.stages, "joint": joint}, optim=replace(base.optim, accumulate=2))
    return {"batch norm": against(CriticConfig("patch", features=4)), "parts of other numbers": uneven}


def against(critic: CriticConfig) -> TrainConfig:
    """Two iterations of DiffIR against a discriminator."""
    config = tiny_diffir(s1=0, warm=0, joint=2)
    joint = replace(config.stages["joint"], own=Joint(critic=critic))
    return replace(config, stages={**config.stages, "joint": joint})


def result(config: TrainConfig, world: World = SOLO) -> Result:
    """(losses, gradient norms, validation PSNR, weights) of a run."""
    pairs = config.data.mixup
    photos = smooth_pairs() if pairs else smooth_photos()
    degrade = None if pairs else KINDS["lowres"].degrade_batch if config.task == "upscale" else darken
    trainer = Trainer(config, photos, degrade, world=world)
    records = list(trainer.run())
    steps = [r for r in records if isinstance(r, StepRecord)]
    scores = [score for r in records if isinstance(r, ValidationRecord) for score in r.psnr.values()]
    modules = (trainer.network, trainer.ema, *trainer.extras.values())
    weights = [p.detach() for module in modules for p in module.parameters()]
    return [r.loss for r in steps], [r.grad_norm for r in steps], scores, weights


def stopped(config: TrainConfig, folder: Path, world: World) -> None:
    """A run folder of the first process after two steps of all."""
    trainer = Trainer(config, smooth_photos(), darken, world=world)
    if world.first:
        open_run(folder, config)
    stream = train(trainer, folder)
    next(stream), next(stream)
    stream.close()


def main(folder: Path) -> None:
    with together("cpu") as world:
        results = {name: result(config, world) for name, config in (scenarios() | own_statistics()).items()}
        torch.save(results, folder / f"results-{world.rank}.pt")
        stopped(scenarios()["even"], folder / f"run-{world.rank}", world)
        if not world.first:
            raise MemoryError("as if this one alone ran out")
        world.agree([])


if __name__ == "__main__":
    from dfrestore.cli.ending import Ended

    torch.set_num_threads(1)
    try:
        main(Path(sys.argv[1]))
    except Ended as end:
        sys.exit(end.code)
    except Exception as error:
        print(f"rank {os.environ['RANK']}: {error}", file=sys.stderr)
        sys.exit(7)
