"""``--mask``, ``--region`` and ``--preview``, and what goes with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dfrestore.errors import UsageError
from dfrestore.tasks import TASKS

if TYPE_CHECKING:
    from dfrestore.photo.region import Region
    from dfrestore.restore.results import Masking


def parse_masks(
    texts: list[str],
    task: str,
    *,
    invert: bool = False,
    dilate: int = 0,
    feather: int = 0,
    keep_alpha: bool = False,
    regions: list[str],
) -> tuple[Path | None, Masking]:
    """(the file or folder that ``--mask`` names, what else the options say about masks). Raises UsageError."""
    from dfrestore.photo.mask_source import AlphaMask, PathMask, parse
    from dfrestore.photo.region import parse_region
    from dfrestore.restore.results import Masking

    sources = [parse(text) for text in texts]
    paths = [source.path for source in sources if isinstance(source, PathMask)]
    drawn = tuple(source for source in sources if not isinstance(source, PathMask))
    if TASKS[task].mask and not sources:
        raise UsageError(f"{task} needs a mask: --mask FILE, FOLDER, alpha, color:#rrggbb or rect:x,y,w,h")
    if drawn and not TASKS[task].mask:
        text = next(text for text, source in zip(texts, sources, strict=True) if not isinstance(source, PathMask))
        raise UsageError(f"--mask {text}: {task} takes a FILE or a FOLDER; --region x,y,w,h marks a rectangle")
    if len(paths) > 1 and not TASKS[task].mask:
        raise UsageError(f"--mask names {paths[0]} and {paths[1]}; give one file or folder")
    if len(paths) > 1:
        raise UsageError(f"--mask names {paths[0]} and {paths[1]}; give one file or folder, others as color: or rect:")
    if keep_alpha and AlphaMask() not in drawn:
        raise UsageError("--keep-alpha goes with --mask alpha; other masks leave the alpha as it is")
    rectangles = tuple(dict.fromkeys(parse_region(text, "--region") for text in regions))
    return (paths[0] if paths else None), Masking(drawn, invert, dilate, feather, keep_alpha, rectangles)


def parse_preview(text: str | None, *, page: bool, trace: bool) -> Region | None:
    """What ``--preview`` says. page, trace: whether these are wanted, which show whole photos. Raises UsageError."""
    from dfrestore.photo.region import parse_region

    if text is None:
        return None
    for given, option in ((page, "--report"), (trace, "--trace")):
        if given:
            raise UsageError(f"--preview and {option} exclude each other: {option} shows whole photos")
    return parse_region(text, "--preview")
