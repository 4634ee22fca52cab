"""Several tasks in turn at one picture, in float32 from one to the next: nothing is rounded between them."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from dfrestore.engine import Device, Plan, Precision, Progress, Watch, amount
from dfrestore.errors import OutOfMemoryFailure, UsageError
from dfrestore.photo.enlarged import resized
from dfrestore.photo.mask import dilated
from dfrestore.restore.flow import drain, tapped
from dfrestore.restore.images import Mask, Picture, Rgb, name_of, open_picture
from dfrestore.restore.restorer import Outcome, Restorer
from dfrestore.restore.results import StepResult
from dfrestore.restore.work import checked_mask, counting, with_known
from dfrestore.tasks import check_chain

SPREAD = 2
"""Pixels of the picture before it is enlarged, around a hole, over which its colours then spread."""
_OPTIONS = ("steps", "seed", "tile", "strength", "ensemble", "keep_color", "mask", "size", "finish")


@dataclass(frozen=True)
class Step:
    """One task's work at one picture. height, width: of the picture it begins with.

    mask: of the picture that the chain began with. options: the others of :meth:`Restorer.restore_rgb`.
    """

    restorer: Restorer
    height: int
    width: int
    plan: Plan
    mask: Mask | None
    options: Mapping[str, Any]

    @property
    def task(self) -> str:
        return self.restorer.spec.task

    @property
    def steps(self) -> int:
        """Of the sampler."""
        return self.restorer.checked_steps(self.options.get("steps"))

    @property
    def members(self) -> int:
        """Of the ensemble."""
        found: int = self.options.get("ensemble", 1)
        return found

    @property
    def work(self) -> float:
        """How much work it is; of networks of one kind the time is proportional to it."""
        return self.members * amount(self.restorer.network, self.height, self.width, self.steps, self.plan)

    @property
    def seconds(self) -> float | None:
        """About how long it will take; None where that is unknown."""
        return self.restorer.expected_seconds(self.height, self.width, self.steps, self.plan, self.members)

    def run(self, rgb: Rgb, watch: Watch | None, name: str) -> Generator[Progress, None, Outcome]:
        """The work. Raises what :meth:`Restorer.restore_rgb` raises."""
        mask, size = self.mask, rgb.shape[:2]
        if mask is not None and mask.shape != size:  # an earlier step has enlarged the picture
            mask = resized(dilated(mask, SPREAD) if self.restorer.network.mask else mask, *size)
        return self.restorer.restore_rgb(rgb, plan=self.plan, mask=mask, watch=watch, name=name, **self.options)


def planned_steps(
    restorers: Iterable[Restorer], options: Iterable[Mapping[str, Any]], height: int, width: int
) -> list[Step]:
    """The steps for a picture of this size. options: of each, as for a call of :class:`Restorer`, and its ``needs``.

    Raises OutOfMemoryFailure where one of them does not fit, UsageError for an impossible tile.
    """
    steps: list[Step] = []
    for restorer, values in zip(restorers, options, strict=True):
        own = dict(values)
        plan = restorer.plan(height, width, own.pop("tile", None), own.pop("needs", None))
        steps.append(Step(restorer, height, width, plan, own.pop("mask", None), own))
        scale = restorer.network.scale
        height, width = own.get("size") or (height * scale, width * scale)
    return steps


def total(seconds: Sequence[float | None]) -> float | None:
    """About how long all steps will take; None where that is unknown of one."""
    known = [each for each in seconds if each is not None]
    return sum(known) if len(known) == len(seconds) else None


def slowdown(steps: Sequence[Step]) -> float | None:
    """How many times as long as without the user's tiles the slowest step takes; None where no tiles make it slow."""
    found = [step.restorer.slowdown(step.height, step.width, step.steps, step.plan) for step in steps]
    return max((each for each in found if each is not None), default=None)


def described(steps: Sequence[Step]) -> str:
    """The plan, in the memory of the costliest step; the plan of each task where they differ in more than that."""
    if all(replace(step.plan, predicted_bytes=0) == replace(steps[0].plan, predicted_bytes=0) for step in steps):
        return max((step.plan for step in steps), key=lambda plan: plan.predicted_bytes).describe()
    return "; ".join(f"{step.task} {step.plan.describe()}" for step in steps)


class Judge:
    """What decides whether a step is done, by its number, and whether its result is kept: here, always."""

    def wants(self, number: int) -> bool:
        return True

    def keeps(self, number: int, result: Rgb) -> bool:
        return True


def in_turn(
    rgb: Rgb,
    steps: Sequence[Step],
    *,
    seconds: Sequence[float | None] = (),
    watch: Watch | None = None,
    name: str = "picture",
    judge: Judge | None = None,
) -> Generator[Progress, None, Outcome]:
    """Do the steps, each with the last result that was kept; the outcome has that of the last one, and tells of all.

    seconds: that each will take; Progress is over all steps by these, or by how much work each is where one is not
    known. A single step's progress is its own. Where no result is kept, the outcome's picture is ``rgb`` itself.
    """
    judge = judge or Judge()
    if len(steps) == 1:
        begin = time.perf_counter()
        outcome = yield from steps[0].run(rgb, watch, name)
        kept = outcome.rgb if judge.keeps(0, outcome.rgb) else rgb
        return replace(outcome, rgb=kept, chain=(_result(steps[0], outcome, begin),))
    known = [each for each in seconds if each]
    weights = known if len(known) == len(steps) else [step.work for step in steps]
    made: list[StepResult] = []
    warnings: list[str] = []
    spread = None
    for number, step in enumerate(steps):
        if not judge.wants(number):
            continue
        begin = time.perf_counter()
        share = Share(sum(weights[:number]), weights[number], sum(weights))
        work = step.run(rgb, None if watch is None else partial(share.watch, watch), f"{name}: {step.task}")
        outcome = yield from tapped(work, share.of)
        del work  # and its buffers
        made.append(_result(step, outcome, begin))
        warnings += (f"{step.task}: {warning}" for warning in outcome.warnings)
        if judge.keeps(number, outcome.rgb):
            rgb, spread = outcome.rgb, outcome.spread  # and the picture before goes
        del outcome
    plans = {step.task: step.plan.describe() for step in steps}
    done = [step for step in steps if any(one.task == step.task for one in made)]
    as_planned = all(one.plan == plans[one.task] for one in made)
    plan = described(done) if as_planned else "; ".join(f"{one.task} {one.plan}" for one in made)
    precision = ", ".join(dict.fromkeys(one.precision for one in made))
    return Outcome(rgb, plan, precision, tuple(warnings), spread, tuple(made))


@dataclass(frozen=True)
class Share:
    """A part of the work of all: it begins at ``start``, takes ``weight``, of ``total``."""

    start: float
    weight: float
    total: float

    def of(self, state: Progress) -> Progress:
        return Progress(self._at(state.done, state.total), self.total, state.estimate, state.x_t)

    def watch(self, watch: Watch, done: float, total: float) -> None:
        watch(self._at(done, total), self.total)

    def _at(self, done: float, total: float) -> float:
        return self.start + self.weight * done / total


def _result(step: Step, outcome: Outcome, begin: float) -> StepResult:
    seconds = time.perf_counter() - begin
    return StepResult(
        task=step.task,
        model=step.restorer.label,
        steps=step.steps,
        seed=step.options.get("seed", 0),
        seconds=seconds,
        precision=outcome.precision,
        plan=outcome.plan,
        ensemble=step.members,
    )


class Chain:
    """``Chain.from_pretrained(["derain", "denoise"])(image)`` -> the image without rain, then without noise.

    restorers: of the tasks, in turn.
    """

    def __init__(self, restorers: Sequence[Restorer]) -> None:
        """Raises UsageError for none, two of one task, and more than one that enlarges."""
        check_chain([restorer.spec.task for restorer in restorers])
        self.restorers = tuple(restorers)

    @classmethod
    def from_pretrained(
        cls, tasks: Sequence[str], models: Mapping[str, str | Path | None] | None = None, **options: Any
    ) -> Chain:
        """models: task -> what ``model`` is to :meth:`Restorer.from_pretrained`; without one, the default.

        options: others of it, for all. Raises what it raises, and UsageError for an impossible chain.
        """
        check_chain(tasks)
        models = models or {}
        check_named(models, tasks)
        return cls([Restorer.from_pretrained(task, models.get(task), **options) for task in tasks])

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(restorer.spec.task for restorer in self.restorers)

    @property
    def label(self) -> str:
        """All models: ``derain/compact, denoise/compact``."""
        return ", ".join(restorer.label for restorer in self.restorers)

    @property
    def device(self) -> Device:
        return self.restorers[0].device

    @property
    def precision(self) -> Precision:
        return self.restorers[0].precision

    def __call__(
        self, image: Picture, *, mask: Mask | None = None, progress: Watch | None = None, **options: Mapping[str, Any]
    ) -> Any:
        """The image with all done to it, of its own kind, as a call of :class:`Restorer` gives it.

        mask: how much of the result of all there is at each pixel, (H, W) from 0, where the image stays as it is, to 1.
        options: of each task, by its name: ``derain={"strength": 0.8}``; those of a call of :class:`Restorer`. Masks
        are of the image as it is given. Raises what such a call raises, and UsageError for a task that is not here.
        """
        check_named(options, self.tasks)
        rgb, finish = open_picture(image, enlarges=any(restorer.network.scale > 1 for restorer in self.restorers))
        name = name_of(image)
        values = [_checked_options(task, options.get(task, {}), rgb) for task in self.tasks]
        try:
            steps = planned_steps(self.restorers, values, *rgb.shape[:2])
        except OutOfMemoryFailure as error:
            raise OutOfMemoryFailure(f"{name}: {error}") from error
        mask, before = checked_mask(mask, rgb), rgb if mask is not None else None
        work = in_turn(rgb, steps, watch=progress, name=name)
        del rgb
        made = drain(work, counting(progress)).rgb
        return finish(made if before is None else with_known(made, before, mask))


def _checked_options(task: str, options: Mapping[str, Any], rgb: Rgb) -> dict[str, Any]:
    for name in options:
        if name not in _OPTIONS:
            raise TypeError(f"{task} has no option '{name}' (known: {', '.join(_OPTIONS)})")
    return {**options, "mask": checked_mask(options.get("mask"), rgb)}


def check_named(names: Iterable[str], tasks: Sequence[str]) -> None:
    """Raise UsageError for a name that is no task of the chain."""
    for name in names:
        if name not in tasks:
            raise UsageError(f"'{name}' is no task of this chain, which is {','.join(tasks)}")
