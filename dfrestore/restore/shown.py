"""What there is to see of a restored photo: all of its result, or a preview's part, and the pictures beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dfrestore.photo import Photo
from dfrestore.photo.enlarged import enlarged, with_pixels
from dfrestore.photo.mask import in_size
from dfrestore.photo.region import Region, cropped, scaled
from dfrestore.restore.comparison import comparison, encoded
from dfrestore.restore.images import Rgb
from dfrestore.restore.planning import Job
from dfrestore.restore.source import Source, mask_png
from dfrestore.restore.trace import Trace
from dfrestore.restore.uncertainty import uncertainty_png

if TYPE_CHECKING:
    from dfrestore.restore.restorer import Outcome


def shown(source: Source, rgb: Rgb) -> tuple[Photo, Rgb]:
    """(the photo in the size of its whole result ``rgb``, that result): of a preview, its part of both."""
    photo, size = with_pixels(source.photo, rgb), (rgb.shape[0], rgb.shape[1])
    part = _part(source, size)
    return (photo, rgb) if part is None else (cropped(photo, part), rgb[part.slices])


def written_size(source: Source, size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of what is written of a result of this size."""
    part = _part(source, size)
    return size if part is None else (part.height, part.width)


def _part(source: Source, size: tuple[int, int]) -> Region | None:
    return None if source.preview is None else scaled(source.preview, source.photo.size, size)


def extras_of(
    job: Job, source: Source, outcome: Outcome, made_by: str, members: int, trace: Trace | None
) -> dict[Path, bytes]:
    """Every extra file of a photo, ready to be written; of a preview, strip and map show its part."""
    files: dict[Path, bytes] = {}
    size = (outcome.rgb.shape[0], outcome.rgb.shape[1])
    part = _part(source, size) or Region(0, 0, size[1], size[0])
    if job.extras.uncertainty is not None and outcome.spread is not None:
        files[job.extras.uncertainty] = uncertainty_png(outcome.spread[part.slices], members)
    if job.extras.compare is not None:
        mask = None if source.mask is None else in_size(source.mask, *size)[part.slices]
        before = source.photo if source.preview is None else cropped(enlarged(source.photo, *size), part)
        strip = comparison(before, outcome.rgb[part.slices], job.input.name, made_by, mask)
        files[job.extras.compare] = encoded(strip, job.extras.compare.name)
    if job.extras.save_mask is not None and source.mask is not None:
        files[job.extras.save_mask] = mask_png(source.mask)
    if job.extras.trace is not None and trace is not None:
        files[job.extras.trace] = trace.encoded(outcome.rgb, job.extras.trace.name)
    return files
