"""Restores many files, one after the other, as a stream of events.

One picture is in memory at a time; where the device is a GPU, its neighbours are too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfrestore import photo
from dfrestore.engine import is_out_of_memory
from dfrestore.errors import FileFailure, OutOfMemoryFailure, PhotoReadError
from dfrestore.photo.target_size import ResultSize
from dfrestore.restore.chain import Chain, Step, described, in_turn, planned_steps, slowdown, total
from dfrestore.restore.change import Change, change, is_hardly_any
from dfrestore.restore.extras import extras_written
from dfrestore.restore.lanes import Beside, InPlace
from dfrestore.restore.needs import Needs
from dfrestore.restore.planning import Job
from dfrestore.restore.restorer import Outcome
from dfrestore.restore.results import AnySettings, ChainSettings, FileResult, Started, failed_result
from dfrestore.restore.shown import extras_of, shown, written_size
from dfrestore.restore.source import (
    Source,
    can_be_copied,
    mask_png,
    read_source,
    result_size,
)
from dfrestore.restore.streams import write_stdout
from dfrestore.restore.todo import Records, made_meanwhile
from dfrestore.restore.trace import Trace
from dfrestore.restore.work import with_known

if TYPE_CHECKING:
    from dfrestore.engine import Progress
    from dfrestore.restore.images import Mask, Rgb
    from dfrestore.restore.restorer import Restorer

UNTOUCHED = "large enough as it is"


def run_batch(
    jobs: Iterable[Job],
    restorer: Restorer | Chain,
    settings: AnySettings,
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
    restorer: Restorer | Chain,
    settings: AnySettings,
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
    restorer: Restorer | Chain,
    settings: AnySettings,
    watch: Callable[[Job, float], object] | None,
) -> Generator[Started | Progress, None, _Restoration]:
    size = result_size(job, source, settings, native_scale(restorer), max_pixels)
    notes = _notes_on(size)
    steps = _steps(job, source, restorer, settings, size)
    if not steps:
        as_it_is = Outcome(source.photo.rgb, UNTOUCHED, restorer.precision.name, ())
        copied = can_be_copied(job, source, settings)
        return _Restoration(job, source, as_it_is, notes, extras_of(job, source, as_it_is, UNTOUCHED, 1, None), copied)
    seconds = [step.seconds for step in steps]
    yield _started(job, source, size, steps, seconds)
    work = in_turn(
        source.photo.rgb,
        steps,
        seconds=seconds,
        watch=None if watch is None else lambda done, total: watch(job, done / total),
        name=str(job.input),
    )
    trace = None
    if job.extras.trace is not None:
        trace = _trace(source, steps[0])
        work = trace.watch(work)
    outcome: Outcome = yield from work
    limit = _limit(source, settings)
    if limit is not None:
        outcome = replace(outcome, rgb=with_known(outcome.rgb, source.photo.rgb, limit))
    members = settings.parts[-1].ensemble
    extras = extras_of(job, source, outcome, _made_by(restorer, settings), members, trace)
    return _Restoration(job, source, outcome, notes, extras)


def _limit(source: Source, settings: AnySettings) -> Mask | None:
    """Where the result of several tasks is blended with the photo, once for all; a single task does it itself."""
    return source.mask if len(settings.parts) > 1 and not settings.fills else None


def native_scale(restorer: Restorer | Chain) -> int:
    """How many times the result is larger where no size is asked for."""
    return max(one.network.scale for one in restorer.restorers)


def _notes_on(size: ResultSize) -> tuple[str, ...]:
    if size.untouched:
        return (f"{UNTOUCHED}; not enlarged",)
    return (size.note,) if size.note else ()


def _steps(job: Job, source: Source, restorer: Restorer | Chain, settings: AnySettings, size: ResultSize) -> list[Step]:
    """What is to be done to a photo: all tasks, but none that would enlarge what is large enough."""
    restorers: list[Restorer] = []
    options: list[dict[str, Any]] = []
    encoding = photo.encoding_bytes(source.format, source.photo.origin.bits, size.height, size.width)
    now, alone = source.photo.size, len(settings.parts) == 1
    limited = _limit(source, settings) is not None
    for one, part in zip(restorer.restorers, settings.parts, strict=True):
        enlarges = alone or part.enlarges or one.network.scale > 1
        if enlarges and size.untouched:
            continue
        now = size.size if enlarges else now
        mask = source.mask if alone or part.fills else None
        spread = job.extras.uncertainty is not None
        blended = part.strength < 1 or part.keep_color or mask is not None or limited
        restorers.append(one)
        options.append(
            {
                "needs": Needs(now, part.ensemble, spread, blended, encoding),
                "steps": part.steps,
                "seed": part.seed,
                "tile": part.tile,
                "strength": part.strength,
                "ensemble": part.ensemble,
                "spread": spread,
                "keep_color": part.keep_color,
                "mask": mask,
                "size": now,
                "finish": part.finish,
            }
        )
    try:
        return planned_steps(restorers, options, *source.photo.size)
    except OutOfMemoryFailure as error:
        raise OutOfMemoryFailure(f"{job.input}: {error}") from error


def _trace(source: Source, step: Step) -> Trace:
    noise = step.restorer.noise(step.height, step.width, step.options["seed"])
    return Trace(source.photo, noise, steps=step.steps, members=step.options["ensemble"], mask=source.mask)


def _made_by(restorer: Restorer | Chain, settings: AnySettings) -> str:
    """For captions. A model is called by its name, or its file's, whose folders tell nothing there."""
    labels = [one.label for one in restorer.restorers]
    short = [Path(label).name if Path(label).suffix else label for label in labels]
    if len(short) > 1:
        return ", ".join(short)
    return settings.parts[0].made_by(short[0])


def _finished(
    restoration: _Restoration, settings: AnySettings, records: Records, label: str, begin: float
) -> FileResult:
    """Everything of a photo written."""
    job, source, outcome = restoration.job, restoration.source, restoration.outcome
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
        model=label,
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
    )


def _change(restoration: _Restoration, settings: AnySettings) -> Change:
    source, outcome = restoration.source, restoration.outcome
    if outcome.rgb is source.photo.rgb:  # as it is
        return Change(0.0, 0.0)
    mask = source.mask if len(settings.parts) == 1 else _limit(source, settings)
    found = change(source.photo.rgb, outcome.rgb, mask)
    share = 1.0 if mask is None else float(mask[mask > 0].mean())
    hardly = all(is_hardly_any(found, part.task, share * part.strength) for part in settings.parts)
    return replace(found, hardly=hardly, where=source.where.inside)


def _settled(finish: Callable[[], FileResult], failed: Callable[[Exception], FileResult]) -> FileResult:
    try:
        return finish()
    except Exception as error:
        return failed(error)


def _failure(job: Job, settings: AnySettings, records: Records, begin: float, error: Exception) -> FileResult:
    """How this file failed; errors that concern the whole run are raised again."""
    failure = _as_failure(error, job)
    if failure is None:
        raise error
    skipped = made_meanwhile(job, settings, records)
    return skipped or failed_result(job, failure, time.perf_counter() - begin)


def _written(
    restoration: _Restoration, picture: photo.Photo, rgb: Rgb, settings: AnySettings, record: Callable[[int], None]
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


def _started(
    job: Job, source: Source, result: ResultSize, steps: Sequence[Step], seconds: Sequence[float | None]
) -> Started:
    height, width = source.photo.size
    written = written_size(source, result.size)
    return Started(
        job,
        (width, height),
        (written[1], written[0]),
        described(steps),
        whole=all(step.plan.kind == "whole" for step in steps),
        seconds=total(seconds),
        filled=source.filled,
        where=source.where,
        slowdown=slowdown(steps),
    )


def _recorded(restoration: _Restoration, settings: AnySettings, records: Records, size: int) -> list[str]:
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


def preview(
    job: Job, restorer: Restorer | Chain, settings: AnySettings, max_pixels: int | None
) -> Started | FileResult:
    """What :func:`run_batch` would start with, or how it would fail; of files, only the mask's picture is written."""
    most = photo.MAX_PIXELS if max_pixels is None else max_pixels
    try:
        source = read_source(job, settings, most)
        if job.extras.save_mask is not None and source.mask is not None:
            with extras_written({job.extras.save_mask: mask_png(source.mask)}, job.extras.replace):
                pass
        size = result_size(job, source, settings, native_scale(restorer), most)
        steps = _steps(job, source, restorer, settings, size)
        if not steps:
            written = written_size(source, size.size)[::-1]
            return Started(job, (size.width, size.height), written, UNTOUCHED, True, 0.0, where=source.where)
    except (FileFailure, OSError) as error:
        return failed_result(job, _as_failure(error, job) or str(error))
    notes = (*source.photo.warnings, *source.notes, *_notes_on(size))
    return replace(_started(job, source, size, steps, [step.seconds for step in steps]), notes=notes)
