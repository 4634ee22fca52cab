"""What goes together with ``-``, standard input or output in place of a file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from dfrestore.errors import UsageError
from dfrestore.files import STREAM


def check_streams(
    inputs: Sequence[str], out: str | None, *, as_json: bool, page: bool, dry_run: bool, extras: Iterable[str] = ()
) -> None:
    """Raises UsageError for what would mix with the bytes of a picture, or needs a file to come back to."""
    if STREAM not in (*inputs, out):
        return
    if out == STREAM and as_json:
        raise UsageError("--json and -o - both write to standard output; leave one of them out")
    beside = ((True, f"--{kind.replace('_', '-')}") for kind in extras)
    for is_set, option in ((page, "--report"), (dry_run, "--dry-run"), *beside):
        if is_set:
            raise UsageError(f"{option} needs files; leave it out with -")
    if STREAM in inputs and sys.stdin is not None and sys.stdin.isatty():
        raise UsageError("INPUT - is standard input, which is a terminal; give it a picture, as in '< photo.jpg'")
    if out == STREAM and sys.stdout.isatty():
        raise UsageError("-o - writes a picture to standard output, which is a terminal; as in '> out.png'")
