"""One photo as it is before the work: read, with its mask, and the size that its result will have."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from dfrestore import photo
from dfrestore.errors import FileFailure
from dfrestore.photo.enlarged import filled as with_filled_colours
from dfrestore.photo.mask import coverage
from dfrestore.photo.mask_source import AlphaMask, PathMask, checked, describe, drawn, finished, percent, united
from dfrestore.photo.region import Region, strength_of, within
from dfrestore.photo.target_size import ResultSize, check_format_limit
from dfrestore.restore.extras import mark
from dfrestore.restore.images import Mask
from dfrestore.restore.mask_files import read_masks
from dfrestore.restore.planning import Job
from dfrestore.restore.record import Stamp, stamp_of_mask
from dfrestore.restore.results import AnySettings, Masking, Where
from dfrestore.restore.streams import read_stdin
from dfrestore.tasks import AUTO

CLEAN_JPEG = 85
"""A JPEG below this quality shows its blocks when it is enlarged."""


@dataclass(frozen=True)
class Source:
    """A photo that has been read, and its mask. stamp, mask_stamps: of their files, for the record if there is one.

    format: the name of the one that the result is written in.
    filled: what the mask covers, in words; None without one that is to be filled. where: what else limits the result.
    preview: the part of it that is written, in the photo's pixels; None: all. notes: one line each, for people.
    """

    stamp: Stamp | None
    photo: photo.Photo
    format: str
    mask: Mask | None = None
    mask_stamps: tuple[Stamp, ...] = ()
    filled: str | None = None
    where: Where = field(default_factory=Where)
    preview: Region | None = None
    notes: tuple[str, ...] = ()


def read_source(job: Job, settings: AnySettings, max_pixels: int) -> Source:
    """Read a job's photo, and the mask that goes with it. Raises FileFailure, OSError."""
    # before reading: a file that changes meanwhile is redone next time
    stamp = Stamp.of(job.input) if job.recorded else None
    mask_stamps = tuple(map(stamp_of_mask, job.masks)) if job.recorded else ()
    picture = read_stdin(max_pixels) if job.stdin else photo.read(job.input, max_pixels=max_pixels)
    if settings.enlarges:
        picture = _without_rim(picture, job, settings)
    source = Source(stamp, picture, _result_format(job, picture, settings), mask_stamps=mask_stamps)
    if settings.fills:
        source = _with_mask(source, job, settings, max_pixels) if job.masks or settings.masking.drawn else source
    elif job.masks or settings.masking.regions:
        source = _with_strength(source, job, settings.masking.regions, max_pixels)
    return source if settings.preview is None else _with_preview(source, job, settings.preview)


def _without_rim(picture: photo.Photo, job: Job, settings: AnySettings) -> photo.Photo:
    """The photo with colours where it is transparent, or the network would enlarge what lies hidden there into a rim.

    One that is large enough as it is stays.
    """
    if picture.alpha is None or settings.size.result_size(*picture.size, 1, str(job.input)).untouched:
        return picture
    return replace(picture, rgb=with_filled_colours(picture.rgb, picture.alpha))


def _with_mask(source: Source, job: Job, settings: AnySettings, max_pixels: int) -> Source:
    masking, name = settings.masking, str(job.input)
    masks: list[Mask] = []
    notes: list[str] = []
    if job.masks:
        with _naming(job.input):
            strength, remarks = read_masks(job.masks, source.photo, max_pixels=max_pixels, soft=True)
        masks.append(strength)
        notes += remarks
    masks += [drawn(how, source.photo, name) for how in masking.drawn]
    sources = (*map(PathMask, job.masks[:1]), *masking.drawn)
    mask = united(masks)
    mask = finished(mask, invert=masking.invert, dilate=masking.dilate, feather=masking.feather)
    blamed = f"{name}: {job.masks[0]}" if job.masks else name
    warning = checked(mask, blamed, *sources, invert=masking.invert)
    filled = describe(mask, *sources, invert=masking.invert)
    notes += [warning] if warning else []
    return replace(source, photo=_uncovered(source.photo, masking), mask=mask, filled=filled, notes=tuple(notes))


def _with_strength(source: Source, job: Job, regions: Sequence[Region], max_pixels: int) -> Source:
    """The photo with what the mask files and regions say of how strong the result is at each pixel."""
    name, size = str(job.input), source.photo.size
    masks: list[Mask] = []
    notes: list[str] = []
    if job.masks:
        with _naming(job.input):
            mask, remarks = read_masks(job.masks, source.photo, max_pixels=max_pixels, soft="always")
        if not mask.any():
            why = "nothing would change: the mask is empty; paint what may change in white"
            raise FileFailure(f"{name}: {job.masks[0]}: {why}")
        masks.append(mask)
        notes += remarks
    cut = [within(region, size, name) for region in regions]
    notes += (line for region, part in zip(regions, cut, strict=True) for line in _on_cut(region, part))
    if regions:
        masks.append(strength_of(regions, size))
    mask = united(masks)
    parts = ["the mask"] if job.masks else []
    parts += [f"the region {cut[0]}"] if len(cut) == 1 else [f"the {len(cut)} regions"] if cut else []
    words = f"only {' and '.join(parts)} may change, {percent(coverage(mask))} of the picture"
    where = Where(job.masks, tuple(part.numbers for part in cut), coverage(mask), words=(words,))
    return replace(source, mask=mask, where=where, notes=tuple(notes))


def _with_preview(source: Source, job: Job, preview: Region) -> Source:
    part = within(preview, source.photo.size, str(job.input))
    words = (*source.where.words, f"preview of {part}")
    where = replace(source.where, preview=part.numbers, words=words)
    return replace(source, preview=part, where=where, notes=(*source.notes, *_on_cut(preview, part)))


def _on_cut(region: Region, part: Region) -> Iterator[str]:
    if part != region:
        yield f"the region {region} is cut at the picture's edge, to {part}"


def _uncovered(picture: photo.Photo, masking: Masking) -> photo.Photo:
    """The photo as its alpha mask leaves it: opaque, unless alpha is kept.

    Colours that lie hidden where it was transparent are those around: of a --strength below 1 they would shine through.
    """
    if AlphaMask() not in masking.drawn:
        return picture
    if picture.alpha is not None and not masking.invert:  # else what is transparent is kept
        picture = replace(picture, rgb=with_filled_colours(picture.rgb, picture.alpha))
    return picture if masking.keep_alpha else replace(picture, alpha=None)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """A failure of the block, which names a mask, names its photo too: one mask may serve many."""
    try:
        yield
    except FileFailure as error:
        raise type(error)(f"{path}: {error}") from error


def result_size(job: Job, source: Source, settings: AnySettings, native: int, max_pixels: int) -> ResultSize:
    """How large the result will be; FileFailure where it cannot be. native: how many times the model enlarges."""
    height, width = source.photo.size
    sized = settings.size.result_size(height, width, native, str(job.input))
    if sized.untouched and can_be_copied(job, source, settings):
        return sized
    larger = sized.height * sized.width > height * width
    if larger and sized.height * sized.width > max_pixels:
        raise FileFailure(
            f"{job.input}: a result of {sized.width}x{sized.height} is more than the limit of {max_pixels / 1e6:g} "
            "megapixels; raise it with --max-pixels, or ask for a smaller size"
        )
    check_format_limit(source.format, sized.height, sized.width, str(job.input), fixed=not settings.enlarges)
    with_blocks = all(part.task != "dejpeg" for part in settings.parts)
    return replace(sized, note=_on_jpeg(source.photo)) if larger and with_blocks and sized.note is None else sized


def _on_jpeg(picture: photo.Photo) -> str | None:
    quality = picture.origin.quality if picture.origin.format == "JPEG" else None
    if quality is None or quality >= CLEAN_JPEG:
        return None
    return f"JPEG of quality {quality}, whose blocks are enlarged too"


def can_be_copied(job: Job, source: Source, settings: AnySettings) -> bool:
    """Whether the photo's own file is what would be written, if its pixels stay: the one task alters none, or none is
    done.
    """
    if (settings.chained and settings.task != AUTO) or settings.preview is not None:
        return False
    same_format = source.format == source.photo.origin.format
    return same_format and settings.quality is None and not (settings.strip_metadata or job.stdin or job.stdout)


def _result_format(job: Job, picture: photo.Photo, settings: AnySettings) -> str:
    by_name = None if job.stdout else photo.format_of_path(job.output)
    return settings.format or by_name or picture.origin.format


def mask_png(mask: Mask) -> bytes:
    """A grey PNG: white is filled. It says that it was made here."""
    buffer = io.BytesIO()
    Image.fromarray(np.rint(mask * 255).astype(np.uint8)).save(buffer, "PNG", exif=mark())
    return buffer.getvalue()
