"""From the INPUTs and OUT of a command to a list of jobs, before any file is touched."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from dfrestore.errors import PhotoReadError, UsageError
from dfrestore.photo import WRITTEN_AS, check_beginning, format_of_path, read_only_format
from dfrestore.restore.extras import NONE, ExtraOptions, Extras, Places, check_inputs_apart, option_of, places_of
from dfrestore.restore.inputs import endings, in_one_line, notes_on, nothing_in, sources_of
from dfrestore.restore.mask_files import FoundMasks, find_masks, without_masks
from dfrestore.restore.name_template import NameTemplate
from dfrestore.restore.naming import (
    PREVIEW,
    check_out_file,
    ends_like_folder,
    identity,
    is_folder,
    out_is_folder,
    result_name,
)
from dfrestore.restore.recorded import results_beside
from dfrestore.restore.scan import Scan, file_of, scan_folder


@dataclass(frozen=True)
class Job:
    """One picture to make. record: the folder whose ``.dfrestore.jsonl`` lists it; None for files that were named, for
    which there is one in the cache folder.

    replace: an existing output, and its extras, may be replaced. stdin, stdout: the picture comes from, or goes to, a
    stream. masks: pictures that say together where the photo may change.
    """

    input: Path
    output: Path
    record: Path | None
    replace: bool = False
    stdin: bool = False
    stdout: bool = False
    extras: Extras = NONE
    masks: tuple[Path, ...] = ()

    @property
    def recorded(self) -> bool:
        """Whether a record lists it: both ends are files."""
        return not (self.stdin or self.stdout)


_Planned: TypeAlias = tuple[Job, Path | None]  # and the input folder that it was found in


@dataclass(frozen=True)
class FilePlan:
    """jobs in the order of work; failures: (INPUT, what is wrong with it); notes: one line each, for people."""

    jobs: tuple[Job, ...]
    failures: tuple[tuple[Path, str], ...] = ()
    notes: tuple[str, ...] = ()


def plan_files(
    inputs: Sequence[str | Path],
    out: str | Path | None,
    task: str,
    *,
    fmt: str | None = None,
    recursive: bool = True,
    extras: ExtraOptions | None = None,
    masks: Path | None = None,
    template: NameTemplate | None = None,
    preview: bool = False,
) -> FilePlan:
    """Expand ``inputs`` (files and folders) and name every output. fmt: ``PNG``, ``JPEG``, ... or None (as the input).

    extras: what is made beside the results. masks: a mask file for all, or a folder of them. template: what results
    are called. preview: they show parts of photos, and have names of their own. Raises :class:`UsageError`: an input
    that does not exist, two inputs for one output, an output over an input or a mask.
    """
    sources = sources_of(inputs)
    folders = [source for source in sources if source.is_dir()]
    into = _destination(out, len(sources) - len(folders), len(folders), fmt)
    if into.folder is not None:
        _check_out_folder(into.folder, folders)
    if into.file is not None and template is not None:
        raise UsageError(f"-o {out} names the result, and so does --name; leave one of them out")
    beside = places_of(extras or ExtraOptions(), len(sources) - len(folders), len(folders))
    check_inputs_apart(beside, folders)
    made = [folder for folder in (into.folder, *beside.folders.values()) if folder is not None]
    naming = _Naming(task, fmt, template, preview, beside)
    planned: list[_Planned] = []
    failures: list[tuple[Path, str]] = []
    scans: list[Scan] = []
    for source in sources:
        if not source.is_dir():
            planned.append((_file_job(source, into, naming), None))
            continue
        left_out = [*made, *_mask_folder(masks, source)]
        scan = scan_folder(source, recursive=recursive, leave_out=left_out, template=template if out is None else None)
        if out is None:
            _pass_over(results_beside(source, scan.pictures), scan)
        if masks is not None:
            scan.pictures = without_masks(scan.pictures, source, masks)
        scans.append(scan)
        failures += scan.barred
        planned += ((_folder_job(path, source, into.folder, naming), source) for path in scan.pictures)
        if not scan.pictures and not scan.barred:
            failures.append((source, nothing_in(source, scan, recursive)))
    planned = _without_repeats(planned)
    planned, unreadable = _apart(planned, "-o" if template is None else "--name")
    failures += unreadable
    jobs, found = _with_masks(planned, masks)
    _check_masks_apart(jobs, masks, made)
    notes = (*notes_on(scans, beside=out is None), *_rewritten(jobs), *found.notes)
    return FilePlan(tuple(jobs), (*failures, *found.failures), notes)


def _mask_folder(masks: Path | None, source: Path) -> list[Path]:
    """The folder of masks, which is not searched for photos unless it is the input itself."""
    return [] if masks is None or not is_folder(masks) or identity(masks) == identity(source) else [masks]


def _check_masks_apart(jobs: Sequence[Job], masks: Path | None, made: Iterable[Path]) -> None:
    """Raise UsageError where a result would replace a mask, or come to lie among the masks."""
    if masks is not None and any(identity(folder) == identity(masks) for folder in made):
        raise UsageError(f"{masks}: is the folder of the masks; choose another one for what is made")
    files = {identity(mask) for job in jobs for mask in job.masks}
    for job in jobs:
        for path in (job.output, *job.extras.places.values()):
            if identity(path) in files:
                raise UsageError(f"{path}: is a mask, and would be replaced; choose another name for what is made")


def _with_masks(planned: Sequence[_Planned], masks: Path | None) -> tuple[list[Job], FoundMasks]:
    """The jobs with their masks, without those that have none."""
    if masks is None:
        return [job for job, _ in planned], FoundMasks(())
    found = find_masks([(job.input, root) for job, root in planned], masks)
    jobs = [replace(job, masks=files) for (job, _), files in zip(planned, found.masks, strict=True) if files]
    return jobs, found


@dataclass(frozen=True)
class _Destination:
    """Where ``-o`` points: a file, a folder, or (both None) beside each input."""

    file: Path | None = None
    folder: Path | None = None
    single: bool = False


def _destination(out: str | Path | None, files: int, folders: int, fmt: str | None) -> _Destination:
    single = files == 1 and not folders
    if out is None:
        return _Destination(single=single)
    if not str(out):
        raise UsageError("-o needs the name of a file or folder")
    if not out_is_folder(str(out), files, folders):
        check_out_file(Path(out), fmt)
        return _Destination(file=Path(out), single=single)
    if not is_folder(Path(out)):
        if _mode(Path(out)):
            raise UsageError(f"{out}: is a file, but several results need a folder")
        if Path(out).suffix and not ends_like_folder(str(out)):
            why = "is the name of a file, but several results need a folder; end it with / if it is one"
            raise UsageError(f"{out}: {why}")
    return _Destination(folder=Path(out), single=single)


def _check_out_folder(out: Path, folders: Iterable[Path]) -> None:
    for folder in folders:
        if identity(out) == identity(folder):
            raise UsageError(
                f"{out}: is an input; leave out -o to put results beside the inputs, or name another folder"
            )


def _pass_over(results: Collection[Path], scan: Scan) -> None:
    """Pictures that turned out to be results of ours are no inputs."""
    scan.results += [path for path in scan.pictures if path in results]
    scan.pictures = [path for path in scan.pictures if path not in results]


@dataclass(frozen=True)
class _Naming:
    """What results and what is made beside them are called; see :func:`plan_files`."""

    task: str
    fmt: str | None
    template: NameTemplate | None
    preview: bool
    beside: Places

    def result(self, source: Path, *, beside: bool = False) -> str:
        """beside: its input, so that it needs another name."""
        return result_name(source, self.task if beside else None, self.fmt, self.template, preview=self.preview)

    def extras(self, name: Path) -> Extras:
        return self.beside.of(name.with_name(f"{name.stem}{PREVIEW}{name.suffix}") if self.preview else name)


def _file_job(source: Path, into: _Destination, naming: _Naming) -> Job:
    extras = naming.extras(Path(source.name))
    if into.file is not None:
        return Job(source, into.file, None, extras=extras)
    if into.folder is not None:
        record = None if into.single else into.folder
        return Job(source, into.folder / naming.result(source), record, extras=extras)
    return Job(source, source.with_name(naming.result(source, beside=True)), None, extras=extras)


def _folder_job(path: Path, root: Path, out: Path | None, naming: _Naming) -> Job:
    name = path.relative_to(root)
    extras = naming.extras(name)
    if out is None:
        return Job(path, path.with_name(naming.result(path, beside=True)), root, extras=extras)
    return Job(path, out / name.with_name(naming.result(path)), out, extras=extras)


def _without_repeats(planned: Iterable[_Planned]) -> list[_Planned]:
    """Each (input, output) once, however often it was named (a file, and the folder it lies in)."""
    once: dict[tuple[str, str], _Planned] = {}
    for job, root in planned:
        once.setdefault((identity(job.input), identity(job.output)), (job, root))
    return list(once.values())


def _apart(planned: list[_Planned], naming: str) -> tuple[list[_Planned], list[tuple[Path, str]]]:
    """(what is planned, inputs that cannot be read): these collide with nothing, and are only looked for where some do.

    Raises UsageError as :func:`_check_outputs`; inputs that cannot be read are named first.
    """
    try:
        _check_outputs([job for job, _ in planned], naming)
        return planned, []
    except _Collision:
        bad = [(job.input, why) for job, _ in planned if (why := _why_unreadable(job.input)) is not None]
        if not bad:
            raise
    paths = {path for path, _ in bad}
    rest = [(job, root) for job, root in planned if job.input not in paths]
    try:
        _check_outputs([job for job, _ in rest], naming)
    except UsageError as error:
        raise UsageError(in_one_line([*(why for _, why in bad), str(error)])) from error
    return rest, bad


def _why_unreadable(path: Path) -> str | None:
    try:
        check_beginning(path)
    except PhotoReadError as error:
        return str(error)
    return None


class _Collision(UsageError):
    """Two inputs would make one output."""


def _check_outputs(jobs: Sequence[Job], naming: str) -> None:
    """naming: the option that names results."""
    inputs = {identity(job.input): job.input for job in jobs}
    files = {file_of(job.input) for job in jobs} - {None}
    makers: dict[str, tuple[Path, str]] = {}
    for job in jobs:
        for kind, path in {"o": job.output, **job.extras.places}.items():
            what, option = ("result", naming) if kind == "o" else (f"{kind} picture", option_of(kind))
            place = identity(path)
            if place in inputs or file_of(path) in files:
                raise UsageError(f"{path}: the {what} of {job.input} would replace an input; choose another {option}")
            if place in makers:
                raise _Collision(_collision(path, *makers[place], job.input, option))
            makers[place] = job.input, option
            mode = _mode(path)
            if stat.S_ISDIR(mode):
                raise UsageError(f"{path}: the {what} of {job.input} cannot replace a folder")
            if (mode and not stat.S_ISREG(mode)) or _is_stream(path):
                raise UsageError(
                    f"{path}: is not a regular file, and would be replaced by one; choose another {option}"
                )
    if any(job.extras.places for job in jobs):
        _check_nesting(makers)


def _collision(path: Path, first: Path, first_option: str, second: Path, option: str) -> str:
    if first == second:
        return f"{path}: both {first_option} and {option} would be written here; choose another {option}"
    return f"{path}: both {first} and {second} would be written here; run them separately or with different {option}"


def _check_nesting(makers: Mapping[str, tuple[Path, str]]) -> None:
    """Raise UsageError where one file to be made would have to be another's folder."""
    for place, (source, option) in makers.items():
        for above in Path(place).parents:
            if str(above) in makers:
                raise UsageError(f"{above}: a file would be written here, but {option} of {source} needs a folder")


def _rewritten(jobs: Sequence[Job]) -> Iterator[str]:
    """What becomes another format because its own is not written."""
    for source, target in WRITTEN_AS.items():
        paths = [job.input for job in jobs if read_only_format(job.input) == source]
        if any(format_of_path(job.output) == target for job in jobs if job.input in paths):
            yield f"{endings(paths)} can be read but not written, so the result is {target}; --format chooses another"


def _is_stream(path: Path) -> bool:
    """Whether ``path`` is a link like ``/dev/stdout``, which is no place for a file whatever it leads to."""
    try:
        return path.is_symlink() and os.path.realpath(path.parent) == "/dev"
    except OSError:  # a name that is too long
        return False


def _mode(path: Path) -> int:
    """The ``st_mode`` of what stands under ``path``, 0 where nothing can be seen."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0
