"""Which files of a run are left to do: what stands already, and what the records of the folders say of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from dfrestore.errors import FileFailure, StartError
from dfrestore.files import barrier, remove_stale_temporaries
from dfrestore.restore.extras import obstacle, option_of
from dfrestore.restore.planning import Job
from dfrestore.restore.record import OwnRecord, Record, Verdict, verdict
from dfrestore.restore.results import AnySettings, FileResult, failed_result

_WHY_LEFT = {
    "foreign": "exists already, and is not in the record",
    "other-settings": "made with other settings",
    "other-input": "made from another input",
    "edited": "its input changed, but it was changed too",
}
_WHY_REFUSED: dict[Verdict, str] = {
    "todo": "exists already, made from this photo before it changed",
    "foreign": "exists already",
    "other-settings": "exists already, made with other settings",
    "other-input": "exists already, made from another photo",
    "edited": "exists already, and was changed since",
}


class Records:
    """The records of a run, each read when first needed. closed: those that could not be written."""

    def __init__(self) -> None:
        self.closed: set[Path] = set()
        self._open: dict[Path | None, Record] = {}

    def of(self, job: Job) -> Record | None:
        if not job.recorded:
            return None
        if job.record not in self._open:
            self._open[job.record] = OwnRecord() if job.record is None else Record(job.record)
        return self._open[job.record]


def triage(
    jobs: Sequence[Job], settings: AnySettings, records: Records, *, overwrite: bool, lone: bool, newer: bool = False
) -> tuple[list[Job], list[FileResult]]:
    """(jobs to do, results of those that are settled already).

    lone: a run of one file, where an output that exists is a failure unless it is what would be made again. newer: of
    outputs that the record does not settle, those that are older than their input are redone, and those that it does
    not know and that are no older count as done; a lone output whose input changed is redone too.
    """
    if overwrite:
        return [replace(job, replace=True, extras=replace(job.extras, replace="all")) for job in jobs], []
    todo: list[Job] = []
    settled: list[FileResult] = []
    wanted = settings.hash
    for job in jobs:
        try:
            found = verdict(job, records.of(job), wanted)
        except FileFailure as error:
            settled.append(failed_result(job, str(error)))
            continue
        except OSError as error:
            settled.append(failed_result(job, f"{job.input}: cannot be read ({error.strerror or error})"))
            continue
        # "todo" of an output that is there: the record knows that its input changed, whatever the times say
        older = newer and found != "done" and os.path.lexists(job.output) and (found == "todo" or _is_older(job))
        redone = older or found == "preview"
        if redone and job.extras.replace == "none":
            job = replace(job, extras=replace(job.extras, replace="ours"))
        known = found == "done" or (newer and found == "foreign")
        if lone and not known and not redone and os.path.lexists(job.output):
            settled.append(failed_result(job, f"{job.output}: {_WHY_REFUSED[found]}; --overwrite replaces it"))
        elif found == "todo" or redone:
            # An output may be there: the one whose input has changed, or a preview of other settings.
            blocked = obstacle(job.extras)
            if blocked is None:
                todo.append(replace(job, replace=os.path.lexists(job.output)))
            else:
                settled.append(failed_result(job, blocked))
        elif known:
            settled.append(FileResult("skipped", job.input, job.output, extras=job.extras.existing))
        else:
            settled.append(FileResult("left", job.input, job.output, error=_WHY_LEFT[found]))
    return todo, settled


def _is_older(job: Job) -> bool:
    """Whether the output was last written before its input, or a mask of it, was."""
    try:
        return job.output.stat().st_mtime_ns < max(path.stat().st_mtime_ns for path in (job.input, *job.masks))
    except OSError:
        return False


def tidy(jobs: Iterable[Job]) -> None:
    """Remove the temporary files that dead runs left where these jobs write."""
    for folder in sorted(
        {p.parent for job in jobs if not job.stdout for p in (job.output, *job.extras.places.values())}
    ):
        remove_stale_temporaries(folder)


def check_places(jobs: Sequence[Job]) -> None:
    """Raise StartError where not one of these results, or of the pictures beside them, could be written."""
    folders: dict[str, set[Path]] = {}
    for job in jobs:
        results = {} if job.stdout else {"o": job.output}
        for kind, path in {**results, **job.extras.places}.items():
            folders.setdefault(kind, set()).add(path.parent)
    for kind, places in folders.items():
        first = min(places, key=lambda place: (len(place.parts), place))
        barred = barrier(first)
        if barred is not None and all(map(barrier, places - {first})):
            option = "-o" if kind == "o" else option_of(kind)
            raise StartError(f"{first}: nothing can be written here ({barred.strerror}); choose another {option}")


def made_meanwhile(job: Job, settings: AnySettings, records: Records) -> FileResult | None:
    """``skipped`` where another run has made this output, with the same settings, since this one looked."""
    record = records.of(job)
    if job.replace or record is None or not os.path.lexists(job.output):
        return None
    record.refresh()
    try:
        if verdict(job, record, settings.hash) != "done":
            return None
        size = job.output.stat().st_size
    except (OSError, FileFailure):
        return None
    # Another size: what someone else put there, while this run had recorded it and was about to give it its name.
    entry = record.get(job.output)
    return FileResult("skipped", job.input, job.output) if entry is not None and entry.bytes == size else None
