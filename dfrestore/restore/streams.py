"""A picture from standard input, a result to standard output: ``-`` in place of a file. Nothing is recorded of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dfrestore import photo
from dfrestore.errors import PhotoReadError, PhotoWriteError, UsageError
from dfrestore.files import STREAM
from dfrestore.restore.naming import check_out_file, out_is_folder
from dfrestore.restore.planning import FilePlan, Job, plan_files

if TYPE_CHECKING:
    from dfrestore.restore.images import Rgb

# What messages and JSON call them.
STDIN, STDOUT = Path("standard input"), Path("standard output")


def is_stream(inputs: Sequence[str | Path], out: str | Path | None) -> bool:
    """Whether an INPUT or OUT is ``-``; a file of that name is ``./-``."""
    return STREAM in (*inputs, out)


def plan_stream(
    inputs: Sequence[str | Path],
    out: str | Path | None,
    task: str,
    *,
    fmt: str | None = None,
    masks: Path | None = None,
) -> FilePlan:
    """The one job of a command with a stream in it. Raises UsageError, as :func:`plan_files` does."""
    if len(inputs) != 1:
        raise UsageError("with - there is one picture; name one INPUT")
    if inputs[0] != STREAM:
        plan = plan_files(inputs, None, task, fmt=fmt, masks=masks)
        if Path(inputs[0]).is_dir():
            raise UsageError(f"{inputs[0]}: is a folder, but -o - takes one picture")
        return replace(plan, jobs=tuple(replace(job, output=STDOUT, stdout=True) for job in plan.jobs))
    if masks is not None and not masks.is_file():
        raise UsageError(f"--mask {masks}: a picture from standard input has no name to find its mask by; name a file")
    files = () if masks is None else (masks,)
    if out is None:
        raise UsageError("a picture from standard input has no name: say with -o where the result goes (-o - works)")
    if out == STREAM:
        return FilePlan((Job(STDIN, STDOUT, None, stdin=True, stdout=True, masks=files),))
    if out_is_folder(str(out), 1, 0):
        raise UsageError(
            f"{out}: is a folder, but a picture from standard input has no name; name a file, like result.png"
        )
    check_out_file(Path(out), fmt)
    return FilePlan((Job(STDIN, Path(out), None, stdin=True, masks=files),))


def read_stdin(max_pixels: int) -> photo.Photo:
    """The picture on standard input, to its end. Raises PhotoReadError."""
    if sys.stdin is None:
        raise PhotoReadError(f"{STDIN}: is closed; give it a picture, as in '< photo.jpg'")
    return photo.read_stream(sys.stdin.buffer, str(STDIN), max_pixels=max_pixels)


def write_stdout(
    taken: photo.Photo, rgb: Rgb, *, format: str | None, quality: int | None, strip_metadata: bool
) -> list[str]:
    """The bytes of a whole file, and nothing where it cannot be made; returns warnings.

    Raises PhotoWriteError, and BrokenPipeError where nobody reads.
    """
    try:
        data, warnings = photo.encode(taken, rgb, format, quality=quality, strip_metadata=strip_metadata)
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except PhotoWriteError as error:
        raise PhotoWriteError(f"{STDOUT}: {error}") from error.__cause__
    except BrokenPipeError:
        raise
    except OSError as error:
        raise PhotoWriteError(f"{STDOUT}: cannot be written ({error.strerror or error})") from error
    return warnings
