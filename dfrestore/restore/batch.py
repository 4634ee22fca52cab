"""Many files, one after the other: what is left to do, and the doing, as a stream of events.

One picture is in memory at a time, but on GPUs. Nothing here imports torch: the Restorer comes in as an argument.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dfrestore import photo
from dfrestore.engine import is_out_of_memory
from dfrestore.errors import FileFailure, OutOfMemoryFailure, PhotoReadError
from dfrestore.files import remove_stale_temporaries
from dfrestore.restore.comparison import comparison, encoded
from dfrestore.restore.extras import NONE, Extras, named, obstacle, standing
from dfrestore.restore.lanes import Beside, InPlace
from dfrestore.restore.planning import Job
from dfrestore.restore.record import Record, Stamp, settings_hash, verdict
from dfrestore.restore.streams import read_stdin, write_stdout
from dfrestore.restore.trace import Trace
from dfrestore.restore.uncertainty import uncertainty_png

if TYPE_CHECKING:
    from dfrestore.engine import Plan, Progress
    from dfrestore.restore.restorer import Outcome, Restorer

Status = Literal["done", "skipped", "left", "failed"]

_WHY_LEFT = {
    "foreign": "exists already, and is not in the record",
    "other-settings": "made with other settings",
    "other-input": "made from another input",
    "edited": "its input changed, but it was changed too",
}


@dataclass(frozen=True)
class Settings:
    """What decides an output besides its input. model: the checkpoint's sha256 (or what else identifies it).

    precision, window and tile as asked for, not as chosen on this machine: a run may go on on another one.
    ensemble: number of members. keep_color: broad colours as in the input.
    """

    task: str
    model: str
    steps: int
    seed: int = 0
    precision: str = "auto"
    window: int | str | None = None
    tile: int | None = None
    strength: float = 1.0
    format: str | None = None
    quality: int | None = None
    strip_metadata: bool = False
    ensemble: int = 1
    keep_color: bool = False

    @property
    def hash(self) -> str:
        """What came later is left out where it changes nothing, so that records of before stay true."""
        later = {"ensemble": 1, "keep_color": False}
        return settings_hash({key: value for key, value in asdict(self).items() if later.get(key, ...) != value})

    def made_by(self, model: str) -> str:
        """``derain/compact, 1 step, seed 0``."""
        steps = f"{self.steps} step{'s' if self.steps > 1 else ''}"
        members = f", ensemble of {self.ensemble}" if self.ensemble > 1 else ""
        return f"{model}, {steps}, seed {self.seed}{members}"


@dataclass(frozen=True)
class FileResult:
    """What became of one input. status: ``done``; ``skipped``: done before; ``left``: an output of other making is
    there (``error`` says which); ``failed``: ``error`` says why. size: (width, height). seconds: wall time.
    extras: those that were asked for and stand beside the output.
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
    extras: Extras = NONE


@dataclass(frozen=True)
class Started:
    """A file has been read and its plan made. size: (width, height)."""

    job: Job
    size: tuple[int, int]
    plan: str
    whole: bool


class Records:
    """The records of the folders of a run, each read when first needed. closed: those that could not be written."""

    def __init__(self) -> None:
        self.closed: set[Path] = set()
        self._open: dict[Path, Record] = {}

    def of(self, job: Job) -> Record | None:
        if job.record is None:
            return None
        if job.record not in self._open:
            self._open[job.record] = Record(job.record)
        return self._open[job.record]


def triage(
    jobs: Sequence[Job], settings: Settings, records: Records, *, overwrite: bool, lone: bool
) -> tuple[list[Job], list[FileResult]]:
    """(jobs to do, results of those that are settled already). lone: a run of one file, where an output that exists
    is a failure and not something done before.
    """
    if overwrite:
        return [replace(job, replace=True, extras=replace(job.extras, replace="all")) for job in jobs], []
    todo: list[Job] = []
    settled: list[FileResult] = []
    wanted = settings.hash
    for job in jobs:
        try:
            found = verdict(job, records.of(job), wanted)
        except OSError as error:
            settled.append(_failed(job, f"{job.input}: cannot be read ({error.strerror or error})"))
            continue
        if found == "todo":
            # An output may be there: the one whose input has changed.
            blocked = obstacle(job.extras)
            if blocked is None:
                todo.append(replace(job, replace=os.path.lexists(job.output)))
            else:
                settled.append(_failed(job, blocked))
        elif lone:
            settled.append(_failed(job, f"{job.output}: exists already; --overwrite replaces it"))
        elif found == "done":
            settled.append(FileResult("skipped", job.input, job.output, extras=job.extras.found))
        else:
            settled.append(FileResult("left", job.input, job.output, error=_WHY_LEFT[found]))
    return todo, settled


def tidy(jobs: Iterable[Job]) -> None:
    """Remove the temporary files that dead runs left where these jobs write."""
    for folder in sorted(
        {p.parent for job in jobs if not job.stdout for p in (job.output, *job.extras.places.values())}
    ):
        remove_stale_temporaries(folder)


def run_batch(
    jobs: Iterable[Job],
    restorer: Restorer,
    settings: Settings,
    records: Records,
    *,
    max_pixels: int = photo.MAX_PIXELS,
    overlap: bool | None = None,
) -> Iterator[Started | Progress | FileResult]:
    """Do the jobs of :func:`triage`; each yields Started, some Progress, and one FileResult, whatever goes wrong.

    overlap: the next photo is read and the last one written beside the work, so that a result may come after the next
    one has Started; None: where the device is not the CPU, whose cores the work needs.

    Outputs and their temporary files are safe when the generator is closed or interrupted anywhere.
    """
    beside = restorer.device.torch_device.type != "cpu" if overlap is None else overlap
    lanes: InPlace[FileResult] = Beside() if beside else InPlace()
    try:
        for job, taken in lanes.ahead(jobs, partial(_read, max_pixels=max_pixels)):
            yield from _one(job, taken, restorer, settings, records, lanes)
        yield from lanes.rest()
    finally:
        lanes.close()


def _one(
    job: Job,
    taken: Callable[[], _Taken],
    restorer: Restorer,
    settings: Settings,
    records: Records,
    lanes: InPlace[FileResult],
) -> Iterator[Started | Progress | FileResult]:
    begin = time.perf_counter()
    failed = partial(_failure, job, settings, records, begin)
    try:
        result = _made_meanwhile(job, settings, records)
        if result is None:
            made = yield from _restored(job, taken(), restorer, settings)
            finish = partial(_finished, made, settings, records, restorer.label, begin)
            del made
            yield from lanes.write(partial(_settled, finish, failed))
            return
    except Exception as error:
        result = failed(error)
    yield from lanes.rest()
    yield result


@dataclass(frozen=True)
class _Taken:
    """A photo that has been read. stamp: of its file, where a record wants to know."""

    stamp: Stamp | None
    photo: photo.Photo


@dataclass(frozen=True)
class _Made:
    """A photo that has been restored, and nothing written yet."""

    job: Job
    taken: _Taken
    outcome: Outcome
    extras: dict[Path, bytes]


def _read(job: Job, max_pixels: int) -> _Taken:
    # before reading: a file that changes meanwhile is redone next time
    stamp = Stamp.of(job.input) if job.record is not None else None
    return _Taken(stamp, read_stdin(max_pixels) if job.stdin else photo.read(job.input, max_pixels=max_pixels))


def _restored(
    job: Job, taken: _Taken, restorer: Restorer, settings: Settings
) -> Generator[Started | Progress, None, _Made]:
    rgb = taken.photo.rgb
    height, width = rgb.shape[:2]
    plan = _plan(job, restorer, height, width, settings)
    yield Started(job, (width, height), plan.describe(), plan.kind == "whole")
    work = restorer.restore_rgb(
        rgb,
        steps=settings.steps,
        seed=settings.seed,
        plan=plan,
        strength=settings.strength,
        ensemble=settings.ensemble,
        spread=job.extras.uncertainty is not None,
        keep_color=settings.keep_color,
        name=str(job.input),
    )
    trace = None
    if job.extras.trace is not None:
        noise = restorer.noise(height, width, settings.seed)
        trace = Trace(taken.photo, noise, steps=settings.steps, members=settings.ensemble)
        del noise  # a small copy is kept
        work = trace.watch(work)
    outcome: Outcome = yield from work
    label = Path(restorer.label)  # a name, or a file, whose folders tell nothing in a caption
    made_by = settings.made_by(label.name if label.suffix else restorer.label)
    extras = _extras(job, taken.photo, outcome, made_by, settings.ensemble, trace)
    return _Made(job, taken, outcome, extras)


def _finished(made: _Made, settings: Settings, records: Records, label: str, begin: float) -> FileResult:
    """Everything of a photo written."""
    job, taken, outcome = made.job, made.taken.photo, made.outcome
    unrecorded: list[str] = []

    def record(size: int) -> None:
        unrecorded.extend(_recorded(job, made.taken.stamp, settings, records, size))

    with standing(made.extras, job.extras.replace):
        notes = _written(job, taken, outcome, settings, record)
    height, width = taken.rgb.shape[:2]
    return FileResult(
        "done",
        job.input,
        job.output,
        size=(width, height),
        seconds=time.perf_counter() - begin,
        model=label,
        seed=settings.seed,
        steps=settings.steps,
        ensemble=settings.ensemble,
        precision=outcome.precision,
        plan=outcome.plan,
        warnings=(*taken.warnings, *outcome.warnings, *notes, *unrecorded),
        extras=job.extras,
    )


def _settled(finish: Callable[[], FileResult], failed: Callable[[Exception], FileResult]) -> FileResult:
    try:
        return finish()
    except Exception as error:
        return failed(error)


def _failure(job: Job, settings: Settings, records: Records, begin: float, error: Exception) -> FileResult:
    """How this file failed; raises what concerns the whole run."""
    failure = _as_failure(error, job)
    if failure is None:
        raise error
    made = _made_meanwhile(job, settings, records)
    return made or _failed(job, failure, time.perf_counter() - begin)


def _extras(
    job: Job, taken: photo.Photo, outcome: Outcome, made_by: str, members: int, trace: Trace | None
) -> dict[Path, bytes]:
    """Every extra file of a photo, ready to be written."""
    files: dict[Path, bytes] = {}
    if job.extras.uncertainty is not None and outcome.spread is not None:
        files[job.extras.uncertainty] = uncertainty_png(outcome.spread, members)
    if job.extras.compare is not None:
        strip = comparison(taken, outcome.rgb, job.input.name, made_by)
        files[job.extras.compare] = encoded(strip, job.extras.compare.name)
    if job.extras.trace is not None and trace is not None:
        files[job.extras.trace] = trace.encoded(outcome.rgb, job.extras.trace.name)
    return files


def _written(
    job: Job, taken: photo.Photo, outcome: Outcome, settings: Settings, record: Callable[[int], None]
) -> list[str]:
    """Writes the result; returns warnings. record: told the result's size in bytes, but not of streams."""
    if job.stdout:
        return write_stdout(
            taken,
            outcome.rgb,
            format=settings.format,
            quality=settings.quality,
            strip_metadata=settings.strip_metadata,
        )
    photo.make_folder(job.output.parent)
    there = os.path.lexists(job.output)

    def record_first(size: int) -> None:
        if os.path.lexists(job.output):
            raise FileExistsError  # another's, since: the record is to tell of that one
        record(size)

    notes = photo.write(
        job.output,
        taken,
        outcome.rgb,
        format=settings.format or photo.format_of_path(job.output) or taken.origin.format,
        quality=settings.quality,
        strip_metadata=settings.strip_metadata,
        overwrite=job.replace,
        # First the record, so that a run killed in between leaves no output that the next one takes for another's.
        # What is replaced has its name already: its record changes after the file.
        before_naming=None if there else record_first,
    )
    if there:  # and replaced
        record(job.output.stat().st_size)
    return notes


def _made_meanwhile(job: Job, settings: Settings, records: Records) -> FileResult | None:
    """``skipped`` where another run has made this output, with the same settings, since this one looked."""
    record = records.of(job)
    if job.replace or record is None or not os.path.lexists(job.output):
        return None
    record.refresh()
    try:
        if verdict(job, record, settings.hash) != "done":
            return None
        size = job.output.stat().st_size
    except OSError:
        return None
    # Another size: what someone else put there, while this run had recorded it and was about to give it its name.
    entry = record.get(job.output)
    return FileResult("skipped", job.input, job.output) if entry is not None and entry.bytes == size else None


def _plan(job: Job, restorer: Restorer, height: int, width: int, settings: Settings) -> Plan:
    try:
        return restorer.plan(height, width, settings.tile)
    except OutOfMemoryFailure as error:
        raise OutOfMemoryFailure(f"{job.input}: {error}") from error


def _recorded(job: Job, stamp: Stamp | None, settings: Settings, records: Records, size: int) -> list[str]:
    record = records.of(job)
    if record is None or stamp is None:
        return []
    try:
        record.add(job.output, stamp, settings.hash, size)
    except OSError as error:
        known = record.path in records.closed
        records.closed.add(record.path)
        why = f"{record.path}: cannot be written ({error.strerror or error}); later runs will not know what is done"
        return [] if known else [why]
    return []


def _as_failure(error: Exception, job: Job) -> str | None:
    """The line for a failure of this file alone; None for what concerns the whole run."""
    if os.environ.get("DFRESTORE_DEBUG") == "1" and not isinstance(error, FileFailure):
        return None
    if isinstance(error, FileFailure):
        return str(error)
    if isinstance(error, BrokenPipeError):  # the reader of the result has gone
        return None
    if is_out_of_memory(error):
        return str(OutOfMemoryFailure(f"{job.input}: out of memory while reading or writing it"))
    if isinstance(error, OSError):
        return str(PhotoReadError(f"{job.input}: {error.strerror or error}"))
    return str(FileFailure(f"{job.input}: unexpected {type(error).__name__}: {error} (DFRESTORE_DEBUG=1 shows where)"))


def _failed(job: Job, error: str, seconds: float = 0.0) -> FileResult:
    return FileResult("failed", job.input, job.output, seconds=seconds, error=str(FileFailure(error)))


def as_json(result: FileResult) -> dict[str, Any]:
    """The object of ``--json``: input, output, size, seconds, model, seed, plan, extras, warnings, and any error."""
    item: dict[str, Any] = {
        **asdict(result),
        "input": str(result.input),
        "output": str(result.output) if result.output is not None else None,
        "size": list(result.size) if result.size else None,
        "seconds": round(result.seconds, 3),
        "warnings": list(result.warnings),
        **named(result.extras),
    }
    del item["extras"]
    if result.status == "left":
        item["warnings"].append(result.error)
    if result.status != "failed":
        del item["error"]
    return item


def preview(job: Job, restorer: Restorer, settings: Settings, max_pixels: int | None) -> Started | FileResult:
    """What :func:`run_batch` would begin with, or the failure it would meet; nothing is written."""
    try:
        taken = photo.read(job.input, max_pixels=photo.MAX_PIXELS if max_pixels is None else max_pixels)
        height, width = taken.rgb.shape[:2]
        plan = _plan(job, restorer, height, width, settings)
    except FileFailure as error:
        return _failed(job, str(error))
    return Started(job, (width, height), plan.describe(), plan.kind == "whole")
