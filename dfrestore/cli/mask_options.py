"""``--mask`` and what goes with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dfrestore.errors import UsageError
from dfrestore.tasks import TASKS

if TYPE_CHECKING:
    from dfrestore.restore.results import Masking


def parse_masks(
    texts: list[str], task: str, *, invert: bool, dilate: int, feather: int, keep_alpha: bool
) -> tuple[Path | None, Masking]:
    """(the file or folder that ``--mask`` names, what else the options say about masks). Raises UsageError."""
    from dfrestore.photo.mask_source import AlphaMask, PathMask, parse
    from dfrestore.restore.results import Masking

    sources = [parse(text) for text in texts]
    paths = [source.path for source in sources if isinstance(source, PathMask)]
    drawn = tuple(source for source in sources if not isinstance(source, PathMask))
    if TASKS[task].mask and not sources:
        raise UsageError(f"{task} needs a mask: --mask FILE, FOLDER, alpha, color:#rrggbb or rect:x,y,w,h")
    if len(paths) > 1:
        raise UsageError(f"--mask names {paths[0]} and {paths[1]}; give one file or folder, others as color: or rect:")
    if keep_alpha and AlphaMask() not in drawn:
        raise UsageError("--keep-alpha goes with --mask alpha; other masks leave the alpha as it is")
    return (paths[0] if paths else None), Masking(drawn, invert, dilate, feather, keep_alpha)
