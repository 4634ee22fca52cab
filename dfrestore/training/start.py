"""Before the first step of a run: what its stages load, and whether they have what they build on."""

from __future__ import annotations

from dfrestore.errors import StartError, UsageError
from dfrestore.methods import stored_names
from dfrestore.training.config import stage_kinds
from dfrestore.training.trainer import Trainer


def prepare(trainer: Trainer) -> None:
    """Let the stages load what their settings name. Raises :class:`UsageError`, and WeightsError for its files."""
    for stage in trainer.config.running.values():
        try:
            stage.own.prepare(trainer.network)
        except ValueError as error:
            raise UsageError(f"model: {error}") from error
    trainer.average.start_over()


def require_start(trainer: Trainer) -> None:
    """Raise where a stage cannot do without what nobody made.

    :class:`StartError`: weights that neither base nor start model holds, and no earlier stage trains. WeightsError: a
    file of an extra.
    """
    config, network = trainer.config, trainer.network
    names = {id(parameter): name for name, parameter in network.named_parameters()}

    def trained(kind: str) -> set[str]:
        own = config.stages[kind].own.resolved(config.model.default_steps)
        return {names[id(parameter)] for parameter in own.trains(network)}

    there = set(trainer.loaded)
    for stage in config.running:
        own = config.stages[stage].own.resolved(config.model.default_steps)
        for begin in own.needs():
            if not any(name.startswith(begin) for name in there):
                makers = [kind for kind in stage_kinds(config.model.method) if kind != stage]
                maker = next((kind for kind in makers if any(name.startswith(begin) for name in trained(kind))), "?")
                could_be_base = maker != "?" and trained(maker) <= set(stored_names(trainer.spec))
                way_out = "name its file with --base" if could_be_base else "start from its file with --init-from"
                raise StartError(
                    f"the stage {stage} builds on what {maker} trains; give {maker} iterations, or {way_out}"
                )
        there |= trained(stage)
        own.extras(network)  # reads the files that it needs
