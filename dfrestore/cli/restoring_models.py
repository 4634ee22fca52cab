"""The models of a run over files: what they are known by, what they can do, and how they are loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from dfrestore.cli.restoring_options import is_of_step
from dfrestore.errors import UsageError

if TYPE_CHECKING:
    from dfrestore.restore import FilePlan, Restorer, Settings
    from dfrestore.restore.auto import AnyRestorer
    from dfrestore.restore.results import AnySettings
    from dfrestore.weights import Resolved

_OPTION = re.compile(r"--(?P<name>[a-z-]+)(?P<value> (?=[A-Z0-9']))?")  # --mask FILE: inpaint.mask=FILE


def steps_of(requested: int | None, resolved: Resolved) -> int:
    """What was asked for, or the model's own count, as its header says."""
    from dfrestore.weights import read_spec

    return read_spec(resolved.path).default_steps if requested is None else requested


def identity_of(resolved: Resolved, plan: FilePlan) -> str:
    """What records identify a model by: the sha256 of its file, which is not computed where there is no record."""
    if resolved.sha256 is not None or not any(job.recorded for job in plan.jobs):
        return resolved.sha256 or str(resolved.path)
    from dfrestore.weights.checkpoint import sha256_of

    return sha256_of(resolved.path)


def loaded(
    resolved: Sequence[Resolved],
    settings: AnySettings,
    *,
    device: str,
    precision: str,
    memory: int | None,
    detector: Resolved | None = None,
) -> AnyRestorer:
    """Every model, once for all photos. detector: of a run that chooses the tasks; its models are loaded as needed."""
    from dfrestore.restore import Auto, Chain, ChainSettings, Detection, Restorer

    def load(model: Resolved, part: Settings) -> Restorer:
        return Restorer.from_resolved(model, device=device, precision=precision, window=part.window, memory=memory)

    if detector is not None:
        known = {part.task: partial(load, model, part) for model, part in zip(resolved, settings.parts, strict=True)}
        return Auto(
            Detection.from_resolved(detector, device),
            tuple(known),
            lambda task: known[task](),
            device=device,
            precision=precision,
        )
    restorers = [load(model, part) for model, part in zip(resolved, settings.parts, strict=True)]
    return Chain(restorers) if isinstance(settings, ChainSettings) else restorers[0]


def named_models(restorer: AnyRestorer, settings: AnySettings) -> dict[str, Any]:
    """Of a dry run's JSON: the model, or all those of a chain."""
    from dfrestore.restore import Auto, ChainSettings

    if isinstance(restorer, Auto):
        return {"detector": restorer.detection.name}
    named: dict[str, Any] = {"model": restorer.label, "seed": settings.seed}
    if isinstance(settings, ChainSettings):
        steps = zip(restorer.restorers, settings.parts, strict=True)
        named["chain"] = [
            {"task": part.task, "model": one.label, "steps": part.steps, "seed": part.seed} for one, part in steps
        ]
    return named


@contextmanager
def naming(task: str | None) -> Iterator[None]:
    """For a task of a chain, a usage error of the block calls ``--steps`` as it is written there: ``derain.steps``."""
    try:
        yield
    except UsageError as error:
        if task is None:
            raise
        raise UsageError(_OPTION.sub(partial(_of_task, task), str(error))) from error


def _of_task(task: str, option: re.Match[str]) -> str:
    if not is_of_step(option["name"].replace("-", "_"), task):
        return option[0]
    return f"{task}.{option['name']}{'=' if option['value'] else ''}"
