"""Looks at a picture, does what it needs, looks again after each step, and takes back what did not help."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

from dfrestore.engine import Device, Precision, Progress, Watch, choose_device, choose_precision
from dfrestore.errors import OutOfMemoryFailure, UsageError
from dfrestore.restore.chain import Chain, Judge, Share, Step, in_turn, planned_steps
from dfrestore.restore.detection import Detection
from dfrestore.restore.flow import drain, tapped
from dfrestore.restore.images import Picture, Rgb, name_of, open_picture
from dfrestore.restore.remedies import (
    HIDDEN,
    NOTHING,
    ORDER,
    Remedy,
    Repair,
    Tried,
    objection,
    remedies,
    unasked,
)
from dfrestore.restore.restorer import Outcome, Restorer
from dfrestore.restore.rules import RULES
from dfrestore.restore.trials import Sample, Trial, tried
from dfrestore.restore.work import counting
from dfrestore.severities import DAMAGES
from dfrestore.tasks import AUTO, any_of
from dfrestore.threads import side_by_side
from dfrestore.weights import load_registry

AnyRestorer: TypeAlias = "Restorer | Chain | Auto"
Further: TypeAlias = Callable[[Sequence[Remedy]], Sequence[Step]]
"""The steps of remedies, for a picture of the same size."""


class Auto:
    """``Auto.from_pretrained()(image)`` -> the image without what a detector finds wrong with it.

    detection: what looks. tasks: that may be done. Their models are loaded when a picture first needs them.
    """

    def __init__(
        self,
        detection: Detection,
        tasks: Sequence[str],
        load: Callable[[str], Restorer],
        *,
        device: str = "auto",
        precision: str = "auto",
        trial: Trial | None = tried,
    ) -> None:
        """load: a task -> its model. device, precision: those that it loads models for. trial: the second opinion where
        the detector is not sure; None: there is none. Raises UsageError and DeviceError.
        """
        for task in tasks:
            check_repairing(task)
        self.detection = detection
        self.tasks = tuple(sorted(tasks, key=ORDER.index))
        self.device: Device = choose_device(device)
        self.precision: Precision = choose_precision(precision, self.device)
        self._trial = trial
        self._load = load
        self._loaded: dict[str, Restorer] = {}

    @classmethod
    def from_pretrained(
        cls,
        tasks: Collection[str] | None = None,
        models: Mapping[str, str | Path | None] | None = None,
        *,
        detector: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
        **options: Any,
    ) -> Auto:
        """tasks: that may be done; None: all that have a model and keep the size. models: task -> what ``model`` is to
        :meth:`Restorer.from_pretrained`. detector: name or file of the model that looks; None: the one that ships.

        options: others of :meth:`Restorer.from_pretrained`, for all. Raises UsageError, WeightsError and DeviceError.
        """
        known = models or {}
        allowed = unasked({*load_registry().tasks, *known}) if tasks is None else tasks

        def load(task: str) -> Restorer:
            return Restorer.from_pretrained(task, known.get(task), device=device, precision=precision, **options)

        detection = Detection.load(detector, device)
        return cls(detection, tuple(allowed), load, device=device, precision=precision)

    @property
    def label(self) -> str:
        """Empty: each picture has models of its own."""
        return ""

    def restorer(self, task: str) -> Restorer:
        """The task's model, loaded once."""
        if task not in self._loaded:
            self._loaded[task] = self._load(task)
        return self._loaded[task]

    def look(self, rgb: Rgb) -> dict[str, float]:
        """Severities of (H, W, 3) in [0, 1], each 0 to 1: as the detector tells, and where it is not sure, joined with
        what the task itself would take away. Raises OutOfMemoryFailure where there is no memory to look.
        """
        return self.second_opinion(rgb, self.detection.severities(rgb))

    def second_opinion(self, rgb: Rgb, told: Mapping[str, float]) -> dict[str, float]:
        """``told``, the severities that the detector tells of the picture, with the trials where it is not sure."""
        unsure = [
            name for name, value in told.items() if DAMAGES[name].task in self.tasks and RULES[name].worth_trying(value)
        ]
        if self._trial is None or not unsure:
            return dict(told)
        ask, sample = partial(_asked, self._trial), Sample.of(rgb)
        trials = [partial(ask, name, told[name], self.restorer(DAMAGES[name].task), sample) for name in unsure]
        found = side_by_side(trials) if self.device.torch_device.type == "cpu" else [trial() for trial in trials]
        return {**told, **dict(zip(unsure, found, strict=True))}

    def planned(self, rgb: Rgb) -> Repair:
        """What is found in (H, W, 3) in [0, 1], and what is to be done about it. Raises OutOfMemoryFailure."""
        severities = self.look(rgb)
        planned, unmet = remedies(severities, self.tasks)
        return Repair(tuple(severities.items()), planned, unmet=unmet)

    def __call__(self, image: Picture, *, progress: Watch | None = None) -> Any:
        """The repaired image, of its own kind; see :meth:`with_repair`."""
        return self.with_repair(image, progress=progress)[0]

    def with_repair(self, image: Picture, *, progress: Watch | None = None) -> tuple[Any, Repair]:
        """(the repaired image, what was found and done). An image that needs nothing keeps every value.

        As a call of :class:`Restorer` takes and gives images; progress(done, total) is called during the work. Raises
        FileFailure and its kinds, TypeError, ValueError.
        """
        rgb, finish = open_picture(image)
        repair = self.planned(rgb)

        def steps(remedies: Sequence[Remedy]) -> list[Step]:
            chosen = [self.restorer(remedy.task) for remedy in remedies]
            return planned_steps(chosen, [{"strength": remedy.strength} for remedy in remedies], *rgb.shape[:2])

        work = self.done(rgb, steps(repair.planned), repair, steps, name=name_of(image))
        outcome, repair = drain(work, counting(progress))
        return finish(outcome.rgb), repair

    def done(
        self,
        rgb: Rgb,
        steps: Sequence[Step],
        repair: Repair,
        further: Further,
        *,
        seconds: Sequence[float | None] = (),
        watch: Watch | None = None,
        name: str = "picture",
    ) -> Generator[Progress, None, tuple[Outcome, Repair]]:
        """Do the steps, one for each planned remedy, and then what is only seen after them, each task once.

        Those that are taken back leave nothing in the picture. A further round counts as much as all before it.
        """
        if not steps:
            return Outcome(rgb, NOTHING, self.precision.name, ()), repair
        judge = _Looking(self, repair.planned, dict(repair.before), [])
        outcome = yield from in_turn(rgb, steps, seconds=seconds, watch=watch, name=name, judge=judge)
        planned, rounds = repair.planned, 1
        while outcome.rgb.shape == rgb.shape and (more := judge.further):
            share = Share(rounds, 1, rounds + 1)
            judge = _Looking(self, more, judge.now, judge.tried)
            seen = None if watch is None else partial(share.watch, watch)
            work = in_turn(outcome.rgb, further(more), watch=seen, name=name, judge=judge)
            outcome = _together(outcome, (yield from tapped(work, share.of)))
            planned, rounds = (*planned, *more), rounds + 1
        after = tuple(judge.now.items())
        return outcome, Repair(repair.before, planned, tuple(judge.tried), after, repair.unmet)


class _Looking(Judge):
    """Looks at each result of a round. now: the severities of the last one that was kept. tried: in all rounds."""

    def __init__(self, auto: Auto, planned: Sequence[Remedy], now: Mapping[str, float], tried: list[Tried]) -> None:
        self.now, self.tried = now, tried
        self._auto, self._planned = auto, planned

    @property
    def open(self) -> list[str]:
        """Damage that other damage may have hidden, and whose task may be done and has not been tried."""
        tried = {one.task for one in self.tried}
        left = [task for task in self._auto.tasks if task not in tried]
        return [name for name in HIDDEN if DAMAGES[name].task in left]

    @property
    def further(self) -> tuple[Remedy, ...]:
        """What to do about damage that is only seen now."""
        return remedies(self.now, [DAMAGES[name].task for name in self.open])[0]

    def wants(self, number: int) -> bool:
        remedy = self._planned[number]
        wanted = self.now[remedy.damage] >= RULES[remedy.damage].least
        if not wanted:
            self.tried.append(_tried(remedy, "left out", f"{_words(remedy)} went with an earlier step"))
        return wanted

    def keeps(self, number: int, result: Rgb) -> bool:
        remedy, after = self._planned[number], self._auto.look(result)
        why = objection(remedy.damage, self.now, after, self.open)
        if why is not None:
            self.tried.append(_tried(remedy, "taken back", why))
            return False
        self.tried.append(_tried(remedy, "kept"))
        self.now = after
        return True


def _together(first: Outcome, then: Outcome) -> Outcome:
    """Of two rounds."""
    return Outcome(
        then.rgb,
        "; ".join(dict.fromkeys((first.plan, then.plan))),
        ", ".join(dict.fromkeys((first.precision, then.precision))),
        (*first.warnings, *then.warnings),
        then.spread if then.spread is not None else first.spread,
        (*first.chain, *then.chain),
    )


def _tried(remedy: Remedy, result: Literal["kept", "taken back", "left out"], why: str = "") -> Tried:
    return Tried(remedy.task, remedy.damage, remedy.strength, result, why)


def _words(remedy: Remedy) -> str:
    return DAMAGES[remedy.damage].words


def _asked(trial: Trial, name: str, told: float, restorer: Restorer, sample: Sample) -> float:
    """The severity of a damage of which the detector tells so much."""
    try:
        return RULES[name].joined(told, trial(name, restorer, sample))
    except OutOfMemoryFailure:  # the task will not fit either, and then says so of the photo
        return told


def check_repairing(task: str) -> None:
    """Raise UsageError for a task that takes no damage away that is looked for."""
    if task not in ORDER:
        raise UsageError(f"{AUTO} does not choose {task}; it chooses from {any_of(ORDER, 'and')}")
