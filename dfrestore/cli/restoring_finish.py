"""The options for the finish of results, read and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfrestore.errors import UsageError

if TYPE_CHECKING:
    from dfrestore.restore.finish import Finish, Part


def finish_of(
    chroma_only: bool | None, luma_only: bool | None, keep_detail: float | None, grain: float | None
) -> Finish:
    """What the options say, each None where it is left out. Raises UsageError."""
    from dfrestore.restore.finish import Finish

    if chroma_only and luma_only:
        raise UsageError("--chroma-only and --luma-only exclude each other; without them both are taken")
    only: Part | None = "chroma" if chroma_only else "luma" if luma_only else None
    return Finish(only, keep_detail or 0.0, grain or 0.0)
