"""What a run over files is told and what it tells: settings, the events of each file, and their JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from dfrestore import windows
from dfrestore.errors import FileFailure
from dfrestore.photo.mask_source import DrawnMask
from dfrestore.photo.region import Region
from dfrestore.photo.target_size import TargetSize
from dfrestore.restore.change import Change, rounded
from dfrestore.restore.extras import NONE, Extras, named
from dfrestore.restore.finish import Finish
from dfrestore.restore.planning import Job
from dfrestore.restore.record import PREVIEW, settings_hash
from dfrestore.restore.remedies import Repair, repair_as_json, rules
from dfrestore.tasks import AUTO, CHAIN, TASKS

Status = Literal["done", "clean", "skipped", "left", "failed"]


@dataclass(frozen=True)
class Masking:
    """How masks are made. drawn: of the photo itself, beside mask files. invert, dilate, feather (pixels): what is done
    to them, in this order. keep_alpha: a photo whose transparent parts are filled keeps its alpha. regions: where alone
    a photo may change, beside what mask files cover; of tasks that fill nothing.
    """

    drawn: tuple[DrawnMask, ...] = ()
    invert: bool = False
    dilate: int = 0
    feather: int = 0
    keep_alpha: bool = False
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True)
class Where:
    """Where a photo may change, and what of it is written. masks: files. regions, preview: x, y, width and height in
    pixels of the upright photo, cut at its edge. covers: the mean strength over the photo, from 0 to 1; None without
    mask and region. words: all this for people.
    """

    masks: tuple[Path, ...] = ()
    regions: tuple[tuple[int, ...], ...] = ()
    covers: float | None = None
    preview: tuple[int, ...] | None = None
    words: tuple[str, ...] = ()

    @property
    def inside(self) -> str:
        """``the mask``, ``the region``; of both, it is a mask. Empty where all may change."""
        return "the mask" if self.masks else _of_count(len(self.regions), "the region")

    @property
    def named(self) -> dict[str, Any]:
        """For JSON: what there is of it."""
        found: dict[str, Any] = {"mask": list(map(str, self.masks)), "regions": list(map(list, self.regions))}
        found["covers"] = None if self.covers is None else round(self.covers, 4)
        found["preview"] = None if self.preview is None else list(self.preview)
        return {name: value for name, value in found.items() if value not in (None, [])}


def _of_count(count: int, word: str) -> str:
    return "" if count == 0 else word if count == 1 else f"{word}s"


@dataclass(frozen=True)
class Settings:
    """What decides an output besides its input. model: the checkpoint's sha256 (or what else identifies it).

    precision, window, tile: as the user set them, not as chosen on this machine, since another machine may continue.
    ensemble: number of members. keep_color: broad colours as in the input. size: of the result. finish: of the result.
    preview: the part of it that alone is written, in pixels of the photo.
    """

    task: str
    model: str
    steps: int
    seed: int = 0
    precision: str = "auto"
    window: windows.WindowSetting | None = None
    tile: int | None = None
    strength: float = 1.0
    format: str | None = None
    quality: int | None = None
    strip_metadata: bool = False
    ensemble: int = 1
    keep_color: bool = False
    size: TargetSize = field(default_factory=TargetSize)
    masking: Masking = field(default_factory=Masking)
    finish: Finish = field(default_factory=Finish)
    preview: Region | None = None

    @property
    def parts(self) -> tuple[Settings, ...]:
        """Of each task in turn: here of the one."""
        return (self,)

    @property
    def chained(self) -> bool:
        """Whether there may be other tasks: then masks and regions are for the result of all."""
        return False

    @property
    def enlarges(self) -> bool:
        """Whether a size may be asked for."""
        return TASKS[self.task].scale

    @property
    def fills(self) -> bool:
        """Whether a mask says what is to be filled, and not how strong the result is."""
        return TASKS[self.task].mask

    @property
    def hash(self) -> str:
        """Settings that later versions added are left out at their defaults, so that older records stay valid."""
        values = asdict(self) | {"size": self.size.describe(), "finish": self.finish.changed}
        values["masking"] |= {"drawn": [repr(how) for how in self.masking.drawn]}
        later = {"ensemble": 1, "keep_color": False, "size": TargetSize().describe(), "finish": {}, "preview": None}
        if not self.masking.regions:
            del values["masking"]["regions"]
        if self.masking == Masking():
            del values["masking"]
        found = settings_hash({key: value for key, value in values.items() if later.get(key, ...) != value})
        return found if self.preview is None else found + PREVIEW

    def made_by(self, model: str) -> str:
        """``derain/compact, 1 step, seed 0``."""
        steps = f"{self.steps} step{'s' if self.steps > 1 else ''}"
        members = f", ensemble of {self.ensemble}" if self.ensemble > 1 else ""
        finish = f", {self.finish.describe()}" if self.finish.changed else ""
        return f"{model}, {steps}, seed {self.seed}{members}{finish}"


@dataclass(frozen=True)
class ChainSettings:
    """The same for several tasks in turn. parts: of each; they agree in what is not of one task alone (format, ...)."""

    parts: tuple[Settings, ...]
    task: str = CHAIN
    steps: None = None  # each part has its own
    seed: None = None
    ensemble: None = None

    @property
    def chained(self) -> bool:
        return len(self.parts) > 1

    @property
    def format(self) -> str | None:
        return self.parts[0].format

    @property
    def quality(self) -> int | None:
        return self.parts[0].quality

    @property
    def strip_metadata(self) -> bool:
        return self.parts[0].strip_metadata

    @property
    def enlarges(self) -> bool:
        return any(part.enlarges for part in self.parts)

    @property
    def fills(self) -> bool:
        return any(part.fills for part in self.parts)

    @property
    def size(self) -> TargetSize:
        """Of the one part that enlarges."""
        return next((part.size for part in self.parts if part.enlarges), TargetSize())

    @property
    def masking(self) -> Masking:
        """Of the one part that has a mask."""
        return next((part.masking for part in self.parts if part.masking != Masking()), Masking())

    @property
    def preview(self) -> Region | None:
        return self.parts[0].preview

    @property
    def hash(self) -> str:
        return self._marked(settings_hash({self.task: [part.hash for part in self.parts]}))

    def _marked(self, found: str) -> str:
        return found if self.preview is None else found + PREVIEW


@dataclass(frozen=True)
class AutoSettings(ChainSettings):
    """Of a run that chooses for each photo. parts: of all tasks that it may choose. detector: what the model that looks
    is known by. skip_clean: photos that nothing is wrong with are not written; else they are copied.
    """

    task: str = AUTO
    detector: str = ""
    skip_clean: bool = False

    @property
    def chained(self) -> bool:
        return True

    @property
    def hash(self) -> str:
        return self._marked(
            settings_hash({self.task: [part.hash for part in self.parts], "looks": [self.detector, rules()]})
        )


AnySettings: TypeAlias = Settings | ChainSettings


@dataclass(frozen=True)
class StepResult:
    """What one task of a chain did to a photo. seconds: wall time of the work."""

    task: str
    model: str
    steps: int
    seed: int
    seconds: float
    precision: str
    plan: str
    ensemble: int = 1


@dataclass(frozen=True)
class FileResult:
    """What became of one input. status: ``done``; ``clean``: nothing is wrong with it, and nothing was to be written;
    ``skipped``: done before; ``left``: an output of other making is there (``error`` says which); ``failed``: ``error``
    says why. size: (width, height) of the result. seconds: wall time. filled: what the mask covers, in words. where:
    what else limits it. change: of the pixels, where they were restored. extras: those that were requested and stand
    beside the output. chain: the steps that were done, where several tasks follow one another: they have steps and
    seeds of their own. repair: what was found, of a run that chooses the tasks itself.
    """

    status: Status
    input: Path
    output: Path | None = None
    size: tuple[int, int] | None = None
    seconds: float = 0.0
    model: str | None = None
    seed: int | None = None
    steps: int | None = None
    precision: str | None = None
    plan: str | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    ensemble: int | None = None
    filled: str | None = None
    where: Where = field(default_factory=Where)
    change: Change | None = None
    extras: Extras = NONE
    chain: tuple[StepResult, ...] | None = None
    repair: Repair | None = None


@dataclass(frozen=True)
class Started:
    """A file has been read and its plan made. size, result: (width, height), of the photo and of its result.

    seconds: it will take about so long, if known; slowdown: so many times as long as without the user's tiles. filled:
    what the mask covers, in words. notes: one line each, of a dry run, whose photos have no result to carry
    them. repair: what was found and will be done, of a run that chooses the tasks itself.
    """

    job: Job
    size: tuple[int, int]
    result: tuple[int, int]
    plan: str
    whole: bool
    seconds: float | None = None
    filled: str | None = None
    where: Where = field(default_factory=Where)
    notes: tuple[str, ...] = ()
    slowdown: float | None = None
    repair: Repair | None = None


def failed_result(job: Job, error: str, seconds: float = 0.0) -> FileResult:
    return FileResult("failed", job.input, job.output, seconds=seconds, error=str(FileFailure(error)))


def as_json(result: FileResult) -> dict[str, Any]:
    """The object of ``--json``: input, output, size, seconds, model, seed, plan, change, extras, warnings, error."""
    item: dict[str, Any] = {
        **asdict(result),
        "input": str(result.input),
        "output": str(result.output) if result.output is not None else None,
        "size": list(result.size) if result.size else None,
        "seconds": round(result.seconds, 3),
        "warnings": list(result.warnings),
        "change": rounded(result.change),
        **named(result.extras),
        **result.where.named,
    }
    del item["extras"], item["where"]
    del item["repair"]
    if result.repair is not None:
        item |= repair_as_json(result.repair)
    if result.filled is None:
        del item["filled"]
    if result.chain is None:
        del item["chain"]
    else:
        item["chain"] = [{**asdict(step), "seconds": round(step.seconds, 3)} for step in result.chain]
    if result.status == "left":
        item["warnings"].append(result.error)
    if result.status != "failed":
        del item["error"]
    return item
