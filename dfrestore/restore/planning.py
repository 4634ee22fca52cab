"""From the INPUTs and OUT of a command to a list of jobs, before any file is touched."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dfrestore.errors import UsageError, did_you_mean
from dfrestore.photo import WRITTEN_AS, format_of_path, is_candidate, is_unread, missing_extra, read_only_format
from dfrestore.restore.extras import NONE, ExtraOptions, Extras, Places, check_inputs_apart, places_of
from dfrestore.restore.naming import (
    check_out_file,
    identity,
    is_folder,
    original_stem,
    out_is_folder,
    result_name,
)

# Folders of generated thumbnails (Synology) and of resource forks in archives.
_SIDECAR_FOLDERS = frozenset({"@eaDir", "__MACOSX"})


@dataclass(frozen=True)
class Job:
    """One picture to make. record: the folder whose ``.dfrestore.jsonl`` lists it; None where files were named.

    replace: an existing output, and its extras, may be replaced. stdin, stdout: the picture comes from, or goes to, a
    stream. mask: a picture that says where the photo may change.
    """

    input: Path
    output: Path
    record: Path | None
    replace: bool = False
    stdin: bool = False
    stdout: bool = False
    extras: Extras = NONE
    mask: Path | None = None


@dataclass(frozen=True)
class FilePlan:
    """jobs in the order of work; failures: (INPUT, what is wrong with it); notes: one line each, for people."""

    jobs: tuple[Job, ...]
    failures: tuple[tuple[Path, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Scan:
    """What a walk through one folder finds: pictures to take, those that are not read (JPEG XL, PSD, ...), our own
    results, folders that cannot be listed.
    """

    pictures: list[Path] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)
    results: list[Path] = field(default_factory=list)
    barred: list[tuple[Path, str]] = field(default_factory=list)


def plan_files(
    inputs: Sequence[str | Path],
    out: str | Path | None,
    task: str,
    *,
    fmt: str | None = None,
    recursive: bool = True,
    extras: ExtraOptions | None = None,
) -> FilePlan:
    """Expand ``inputs`` (files and folders) and name every output. fmt: ``PNG``, ``JPEG``, ... or None (as the input).

    extras: what is made beside the results. Raises :class:`UsageError`: an input that does not exist, two inputs for
    one output, an output over an input.
    """
    if not all(str(item) for item in inputs):
        raise UsageError("an INPUT is empty; name a file or folder")  # and not the current folder
    sources = [Path(item) for item in inputs]
    for source in sources:
        if (why := _absence(source)) is not None:
            raise UsageError(f"{source}: {why}")
    folders = [source for source in sources if source.is_dir()]
    into = _destination(out, len(sources) - len(folders), len(folders), fmt)
    if into.folder is not None:
        _check_out_folder(into.folder, folders)
    beside = places_of(extras or ExtraOptions(), len(sources) - len(folders), len(folders))
    check_inputs_apart(beside, folders)
    made = [folder for folder in (into.folder, *beside.folders.values()) if folder is not None]
    jobs: list[Job] = []
    failures: list[tuple[Path, str]] = []
    scans: list[_Scan] = []
    for source in sources:
        if not source.is_dir():
            jobs.append(_file_job(source, into, task, fmt, beside))
            continue
        scan = scan_folder(source, recursive=recursive, leave_out=made)
        scans.append(scan)
        failures += scan.barred
        jobs += (_folder_job(path, source, into.folder, task, fmt, beside) for path in scan.pictures)
        if not scan.pictures and not scan.barred:
            failures.append((source, _nothing_in(source, scan, recursive)))
    jobs = _without_repeats(jobs)
    _check_outputs(jobs)
    notes = (*_notes(scans, beside=out is None), *_rewritten(jobs))
    return FilePlan(tuple(jobs), tuple(failures), notes)


def scan_folder(folder: Path, *, recursive: bool = True, leave_out: Iterable[Path] = ()) -> _Scan:
    """The pictures of a folder in order of their names, without hidden files, sidecars and our own results.

    Links to folders are followed, except those that lead back to a folder above; of those inside a linked folder only
    the first to each folder, for folders that link to each other have more ways through them than can be walked.
    ``leave_out``: folders below that are not entered (where results go).
    """
    scan = _Scan()
    closed = frozenset(map(_file, leave_out)) - {None}
    for path, names in _walk(folder, recursive, closed, scan.barred):
        candidates = [name for name in names if is_candidate(name)]
        stems = {Path(name).stem for name in candidates}
        for name in candidates:
            (scan.results if original_stem(Path(name)) in stems else scan.pictures).append(path / name)
        scan.unread += (path / name for name in names if is_unread(name))
    return scan


def _walk(
    top: Path, recursive: bool, closed: frozenset[tuple[int, int] | None], barred: list[tuple[Path, str]]
) -> Iterator[tuple[Path, list[str]]]:
    """(folder, names of its files) from the top down. barred: filled with the folders that the system does not let us
    list.
    """
    entered: set[str] = set()  # by a link
    # folder, its real path, those of the folders it was reached by, reached by so many links
    waiting: list[tuple[Path, str, frozenset[str], int]] = [(top, os.path.realpath(top), frozenset(), 0)]
    while waiting:
        folder, real, above, links = waiting.pop()
        if real in above or (links > 1 and real in entered) or (closed and above and _file(folder) in closed):
            continue
        if links:
            entered.add(real)
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            barred.append((folder, f"{folder}: cannot be listed ({error.strerror or error})"))
            continue
        yield folder, [entry.name for entry in found if _is(entry.is_file)]
        below = [entry for entry in found if recursive and _is_open_folder(entry)]
        for entry in reversed(below):
            # resolving takes a look at each folder of a path: for links only
            its = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(real, entry.name)  # noqa: PTH118
            waiting.append((folder / entry.name, its, above | {real}, links + entry.is_symlink()))


def _is_open_folder(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.name not in _SIDECAR_FOLDERS and _is(entry.is_dir)


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # a link that leads to itself
        return False


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
    if _mode(Path(out)) and not is_folder(Path(out)):
        raise UsageError(f"{out}: is a file, but several results need a folder")
    return _Destination(folder=Path(out), single=single)


def _check_out_folder(out: Path, folders: Iterable[Path]) -> None:
    for folder in folders:
        if identity(out) == identity(folder):
            raise UsageError(
                f"{out}: is an input; leave out -o to put results beside the inputs, or name another folder"
            )


def _file_job(source: Path, into: _Destination, task: str, fmt: str | None, beside: Places) -> Job:
    extras = beside.of(Path(source.name))
    if into.file is not None:
        return Job(source, into.file, None, extras=extras)
    if into.folder is not None:
        record = None if into.single else into.folder
        return Job(source, into.folder / result_name(source, None, fmt), record, extras=extras)
    return Job(source, source.with_name(result_name(source, task, fmt)), None, extras=extras)


def _folder_job(path: Path, root: Path, out: Path | None, task: str, fmt: str | None, beside: Places) -> Job:
    name = path.relative_to(root)
    if out is None:
        return Job(path, path.with_name(result_name(path, task, fmt)), root, extras=beside.of(name))
    return Job(path, out / name.with_name(result_name(path, None, fmt)), out, extras=beside.of(name))


def _without_repeats(jobs: Iterable[Job]) -> list[Job]:
    """Each (input, output) once, however often it was named (a file, and the folder it lies in)."""
    once: dict[tuple[str, str], Job] = {}
    for job in jobs:
        once.setdefault((identity(job.input), identity(job.output)), job)
    return list(once.values())


def _check_outputs(jobs: Sequence[Job]) -> None:
    inputs = {identity(job.input): job.input for job in jobs}
    files = {_file(job.input) for job in jobs} - {None}
    makers: dict[str, tuple[Path, str]] = {}
    for job in jobs:
        for kind, path in {"o": job.output, **job.extras.places}.items():
            what, option = ("result", "-o") if kind == "o" else (f"{kind} picture", f"--{kind}")
            place = identity(path)
            if place in inputs or _file(path) in files:
                raise UsageError(f"{path}: the {what} of {job.input} would replace an input; choose another {option}")
            if place in makers:
                raise UsageError(_collision(path, *makers[place], job.input, option))
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


def _nothing_in(folder: Path, scan: _Scan, recursive: bool) -> str:
    if scan.unread:
        others = f"{_count(scan.unread)} of other kinds ({_endings(scan.unread)})"
        return f"{folder}: no pictures that can be read, only {others}"
    return f"{folder}: no pictures in this folder" + ("" if recursive else " itself (--recursive looks below it)")


def _notes(scans: Sequence[_Scan], *, beside: bool) -> Iterator[str]:
    unread = [path for scan in scans for path in scan.unread]
    if unread:
        extras = {extra for path in unread if (extra := missing_extra(read_only_format(path)))}
        way = f"pip install 'dfrestore[{','.join(sorted(extras))}]', or " if extras else ""
        yield f"{_count(unread)} not read ({_endings(unread)}); {way}convert them to TIFF, PNG or JPEG first"
    results = [path for scan in scans for path in scan.results]
    if results and not beside:
        yield f"{_count(results)} passed over as earlier results beside their inputs ({results[0].name}, ...)"


def _rewritten(jobs: Sequence[Job]) -> Iterator[str]:
    """What becomes another format because its own is not written."""
    for source, target in WRITTEN_AS.items():
        paths = [job.input for job in jobs if read_only_format(job.input) == source]
        if any(format_of_path(job.output) == target for job in jobs if job.input in paths):
            yield f"{_endings(paths)} can be read but not written, so the result is {target}; --format chooses another"


def _endings(files: Sequence[Path]) -> str:
    return ", ".join(sorted({path.suffix.lower() for path in files}))


def _count(files: Sequence[Path]) -> str:
    return "1 file" if len(files) == 1 else f"{len(files)} files"


def _is_stream(path: Path) -> bool:
    """Whether ``path`` is a link like ``/dev/stdout``, which is no place for a file whatever it leads to."""
    try:
        return path.is_symlink() and os.path.realpath(path.parent) == "/dev"
    except OSError:  # a name that is too long
        return False


def _file(path: Path) -> tuple[int, int] | None:
    """What tells one file from another whatever its names: hard links, or a file system that ignores case."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_ino else None


def _mode(path: Path) -> int:
    """The ``st_mode`` of what stands under ``path``, 0 where nothing can be seen."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _absence(path: Path) -> str | None:
    """Why nothing is found under ``path``; None when something is."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            return f"leads nowhere (a link to {path.readlink()})"
        return f"no such file or folder{_nearest(path)}"
    except (OSError, ValueError) as error:  # a name that is too long, a folder that may not be searched
        return f"cannot be reached ({getattr(error, 'strerror', None) or error})"
    return None


def _nearest(missing: Path) -> str:
    try:
        return did_you_mean(missing.name, (path.name for path in missing.parent.iterdir()))
    except OSError:
        return ""
