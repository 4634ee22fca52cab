"""Pillow's global settings, changed for a moment under a lock and put back; its libraries kept from printing."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageFile, PngImagePlugin

_pillow = threading.Lock()
_TEXT = 16 << 20  # bytes that a profile or text of a PNG may unpack to: more than Pillow allows, as large profiles need
# How libtiff's messages begin: Pillow's name for what it decodes, or a C function's. Python's own errors do not match.
_LIBTIFF = re.compile(rb"(tempfile\.tif|_?TIFF\w*|(?!\w*(?:Error|Warning|Exception):)[A-Z]\w*[A-Z]\w*): ")
for _library in ("PIL", "tifffile", "imagecodecs"):  # or logging's last resort prints their messages to stderr
    logging.getLogger(_library).addHandler(logging.NullHandler())


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Pillow without its limits (ours are checked before), without half-read pictures, and without warnings.

    Its settings are global: they are changed for as long as a lock is held, and then put back.
    """
    with _pillow, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, PngImagePlugin.MAX_TEXT_CHUNK
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, PngImagePlugin.MAX_TEXT_CHUNK = None, False, _TEXT
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, PngImagePlugin.MAX_TEXT_CHUNK = before


@contextmanager
def quiet_libtiff() -> Iterator[None]:
    """libtiff prints what it thinks of a damaged file from C: its lines are held back."""
    with held_back(_LIBTIFF):
        yield


@contextmanager
def held_back(lines: re.Pattern[bytes]) -> Iterator[list[bytes]]:
    """Keep these lines of a C library from stderr, and pass all others on; the list has them when the block ends."""
    found: list[bytes] = []
    try:
        sys.stderr.flush()
        terminal = os.dup(2)
    except (OSError, AttributeError, ValueError):  # no stderr at all
        yield found
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield found
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            held.seek(0)
            for line in held:
                if lines.match(line):
                    found.append(line)
                else:
                    os.write(2, line)


@contextmanager
def pillow_buffer(size: int) -> Iterator[None]:
    """Pillow's encoders with an output buffer of at least ``size`` bytes."""
    with _pillow:
        before = ImageFile.MAXBLOCK
        ImageFile.MAXBLOCK = max(before, size)
        try:
            yield
        finally:
            ImageFile.MAXBLOCK = before
