"""Restores many files, one after the other, as a stream of events.

One picture is in memory at a time; where the device is a GPU, its neighbours are too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dfrestore import photo
from dfrestore.engine import is_out_of_memory
from dfrestore.errors import FileFailure, OutOfMemoryFailure, PhotoReadError
from dfrestore.photo.enlarged import with_pixels
from dfrestore.photo.target_size import ResultSize
from dfrestore.restore.change import Change, change, is_hardly_any
from dfrestore.restore.comparison import comparison, encoded
from dfrestore.restore.extras import extras_written
from dfrestore.restore.lanes import Beside, InPlace
from dfrestore.restore.planning import Job
from dfrestore.restore.restorer import Outcome
from dfrestore.restore.results import FileResult, Settings, Started, failed_result
from dfrestore.restore.source import Source, can_be_copied, mask_png, read_source, result_format, result_size
from dfrestore.restore.streams import write_stdout
from dfrestore.restore.todo import Records, made_meanwhile
from dfrestore.restore.trace import Trace
from dfrestore.restore.uncertainty import uncertainty_png

if TYPE_CHECKING:
    from dfrestore.engine import Plan, Progress
    from dfrestore.restore.images import Rgb
    from dfrestore.restore.restorer import Restorer

UNTOUCHED = "large enough as it is"


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

    overlap: read the next photo and write the last one during the work, so that a result may come after the next
    Started; None: on all devices but the CPU, whose cores the work needs.

    watch(job, share) is called many times between two events; share: how much of that job is done, from 0 to 1.

    Outputs and their temporary files are safe when the generator is closed or interrupted anywhere.
    """
    beside = restorer.device.torch_device.type != "cpu" if overlap is None else overlap
    lanes: InPlace[FileResult] = Beside() if beside else InPlace()
    try:
        for job, load in lanes.ahead(jobs, partial(read_source, settings=settings, max_pixels=max_pixels)):
            yield from _one(job, load, max_pixels, restorer, settings, records, lanes, watch)
        yield from lanes.rest()
    finally:
        lanes.close()


def _one(
    job: Job,
    load: Callable[[], Source],
    max_pixels: int,
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
            restoration = yield from _restored(job, load(), max_pixels, restorer, settings, watch)
            finish = partial(_finished, restoration, settings, records, restorer.label, begin)
            del restoration
            yield from lanes.write(partial(_settled, finish, failed))
            return
    except Exception as error:
        result = failed(error)
    yield from lanes.rest()
    yield result


@dataclass(frozen=True)
class _Restoration:
    """A photo that has been restored but not yet written. notes: on its size. as_it_is: its file is copied."""

    job: Job
    source: Source
    outcome: Outcome
    notes: tuple[str, ...]
    extras: dict[Path, bytes]
    as_it_is: bool = False


def _restored(
    job: Job,
    source: Source,
    max_pixels: int,
    restorer: Restorer,
    settings: Settings,
    watch: Callable[[Job, float], object] | None,
) -> Generator[Started | Progress, None, _Restoration]:
    rgb = source.photo.rgb
    height, width = rgb.shape[:2]
    size = result_size(job, source.photo, settings, restorer.network.scale, max_pixels)
    notes = (size.note,) if size.note else ()
    if size.untouched:
        as_it_is = Outcome(rgb, UNTOUCHED, restorer.precision.name, ())
        copied = can_be_copied(job, source.photo, settings)
        extras = _extras(job, source, as_it_is, UNTOUCHED, settings.ensemble, None)
        return _Restoration(job, source, as_it_is, (f"{UNTOUCHED}; not enlarged",), extras, copied)
    plan = _plan(job, restorer, height, width, settings)
    yield _started(job, source, restorer, size, plan, settings)
    work = restorer.restore_rgb(
        rgb,
        steps=settings.steps,
        seed=settings.seed,
        plan=plan,
        strength=settings.strength,
        ensemble=settings.ensemble,
        spread=job.extras.uncertainty is not None,
        keep_color=settings.keep_color,
        mask=source.mask,
        size=size.size,
        finish=settings.finish,
        watch=None if watch is None else lambda done, total: watch(job, done / total),
        name=str(job.input),
    )
    trace = None
    if job.extras.trace is not None:
        noise = restorer.noise(height, width, settings.seed)
        start = rgb if noise is None else noise
        trace = Trace(source.photo, start, steps=settings.steps, members=settings.ensemble, mask=source.mask)
        del noise, start  # a small copy is kept
        work = trace.watch(work)
    outcome: Outcome = yield from work
    label = Path(restorer.label)  # a name, or a file, whose folders tell nothing in a caption
    made_by = settings.made_by(label.name if label.suffix else restorer.label)
    extras = _extras(job, source, outcome, made_by, settings.ensemble, trace)
    return _Restoration(job, source, outcome, notes, extras)


def _finished(restoration: _Restoration, settings: Settings, records: Records, label: str, begin: float) -> FileResult:
    """Everything of a photo written."""
    job, source, outcome = restoration.job, restoration.source, restoration.outcome
    base = with_pixels(source.photo, outcome.rgb)
    unrecorded: list[str] = []

    def record(size: int) -> None:
        unrecorded.extend(_recorded(restoration, settings, records, size))

    with extras_written(restoration.extras, job.extras.replace):
        notes = _written(job, base, outcome.rgb, settings, record, restoration.as_it_is)
    height, width = base.rgb.shape[:2]
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
        warnings=(*base.warnings, *source.notes, *restoration.notes, *outcome.warnings, *notes, *unrecorded),
        filled=source.filled,
        change=_change(restoration, settings),
        extras=job.extras.existing,
    )


def _change(restoration: _Restoration, settings: Settings) -> Change:
    source, outcome = restoration.source, restoration.outcome
    if outcome.rgb is source.photo.rgb:  # as it is
        return Change(0.0, 0.0)
    found = change(source.photo.rgb, outcome.rgb, source.mask)
    return replace(found, hardly=is_hardly_any(found, settings.task, settings.strength))


def _settled(finish: Callable[[], FileResult], failed: Callable[[Exception], FileResult]) -> FileResult:
    try:
        return finish()
    except Exception as error:
        return failed(error)


def _failure(job: Job, settings: Settings, records: Records, begin: float, error: Exception) -> FileResult:
    """How this file failed; errors that concern the whole run are raised again."""
    failure = _as_failure(error, job)
    if failure is None:
        raise error
    skipped = made_meanwhile(job, settings, records)
    return skipped or failed_result(job, failure, time.perf_counter() - begin)


def _extras(
    job: Job, source: Source, outcome: Outcome, made_by: str, members: int, trace: Trace | None
) -> dict[Path, bytes]:
    """Every extra file of a photo, ready to be written."""
    files: dict[Path, bytes] = {}
    if job.extras.uncertainty is not None and outcome.spread is not None:
        files[job.extras.uncertainty] = uncertainty_png(outcome.spread, members)
    if job.extras.compare is not None:
        strip = comparison(source.photo, outcome.rgb, job.input.name, made_by, source.mask)
        files[job.extras.compare] = encoded(strip, job.extras.compare.name)
    if job.extras.save_mask is not None and source.mask is not None:
        files[job.extras.save_mask] = mask_png(source.mask)
    if job.extras.trace is not None and trace is not None:
        files[job.extras.trace] = trace.encoded(outcome.rgb, job.extras.trace.name)
    return files


def _written(
    job: Job, picture: photo.Photo, rgb: Rgb, settings: Settings, record: Callable[[int], None], as_it_is: bool
) -> list[str]:
    """Writes the result; returns warnings. record: called with its size in bytes, unless it goes to a stream.

    as_it_is: the input's file is copied instead.
    """
    if job.stdout:
        return write_stdout(
            picture,
            rgb,
            format=settings.format,
            quality=settings.quality,
            strip_metadata=settings.strip_metadata,
        )
    photo.make_folder(job.output.parent)
    there = os.path.lexists(job.output)

    def record_first(size: int) -> None:
        if os.path.lexists(job.output):
            raise FileExistsError  # from another run, whose entry must stay
        record(size)

    # The record comes first: if the run is killed in between, the next one does not take the output for foreign.
    # An output that is replaced has its name already: its record changes after the file.
    before_naming = None if there else record_first
    notes: list[str] = []
    if as_it_is:
        photo.atomic_write(job.output, job.input.read_bytes(), overwrite=job.replace, before_naming=before_naming)
    else:
        notes = photo.write(
            job.output,
            picture,
            rgb,
            format=result_format(job, picture, settings),
            quality=settings.quality,
            strip_metadata=settings.strip_metadata,
            overwrite=job.replace,
            before_naming=before_naming,
        )
    if there:  # and replaced
        record(job.output.stat().st_size)
    return notes


def _started(
    job: Job, source: Source, restorer: Restorer, result: ResultSize, plan: Plan, settings: Settings
) -> Started:
    height, width = source.photo.size
    seconds = restorer.expected_seconds(height, width, settings.steps, plan, settings.ensemble)
    return Started(
        job,
        (width, height),
        (result.width, result.height),
        plan.describe(),
        whole=plan.kind == "whole",
        seconds=seconds,
        filled=source.filled,
        slowdown=restorer.slowdown(height, width, settings.steps, plan),
    )


def _plan(job: Job, restorer: Restorer, height: int, width: int, settings: Settings) -> Plan:
    try:
        return restorer.plan(height, width, settings.tile)
    except OutOfMemoryFailure as error:
        raise OutOfMemoryFailure(f"{job.input}: {error}") from error


def _recorded(restoration: _Restoration, settings: Settings, records: Records, size: int) -> list[str]:
    job, stamp = restoration.job, restoration.source.stamp
    record = records.of(job)
    if record is None or stamp is None:
        return []
    try:
        record.add(job.output, stamp, settings.hash, size, restoration.source.mask_stamps)
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
    """What :func:`run_batch` would start with, or how it would fail; of files, only the mask's picture is written."""
    most = photo.MAX_PIXELS if max_pixels is None else max_pixels
    try:
        source = read_source(job, settings, most)
        if job.extras.save_mask is not None and source.mask is not None:
            with extras_written({job.extras.save_mask: mask_png(source.mask)}, job.extras.replace):
                pass
        size = result_size(job, source.photo, settings, restorer.network.scale, most)
        if size.untouched:
            return Started(job, (size.width, size.height), (size.width, size.height), UNTOUCHED, True, 0.0)
        plan = _plan(job, restorer, *source.photo.size, settings)
    except (FileFailure, OSError) as error:
        return failed_result(job, _as_failure(error, job) or str(error))
    notes = (*source.photo.warnings, *source.notes, *((size.note,) if size.note else ()))
    return replace(_started(job, source, restorer, size, plan, settings), notes=notes)
