"""Where a result goes: functions on names; only :func:`out_is_folder` and :func:`identity` look at the disk."""

from __future__ import annotations

import os
import sys
import unicodedata
from pathlib import Path

from dfrestore.errors import UsageError, did_you_mean
from dfrestore.photo import FORMATS, WRITTEN_AS, format_of_path, normal_format, read_only_format
from dfrestore.restore.name_template import NameTemplate
from dfrestore.tasks import COMBINED, restoring_tasks

PREVIEW = "_preview"
"""What the names of previews end in, so that none has the name of a result."""

_CASE_BLIND = sys.platform in ("darwin", "win32")


def format_name(name: str) -> str:
    """``--format`` as users write it -> the name that :mod:`dfrestore.photo` uses. Raises :class:`UsageError`."""
    fmt = normal_format(name)
    if fmt is None:
        known = ("png", "jpg", "webp", "tiff", "avif")
        raise UsageError(f"--format {name} is not one of {', '.join(known)}{did_you_mean(name.lower(), known)}")
    return fmt


def out_is_folder(out: str, file_inputs: int, folder_inputs: int) -> bool:
    """Whether ``out`` means a folder: for several inputs or a folder, with a slash at its end, or if it is one.

    A name without extension is one too, unless a file of that name exists.
    """
    several = folder_inputs > 0 or file_inputs != 1
    return several or ends_like_folder(out) or is_folder(Path(out)) or not (Path(out).suffix or os.path.lexists(out))


def ends_like_folder(out: str) -> bool:
    """Whether there is a slash at its end."""
    return out.endswith(tuple(s for s in (os.sep, os.altsep) if s))


def is_folder(path: Path) -> bool:
    """``path.is_dir()`` that answers no, and does not raise, for a name that is too long or out of reach."""
    try:
        return path.is_dir()
    except OSError:
        return False


def result_name(
    source: Path, task: str | None, fmt: str | None, template: NameTemplate | None = None, *, preview: bool = False
) -> str:
    """The result's file name: the input's, with ``_TASK`` if a task is given, and the ending of the format.

    template: says the name instead. preview: :data:`PREVIEW` follows.

    An input whose ending no writer knows (none, ``.dat``) becomes a PNG; for read-only formats see ``WRITTEN_AS``.
    """
    own = format_of_path(source)
    wanted = fmt or own or WRITTEN_AS.get(read_only_format(source) or "", "PNG")
    suffix = source.suffix if wanted == own else FORMATS[wanted][0]
    suffix = PREVIEW + suffix if preview else suffix
    if template is not None:
        return template.of(source.stem) + suffix
    return f"{source.stem}_{task}{suffix}" if task else f"{source.stem}{suffix}"


def original_stem(name: Path) -> str | None:
    """``photo_derain.jpg`` -> ``photo``: the stem that a result beside its input was made from, else None.

    So for its preview.
    """
    whole = name.stem.removesuffix(PREVIEW)
    for task in (*restoring_tasks(), *COMBINED):
        stem = whole.removesuffix(f"_{task}")
        if stem and stem != whole:
            return stem
    return None


def check_out_file(out: Path, fmt: str | None) -> None:
    """Raise :class:`UsageError` where ``-o NAME.EXT`` and ``--format`` contradict, or EXT cannot be written."""
    by_name = format_of_path(out)
    if by_name is None and out.suffix and fmt is None:
        endings = [ending.lstrip(".") for group in FORMATS.values() for ending in group]
        near = did_you_mean(out.suffix.lstrip(".").lower(), endings)
        known = ", ".join(group[0] for group in FORMATS.values())
        raise UsageError(f"{out}: '{out.suffix}' is not written{near} (known: {known}; or give --format)")
    if by_name is not None and fmt is not None and by_name != fmt:
        raise UsageError(f"{out}: the name says {by_name}, --format says {fmt}; leave one of them out")


def identity(path: Path) -> str:
    """A text that is equal for all paths to one place: links resolved, case and Unicode form as the system has them."""
    real = os.path.realpath(path)
    return unicodedata.normalize("NFC", real).casefold() if _CASE_BLIND else real
