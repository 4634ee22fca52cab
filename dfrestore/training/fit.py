"""Whether a run's task, network, crops and data fit together, before anything is read."""

from __future__ import annotations

from dfrestore.errors import UsageError
from dfrestore.methods import Network, outline
from dfrestore.tasks import TASKS, any_of
from dfrestore.training.config import TrainConfig, spec_of


def require_fit(config: TrainConfig) -> None:
    """Raise :class:`UsageError` where the network cannot be trained for the task, or on the crops, that are named."""
    network = outline(spec_of(config))
    task = TASKS.get(config.task)
    if task is not None and network.mask != task.mask:
        what = "fills holes" if network.mask else "takes no mask"
        raise UsageError(f"model: this network {what}, so it is not for {config.task}; name another preset")
    if task is not None and network.scale > 1 and not task.scale:
        raise UsageError(f"model: this network enlarges {network.scale} times, so it is not for {config.task}")
    if task is not None and task.draws and config.data.paired:
        raise UsageError(f"{config.task} draws the damage itself, on clean photos: name them with --clean FOLDER")
    if any(stage.own.restores == (task is not None and task.draws) for stage in config.running.values()):
        raise UsageError(f"model: the method {config.model.method} is not for {config.task}; name another preset")
    grid = network.multiple * network.scale
    for name, stage in config.running.items():
        for patch in stage.patches:
            if patch % grid:
                raise UsageError(f"stages.{name}: patches of {patch} pixels: this network takes multiples of {grid}")
    size = config.data.validation_size
    if config.data.validation and size < grid:
        raise UsageError(f"data.validation_size {size}: this network takes sides of {grid} pixels at least")
    if config.data.mixup and network.mask:
        raise UsageError("data.mixup mixes two pictures, and two masks would make half a hole; leave it out")
    if config.data.eighth_turn and (network.mask or network.scale > 1):
        raise UsageError("data.eighth_turn turns pictures of one size without masks; leave it out")
    if config.data.clean or config.data.mix:
        _require_scale(config, network)


def preset_for(task: str, scale: int) -> str:
    """The preset of the task's degradation, ``mixed`` if it can be, that makes pictures so many times smaller."""
    from dfrestore.degrade import kind_for

    kind = kind_for(task)
    if kind is None or kind.scale("mixed") == scale:
        return "mixed"
    fitting = [preset for preset in kind.presets if kind.scale(preset) == scale]
    return next((preset for preset in fitting if preset.startswith("mixed")), fitting[0] if fitting else "mixed")


def _require_scale(config: TrainConfig, network: Network) -> None:
    from dfrestore.degrade import kind_for

    kind = kind_for(config.task)
    if kind is None or config.data.preset not in kind.presets:
        return  # refused elsewhere
    made = kind.scale(config.data.preset)
    if made != network.scale:
        fitting = [preset for preset in kind.presets if kind.scale(preset) == network.scale]
        way_out = f"; data.preset can be {any_of(fitting)}" if fitting else "; train it on pairs"
        smaller = f"makes pictures {made} times smaller" if made > 1 else "leaves pictures as large as they are"
        raise UsageError(
            f"data.preset {config.data.preset} {smaller}, but the network enlarges {network.scale} times{way_out}"
        )
