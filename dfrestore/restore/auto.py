"""Looks at a picture, does what it needs, looks again after each step, and takes back what did not help."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from dfrestore.engine import Device, Precision, Progress, Watch, choose_device, choose_precision
from dfrestore.errors import UsageError
from dfrestore.restore.chain import Chain, Judge, Step, in_turn, planned_steps
from dfrestore.restore.detection import Detection
from dfrestore.restore.flow import drain
from dfrestore.restore.images import Picture, Rgb, name_of, open_picture
from dfrestore.restore.remedies import LEAST, NOTHING, ORDER, Remedy, Repair, Tried, objection, remedies, unasked
from dfrestore.restore.restorer import Outcome, Restorer
from dfrestore.restore.work import counting
from dfrestore.severities import DAMAGES
from dfrestore.tasks import AUTO, any_of
from dfrestore.weights import load_registry

AnyRestorer: TypeAlias = "Restorer | Chain | Auto"


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
    ) -> None:
        """load: a task -> its model. device, precision: those that it loads models for. Raises UsageError and
        DeviceError.
        """
        for task in tasks:
            check_repairing(task)
        self.detection = detection
        self.tasks = tuple(sorted(tasks, key=ORDER.index))
        self.device: Device = choose_device(device)
        self.precision: Precision = choose_precision(precision, self.device)
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

    def plan(self, severities: Mapping[str, float]) -> tuple[tuple[Remedy, ...], tuple[str, ...]]:
        """(what to do, in turn; damage that none of the tasks takes away), of severities of each kind, 0 to 1."""
        return remedies(severities, self.tasks)

    def __call__(self, image: Picture, *, progress: Watch | None = None) -> Any:
        """The repaired image, of its own kind; see :meth:`with_repair`."""
        return self.with_repair(image, progress=progress)[0]

    def with_repair(self, image: Picture, *, progress: Watch | None = None) -> tuple[Any, Repair]:
        """(the repaired image, what was found and done). An image that needs nothing keeps every value.

        As a call of :class:`Restorer` takes and gives images; progress(done, total) is called during the work. Raises
        FileFailure and its kinds, TypeError, ValueError.
        """
        rgb, finish = open_picture(image)
        severities = self.detection.severities(rgb)
        planned, unmet = self.plan(severities)
        chosen = [self.restorer(remedy.task) for remedy in planned]
        options = [{"strength": remedy.strength} for remedy in planned]
        steps = planned_steps(chosen, options, *rgb.shape[:2])
        work = self.done(rgb, steps, Repair(tuple(severities.items()), planned, unmet=unmet), name=name_of(image))
        outcome, repair = drain(work, counting(progress))
        return finish(outcome.rgb), repair

    def done(
        self,
        rgb: Rgb,
        steps: Sequence[Step],
        repair: Repair,
        *,
        seconds: Sequence[float | None] = (),
        watch: Watch | None = None,
        name: str = "picture",
    ) -> Generator[Progress, None, tuple[Outcome, Repair]]:
        """Do the steps, one for each planned remedy; those that are taken back leave nothing in the picture."""
        if not steps:
            return Outcome(rgb, NOTHING, self.precision.name, ()), repair
        judge = _Looking(self.detection, repair)
        outcome = yield from in_turn(rgb, steps, seconds=seconds, watch=watch, name=name, judge=judge)
        after = tuple(judge.now.items())
        return outcome, Repair(repair.before, repair.planned, tuple(judge.tried), after, repair.unmet)


class _Looking(Judge):
    """Looks at each result. now: the severities of the last one that was kept."""

    def __init__(self, detection: Detection, repair: Repair) -> None:
        self.now: Mapping[str, float] = dict(repair.before)
        self.tried: list[Tried] = []
        self._detection, self._planned = detection, repair.planned

    def wants(self, number: int) -> bool:
        remedy = self._planned[number]
        wanted = self.now[remedy.damage] >= LEAST[remedy.damage]
        if not wanted:
            self.tried.append(_tried(remedy, "left out", f"{_words(remedy)} went with an earlier step"))
        return wanted

    def keeps(self, number: int, result: Rgb) -> bool:
        remedy, after = self._planned[number], self._detection.severities(result)
        why = objection(remedy.damage, self.now, after)
        if why is not None:
            self.tried.append(_tried(remedy, "taken back", why))
            return False
        self.tried.append(_tried(remedy, "kept"))
        self.now = after
        return True


def _tried(remedy: Remedy, result: Literal["kept", "taken back", "left out"], why: str = "") -> Tried:
    return Tried(remedy.task, remedy.damage, remedy.strength, result, why)


def _words(remedy: Remedy) -> str:
    return DAMAGES[remedy.damage].words


def check_repairing(task: str) -> None:
    """Raise UsageError for a task that takes no damage away that is looked for."""
    if task not in ORDER:
        raise UsageError(f"{AUTO} does not choose {task}; it chooses from {any_of(ORDER, 'and')}")
