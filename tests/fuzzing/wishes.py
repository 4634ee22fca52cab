"""Hostile wishes: sizes and masks as texts, and mask files, given to what ``upscale`` and ``inpaint`` read them with.

As in :mod:`fuzzing.targets`, a target returns whether it was accepted; only UsageError and FileFailure are refusals.
"""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
from PIL import Image

from dfrestore import photo
from dfrestore.errors import DfrestoreError, FileFailure, UsageError
from dfrestore.photo.mask import Strength
from dfrestore.photo.mask_source import MaskSource, PathMask, checked, describe, drawn, finished, parse
from dfrestore.photo.target_size import MAX_FACTOR, TargetSize, check_format_limit
from dfrestore.restore.mask_files import find_masks, read_masks
from dfrestore.restore.source import mask_png
from fuzzing.seeds import SIZE, seeds

OPTIONS = ("scale", "size", "long_edge", "short_edge", "min_size")
_MAX_LINE = 4200
_SIDES = (1, 2, 3, 7, 19, 640, 4000, 16383, 16384, 32769, 65501, 1_000_001, 2**31)


def text_of(data: bytes) -> str:
    """As an argument of a program: whatever is no text survives as surrogates."""
    return data.decode("utf-8", "surrogateescape")


def option_of(text: str, rng: random.Random) -> tuple[str, str]:
    """(option, value) of a line like ``size=3840x2160^``; any option where a mutation has hit its name."""
    name, _, value = text.partition("=")
    return (name, value) if name in OPTIONS else (rng.choice(OPTIONS), value or name)


def size(data: bytes, folder: Path, rng: random.Random) -> bool:
    """The target size; what it makes of pictures of any size has sides, is bounded, and is one line where it fails."""
    option, text = option_of(text_of(data), rng)
    try:
        value = int(text) if option.endswith("edge") else text
    except ValueError:
        return False  # the parser of the command line says so
    try:
        target = TargetSize.parse(**{option: value})
    except UsageError as error:
        return _refused(error)
    assert len(target.describe()) < 80
    for _ in range(4):
        height, width = (rng.choice(_SIDES) if rng.random() < 0.5 else rng.randrange(1, 9000) for _ in range(2))
        try:
            made = target.result_size(height, width, rng.choice((1, 2, 3, 4)), "photo.jpg")
            assert 1 <= made.height <= MAX_FACTOR * height
            assert 1 <= made.width <= MAX_FACTOR * width
            assert (made.note is not None) == (made.height < height or made.width < width)
            assert made.note is None or made.note.isprintable()
            check_format_limit(rng.choice(tuple(photo.FORMATS)), *made.size, "photo.jpg")
        except FileFailure as error:
            _refused(error)
    return True


def spec(data: bytes, folder: Path, rng: random.Random) -> bool:
    """``--mask``: a drawn mask of a picture, or what is found under a path."""
    text = text_of(data)
    picture = _picture(rng)
    try:
        source = parse(text)
        if isinstance(source, PathMask):
            return not leads_out(source.path) and _found(source.path, picture, folder, rng)
        return _ready(drawn(source, picture, "photo.png"), picture, rng, source)
    except (UsageError, FileFailure) as error:
        return _refused(error)


def leads_out(path: Path) -> bool:
    """Whether a path leads out of the folder of the case, where it may find anything."""
    return path.is_absolute() or ".." in path.parts


def _found(path: Path, picture: photo.Photo, folder: Path, rng: random.Random) -> bool:
    (folder / "masks").mkdir()
    for name in ("m.png", "masks/photo.png", "masks/photo_mask001.png", "masks/photo_mask002.png"):
        (folder / name).write_bytes(rng.choice(seeds("mask")))
    found = find_masks([(folder / "photo.png", None)], folder / path)
    if found.failures:
        assert found.masks == ((),)
        assert all(why.isprintable() or path.name in why for _, why in found.failures)
        return False
    mask, _ = read_masks(found.masks[0], picture, soft=True)
    return _ready(mask, picture, rng, PathMask(path))


def mask(data: bytes, folder: Path, rng: random.Random) -> bool:
    """A mask file, alone or with a sound one, for a picture whose size it may fit or not."""
    files = [folder / "m.png"]
    files[0].write_bytes(data)
    picture = _picture(rng)
    if rng.random() < 0.2:
        files.append(folder / "photo_mask2.png")
        files[1].write_bytes(rng.choice(seeds("mask")))
    try:
        strength, notes = read_masks(files, picture, max_pixels=1 << 20, soft=rng.random() < 0.7)
        assert all(note and note.isprintable() for note in notes)
        return _ready(strength, picture, rng, PathMask(files[0]))
    except FileFailure as error:
        return _refused(error)


def _picture(rng: random.Random) -> photo.Photo:
    """Nearly always of the masks' size, turned as the camera was held, with alpha and a colour to look for."""
    height, width = SIZE if rng.random() < 0.9 else (rng.randrange(1, 60), rng.randrange(1, 60))
    noise = np.random.default_rng(rng.getrandbits(32))
    rgb = noise.random((height, width, 3), np.float32)
    rgb[: height // 3] = (1, 0, 1)
    alpha = np.full((height, width), 255, np.uint8)
    alpha[-height // 3 :] = noise.integers(0, 256, (width,))
    origin = photo.Origin(orientation=rng.choice((1, 6, 6, 6, 8)), lossless=rng.random() < 0.7)
    return photo.Photo(rgb, None if rng.random() < 0.1 else alpha, origin)


def _ready(mask: Strength, picture: photo.Photo, rng: random.Random, source: MaskSource) -> bool:
    """What is done to every mask before it is used; the mask that comes out keeps its promises."""
    invert = rng.random() < 0.1
    dilate, feather = (rng.choice((0, 0, 0, 0, 0, 1, 2, 3, 1000)) for _ in range(2))
    mask = finished(mask, invert=invert, dilate=dilate, feather=feather)
    assert (mask.shape, mask.dtype) == (picture.size, np.float32)
    assert np.isfinite(mask).all()
    assert 0 <= mask.min() <= mask.max() <= 1
    words = describe(mask, source, invert=invert)
    warning = checked(mask, "photo.png", source, invert=invert)
    assert all(line.isprintable() and len(line) < _MAX_LINE for line in (words, warning or "-"))
    assert Image.open(io.BytesIO(mask_png(mask))).size == picture.size[::-1]
    return True


def _refused(error: DfrestoreError) -> bool:
    text = str(error)
    assert text.isprintable(), "more than one line"
    assert 0 < len(text) <= _MAX_LINE, f"a message of {len(text)} characters"
    return False


TARGETS = {"size": size, "spec": spec, "mask": mask}
