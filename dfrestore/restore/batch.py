"""Many files, one after the other: the doing, as a stream of events.

One picture is in memory at a time, but on GPUs. Nothing here imports torch: the Restorer comes in as an argument.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dfrestore import photo
from dfrestore.engine import is_out_of_memory
from dfrestore.errors import FileFailure, OutOfMemoryFailure, PhotoReadError
from dfrestore.photo.enlarged import enlarged
from dfrestore.photo.mask import fitted, read_mask
from dfrestore.restore.comparison import comparison, encoded
from dfrestore.restore.extras import extras_written
from dfrestore.restore.lanes import Beside, InPlace
from dfrestore.restore.planning import Job
from dfrestore.restore.record import Stamp
from dfrestore.restore.results import FileResult, Settings, Started, failed_result
from dfrestore.restore.streams import read_stdin, write_stdout
from dfrestore.restore.todo import Records, made_meanwhile
from dfrestore.restore.trace import Trace
from dfrestore.restore.uncertainty import uncertainty_png

if TYPE_CHECKING:
    from dfrestore.engine import Plan, Progress
    from dfrestore.restore.images import Mask
    from dfrestore.restore.restorer import Outcome, Restorer


def run_batch(
    jobs: Iterable[Job],
    restorer: Restorer,
    settings: Settings,
    records: Records,
    *,
    max_pixels: int = photo.MAX_PIXELS,
    overlap: bool | None = None,
    watch: Callable[[Job, float], object] | None = None,
) -> Iterator[Started | Progress | FileResult]:
    """Do the jobs that ``triage`` left; each yields Started, some Progress, and one FileResult, whatever goes wrong.

    overlap: the next photo is read and the last one written beside the work, so that a result may come after the next
    one has Started; None: where the device is not the CPU, whose cores the work needs.

    watch(job, share) is told many times between two events how much of that job is done, from 0 to 1.

    Outputs and their temporary files are safe when the generator is closed or interrupted anywhere.
    """
    beside = restorer.device.torch_device.type != "cpu" if overlap is None else overlap
    lanes: InPlace[FileResult] = Beside() if beside else InPlace()
    try:
        for job, taken in lanes.ahead(jobs, partial(_read, max_pixels=max_pixels)):
            yield from _one(job, taken, restorer, settings, records, lanes, watch)
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
    watch: Callable[[Job, float], object] | None,
) -> Iterator[Started | Progress | FileResult]:
    begin = time.perf_counter()
    failed = partial(_failure, job, settings, records, begin)
    try:
        result = made_meanwhile(job, settings, records)
        if result is None:
            made = yield from _restored(job, taken(), restorer, settings, watch)
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
    """A photo that has been read, and its mask. stamps: of their files, where a record wants to know."""

    stamp: Stamp | None
    photo: photo.Photo
    mask: Mask | None = None
    mask_stamp: Stamp | None = None
    notes: tuple[str, ...] = ()


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
    taken = read_stdin(max_pixels) if job.stdin else photo.read(job.input, max_pixels=max_pixels)
    if job.mask is None:
        return _Taken(stamp, taken)
    mask_stamp = Stamp.of(job.mask) if job.record is not None else None
    mask = read_mask(job.mask, max_pixels=max_pixels, soft=True)
    strength, note = fitted(mask.strength, taken, str(job.mask))
    return _Taken(stamp, taken, strength, mask_stamp, (*mask.notes, *([note] if note else [])))


def _restored(
    job: Job,
    taken: _Taken,
    restorer: Restorer,
    settings: Settings,
    watch: Callable[[Job, float], object] | None,
) -> Generator[Started | Progress, None, _Made]:
    rgb = taken.photo.rgb
    height, width = rgb.shape[:2]
    plan = _plan(job, restorer, height, width, settings)
    yield _started(job, restorer, height, width, plan, settings)
    work = restorer.restore_rgb(
        rgb,
        steps=settings.steps,
        seed=settings.seed,
        plan=plan,
        strength=settings.strength,
        ensemble=settings.ensemble,
        spread=job.extras.uncertainty is not None,
        keep_color=settings.keep_color,
        mask=taken.mask,
        watch=None if watch is None else lambda done, total: watch(job, done / total),
        name=str(job.input),
    )
    trace = None
    if job.extras.trace is not None:
        noise = restorer.noise(height, width, settings.seed)
        start = rgb if noise is None else noise
        trace = Trace(taken.photo, start, steps=settings.steps, members=settings.ensemble)
        del noise, start  # a small copy is kept
        work = trace.watch(work)
    outcome: Outcome = yield from work
    label = Path(restorer.label)  # a name, or a file, whose folders tell nothing in a caption
    made_by = settings.made_by(label.name if label.suffix else restorer.label)
    extras = _extras(job, taken.photo, outcome, made_by, settings.ensemble, trace)
    return _Made(job, taken, outcome, extras)


def _finished(made: _Made, settings: Settings, records: Records, label: str, begin: float) -> FileResult:
    """Everything of a photo written."""
    job, outcome = made.job, made.outcome
    taken = enlarged(made.taken.photo, *outcome.rgb.shape[:2])
    unrecorded: list[str] = []

    def record(size: int) -> None:
        unrecorded.extend(_recorded(made, settings, records, size))

    with extras_written(made.extras, job.extras.replace):
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
        warnings=(*taken.warnings, *made.taken.notes, *outcome.warnings, *notes, *unrecorded),
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
    made = made_meanwhile(job, settings, records)
    return made or failed_result(job, failure, time.perf_counter() - begin)


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


def _started(job: Job, restorer: Restorer, height: int, width: int, plan: Plan, settings: Settings) -> Started:
    seconds = restorer.expected_seconds(height, width, settings.steps, plan, settings.ensemble)
    return Started(job, (width, height), plan.describe(), plan.kind == "whole", seconds)


def _plan(job: Job, restorer: Restorer, height: int, width: int, settings: Settings) -> Plan:
    try:
        return restorer.plan(height, width, settings.tile)
    except OutOfMemoryFailure as error:
        raise OutOfMemoryFailure(f"{job.input}: {error}") from error


def _recorded(made: _Made, settings: Settings, records: Records, size: int) -> list[str]:
    job, stamp = made.job, made.taken.stamp
    record = records.of(job)
    if record is None or stamp is None:
        return []
    try:
        record.add(job.output, stamp, settings.hash, size, made.taken.mask_stamp)
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


def preview(job: Job, restorer: Restorer, settings: Settings, max_pixels: int | None) -> Started | FileResult:
    """What :func:`run_batch` would begin with, or the failure it would meet; nothing is written."""
    try:
        taken = photo.read(job.input, max_pixels=photo.MAX_PIXELS if max_pixels is None else max_pixels)
        height, width = taken.rgb.shape[:2]
        plan = _plan(job, restorer, height, width, settings)
    except FileFailure as error:
        return failed_result(job, str(error))
    return _started(job, restorer, height, width, plan, settings)
