"""Restores many files, one after the other, as a stream of events.

One picture is in memory at a time; where the device is a GPU, its neighbours are too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dfrestore import photo
from dfrestore.engine import give_back, is_out_of_memory
from dfrestore.errors import FileFailure, OutOfMemoryFailure, PhotoReadError
from dfrestore.restore.auto import AnyRestorer, Auto
from dfrestore.restore.change import Change, change, is_hardly_any
from dfrestore.restore.extras import extras_written
from dfrestore.restore.lanes import Beside, InPlace
from dfrestore.restore.making import Restoration, WatchJob, Work, expected, limit_of, restored
from dfrestore.restore.planning import Job
from dfrestore.restore.repairing import expected_repair, repaired
from dfrestore.restore.results import AnySettings, AutoSettings, ChainSettings, FileResult, Started, failed_result
from dfrestore.restore.shown import shown
from dfrestore.restore.source import Source, mask_png, read_source
from dfrestore.restore.streams import write_stdout
from dfrestore.restore.todo import Records, made_meanwhile

if TYPE_CHECKING:
    from dfrestore.engine import Progress
    from dfrestore.restore.images import Rgb


def run_batch(
    jobs: Iterable[Job],
    restorer: AnyRestorer,
    settings: AnySettings,
    records: Records,
    *,
    max_pixels: int = photo.MAX_PIXELS,
    overlap: bool | None = None,
    watch: WatchJob = None,
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
    restorer: AnyRestorer,
    settings: AnySettings,
    records: Records,
    lanes: InPlace[FileResult],
    watch: WatchJob,
) -> Iterator[Started | Progress | FileResult]:
    begin = time.perf_counter()
    failed = partial(_failure, job, settings, records, begin)
    try:
        result = made_meanwhile(job, settings, records)
        if result is None:
            restoration = yield from _made(job, load(), max_pixels, restorer, settings, watch)
            finish = partial(_finished, restoration, settings, records, begin)
            del restoration
            yield from lanes.write(partial(_settled, finish, failed))
            return
    except Exception as error:
        result = failed(error)
    yield from lanes.rest()
    yield result


def _made(
    job: Job,
    source: Source,
    max_pixels: int,
    restorer: AnyRestorer,
    settings: AnySettings,
    watch: WatchJob,
) -> Work:
    if isinstance(restorer, Auto):
        return (yield from repaired(job, source, max_pixels, restorer, settings, watch))
    return (yield from restored(job, source, max_pixels, restorer, settings, watch))


def _finished(restoration: Restoration, settings: AnySettings, records: Records, begin: float) -> FileResult:
    """Everything of a photo written; one that nothing is wrong with only where that is wanted."""
    job, source, outcome, repair = restoration.job, restoration.source, restoration.outcome, restoration.repair
    if repair is not None and not repair.changed and isinstance(settings, AutoSettings) and settings.skip_clean:
        seconds = time.perf_counter() - begin
        return FileResult("clean", job.input, seconds=seconds, warnings=restoration.notes, repair=repair)
    base, rgb = shown(source, outcome.rgb)
    unrecorded: list[str] = []

    def record(size: int) -> None:
        unrecorded.extend(_recorded(restoration, settings, records, size))

    with extras_written(restoration.extras, job.extras.replace):
        notes = _written(restoration, base, rgb, settings, record)
    height, width = rgb.shape[:2]
    return FileResult(
        "done",
        job.input,
        job.output,
        size=(width, height),
        seconds=time.perf_counter() - begin,
        model=restoration.label or None,
        seed=settings.seed,
        steps=settings.steps,
        ensemble=settings.ensemble,
        precision=outcome.precision,
        plan=outcome.plan,
        warnings=(*base.warnings, *source.notes, *restoration.notes, *outcome.warnings, *notes, *unrecorded),
        filled=source.filled,
        where=source.where,
        change=_change(restoration, settings),
        extras=job.extras.existing,
        chain=outcome.chain if isinstance(settings, ChainSettings) else None,
        repair=repair,
    )


def _change(restoration: Restoration, settings: AnySettings) -> Change:
    source, outcome = restoration.source, restoration.outcome
    if outcome.rgb is source.photo.rgb:  # as it is
        return Change(0.0, 0.0)
    mask = limit_of(source, settings) if settings.chained else source.mask
    found = change(source.photo.rgb, outcome.rgb, mask)
    share = 1.0 if mask is None else float(mask[mask > 0].mean())
    done = {step.task for step in outcome.chain}
    parts = [part for part in settings.parts if part.task in done] if done else settings.parts
    hardly = all(is_hardly_any(found, part.task, share * part.strength) for part in parts)
    return replace(found, hardly=hardly, where=source.where.inside)


def _settled(finish: Callable[[], FileResult], failed: Callable[[Exception], FileResult]) -> FileResult:
    try:
        return finish()
    except Exception as error:
        return failed(error)
    finally:
        give_back()


def _failure(job: Job, settings: AnySettings, records: Records, begin: float, error: Exception) -> FileResult:
    """How this file failed; errors that concern the whole run are raised again."""
    failure = _as_failure(error, job)
    if failure is None:
        raise error
    skipped = made_meanwhile(job, settings, records)
    return skipped or failed_result(job, failure, time.perf_counter() - begin)


def _written(
    restoration: Restoration, picture: photo.Photo, rgb: Rgb, settings: AnySettings, record: Callable[[int], None]
) -> list[str]:
    """Writes the result, or copies the input's file; returns warnings.

    record: called with its size in bytes, unless it goes to a stream.
    """
    job, format = restoration.job, restoration.source.format
    how: dict[str, Any] = {"quality": settings.quality, "strip_metadata": settings.strip_metadata}
    if job.stdout:
        return write_stdout(picture, rgb, format=format, **how)
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
    if restoration.as_it_is:
        photo.atomic_write(job.output, job.input.read_bytes(), overwrite=job.replace, before_naming=before_naming)
    else:
        notes = photo.write(
            job.output,
            picture,
            rgb,
            format=format,
            overwrite=job.replace,
            before_naming=before_naming,
            **how,
        )
    if there:  # and replaced
        record(job.output.stat().st_size)
    return notes


def _recorded(restoration: Restoration, settings: AnySettings, records: Records, size: int) -> list[str]:
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


def preview(job: Job, restorer: AnyRestorer, settings: AnySettings, max_pixels: int | None) -> Started | FileResult:
    """What :func:`run_batch` would start with, or how it would fail; of files, only the mask's picture is written."""
    most = photo.MAX_PIXELS if max_pixels is None else max_pixels
    try:
        source = read_source(job, settings, most)
        if job.extras.save_mask is not None and source.mask is not None:
            with extras_written({job.extras.save_mask: mask_png(source.mask)}, job.extras.replace):
                pass
        if isinstance(restorer, Auto):
            seen = expected_repair(job, source, most, restorer, settings)
        else:
            seen = expected(job, source, most, restorer, settings)
    except (FileFailure, OSError) as error:
        return failed_result(job, _as_failure(error, job) or str(error))
    return replace(seen, notes=(*source.photo.warnings, *source.notes, *seen.notes))
