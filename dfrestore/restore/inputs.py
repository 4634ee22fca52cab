"""The inputs of a command as the user named them: files and folders that are there, and what is in these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfrestore.errors import UsageError, first_three, nearest_beside
from dfrestore.optional_packages import pip_install
from dfrestore.photo import missing_extra, read_only_format
from dfrestore.restore.scan import Scan, scan_folder


@dataclass(frozen=True)
class Pictures:
    """files: to look at, in order. failures: what cannot be, and why. notes: one line each, for people."""

    files: tuple[Path, ...]
    failures: tuple[tuple[Path, str], ...]
    notes: tuple[str, ...]


def sources_of(inputs: Sequence[str | Path]) -> list[Path]:
    """Files and folders. Raises :class:`UsageError` for those that do not exist."""
    if not all(str(item) for item in inputs):
        raise UsageError("an INPUT is empty; name a file or folder")  # and not the current folder
    sources = [Path(item) for item in inputs]
    absent = [f"{source}: {why}" for source in sources if (why := absence(source)) is not None]
    if absent:
        raise UsageError(in_one_line(absent))
    return sources


def pictures_of(inputs: Sequence[str | Path], *, recursive: bool = True) -> Pictures:
    """The pictures that the inputs name, each once, for what makes no files: results of ours are taken like others.

    Raises :class:`UsageError` for an input that does not exist.
    """
    files: dict[Path, None] = {}
    failures: list[tuple[Path, str]] = []
    scans: list[Scan] = []
    for source in sources_of(inputs):
        if not source.is_dir():
            files[source] = None
            continue
        scan = scan_folder(source, recursive=recursive)
        scans.append(scan)
        found = sorted([*scan.pictures, *scan.results])
        files.update(dict.fromkeys(found))
        failures += scan.barred
        if not found and not scan.barred:
            failures.append((source, nothing_in(source, scan, recursive)))
    return Pictures(tuple(files), tuple(failures), tuple(notes_on(scans, beside=True)))


def nothing_in(folder: Path, scan: Scan, recursive: bool) -> str:
    """Why there is nothing to do in a folder."""
    if scan.unread:
        others = f"{count(scan.unread)} of other kinds ({endings(scan.unread)})"
        return f"{folder}: no pictures that can be read, only {others}"
    return f"{folder}: no pictures in this folder" + ("" if recursive else " itself (--recursive looks below it)")


def notes_on(scans: Sequence[Scan], *, beside: bool) -> Iterator[str]:
    """A line on each kind of file that was left out. beside: where results of ours are, which then need no line."""
    unread = [path for scan in scans for path in scan.unread]
    if unread:
        extras = {extra for path in unread if (extra := missing_extra(read_only_format(path)))}
        way = f"{pip_install(*sorted(extras))}, or " if extras else ""
        yield f"{count(unread)} not read ({endings(unread)}); {way}convert them to TIFF, PNG or JPEG first"
    results = [path for scan in scans for path in scan.results]
    if results and not beside:
        yield f"{count(results)} passed over as earlier results beside their inputs ({results[0].name}, ...)"
    above = [path for scan in scans for path in scan.above]
    anyway = [path for scan in scans for path in scan.anyway]
    for links, where in ((above, "above"), (anyway, "that is walked anyway")):
        if links:
            yield f"{count(links, 'link')} to a folder {where} not followed ({first_three(links)})"


def endings(files: Sequence[Path]) -> str:
    return ", ".join(sorted({path.suffix.lower() for path in files}))


def count(files: Sequence[Path], what: str = "file") -> str:
    return f"1 {what}" if len(files) == 1 else f"{len(files)} {what}s"


def in_one_line(whys: Sequence[str]) -> str:
    """The first two and the last, where there are more."""
    left_out = len(whys) - 3
    return "; ".join(whys if left_out < 1 else [*whys[:2], f"{left_out} more", whys[-1]])


def absence(path: Path) -> str | None:
    """Why nothing is found under ``path``; None when something is."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            return f"leads nowhere (a link to {path.readlink()})"
        return f"no such file or folder{nearest_beside(path)}"
    except (OSError, ValueError) as error:  # a name that is too long, a folder that may not be searched
        return f"cannot be reached ({getattr(error, 'strerror', None) or error})"
    return None
