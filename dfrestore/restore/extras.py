"""What is made beside a result: where it goes, checked before any work, and what may be replaced."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from PIL import Image

from dfrestore import photo
from dfrestore.errors import UsageError
from dfrestore.photo.pillow import quiet_pillow
from dfrestore.restore.naming import identity, is_folder, out_is_folder
from dfrestore.version import __version__

Replace: TypeAlias = Literal["none", "ours", "all"]

ENDINGS: Mapping[str, tuple[str, ...]] = {
    "uncertainty": (".png",),
    "compare": (".jpg", ".jpeg", ".png"),
    "trace": (".gif", ".webp"),
    "save_mask": (".png",),
}
"""Kind of extra -> the endings that it may have; in folders it gets the first."""
_ALWAYS_NAMED = ("uncertainty", "compare", "trace")  # in JSON

SOFTWARE = 0x0131  # the EXIF tag


@dataclass(frozen=True)
class ExtraOptions:
    """The options ``--uncertainty``, ``--compare``, ... as they were written; None where left out."""

    uncertainty: str | None = None
    compare: str | None = None
    trace: str | None = None
    save_mask: str | None = None

    @property
    def requested(self) -> dict[str, str]:
        """Kind -> what follows its option."""
        return {kind: getattr(self, kind) for kind in ENDINGS if getattr(self, kind) is not None}


@dataclass(frozen=True)
class Extras:
    """The files of one photo; None where not wanted. replace: which existing files may be replaced."""

    uncertainty: Path | None = None
    compare: Path | None = None
    trace: Path | None = None
    save_mask: Path | None = None
    replace: Replace = "none"

    @property
    def places(self) -> dict[str, Path]:
        """Kind -> file, of those that are wanted."""
        return {kind: getattr(self, kind) for kind in ENDINGS if getattr(self, kind) is not None}

    @property
    def existing(self) -> Extras:
        """Those whose file exists."""
        there = {kind: place for kind, place in self.places.items() if os.path.lexists(place)}
        return Extras(**there, replace=self.replace)


NONE = Extras()


def option_of(kind: str) -> str:
    """``save_mask`` -> ``--save-mask``."""
    return f"--{kind.replace('_', '-')}"


@dataclass(frozen=True)
class Places:
    """Where the extras of a run go: each a file, for one input file, or a folder under which trees are mirrored.

    replace: ``ours`` for runs that may be started again.
    """

    files: Mapping[str, Path]
    folders: Mapping[str, Path]
    replace: Replace

    def of(self, name: Path) -> Extras:
        """Those of one photo. name: its path below the input folder it was found in, or its file name."""
        mirrored = {kind: folder / name.with_suffix(ENDINGS[kind][0]) for kind, folder in self.folders.items()}
        return Extras(**self.files, **mirrored, replace=self.replace)


def places_of(options: ExtraOptions, files: int, folders: int) -> Places:
    """Read the options of a run over so many input files and folders. Raises :class:`UsageError`."""
    as_folder = {kind: _is_folder(kind, text, files, folders) for kind, text in options.requested.items()}
    return Places(
        {kind: Path(text) for kind, text in options.requested.items() if not as_folder[kind]},
        {kind: Path(text) for kind, text in options.requested.items() if as_folder[kind]},
        "none" if files == 1 and not folders else "ours",
    )


def _is_folder(kind: str, text: str, files: int, folders: int) -> bool:
    endings, option = ENDINGS[kind], option_of(kind)
    if not text:
        raise UsageError(f"{option} needs the name of a file or folder")
    if kind == "trace" and (files != 1 or folders):
        raise UsageError("--trace shows one photo at work; give one INPUT file")
    has_ending = Path(text).suffix.lower() in endings
    if kind == "trace" or not out_is_folder(text, files, folders):
        if not has_ending or is_folder(Path(text)):
            raise UsageError(f"{option} {text}: the name of a file that ends in {' or '.join(endings)} is needed")
        return False
    if not is_folder(Path(text)) and (has_ending or os.path.lexists(text)):
        raise UsageError(f"{option} {text}: is a file, but several photos need a folder")
    return True


def obstacle(extras: Extras) -> str | None:
    """Why the extras of a photo that is still to do cannot be written; None where nothing is in the way."""
    for place in extras.places.values():
        if os.path.lexists(place) and not _may_go(place, extras.replace):
            return f"{place}: exists already; --overwrite replaces it"
    return None


def _may_go(place: Path, which: Replace) -> bool:
    return which == "all" or (which == "ours" and is_ours(place))


def is_ours(place: Path) -> bool:
    """Whether this picture says that it was made here (see :func:`mark`). Its pixels are not decoded."""
    exif = Image.Exif()
    try:
        with quiet_pillow(), Image.open(place, formats=("PNG", "JPEG")) as image:
            exif.load(image.info.get("exif", b""))  # the image's own getexif may decode it to look for more
            return str(exif.get(SOFTWARE, "")).startswith("dfrestore")
    except (OSError, ValueError, SyntaxError):
        return False


def mark() -> bytes:
    """EXIF that names its maker, for extras that a later run over the same folder may replace."""
    exif = Image.Exif()
    exif[SOFTWARE] = f"dfrestore {__version__}"
    return exif.tobytes()


@contextmanager
def extras_written(files: Mapping[Path, bytes], which: Replace) -> Iterator[None]:
    """Write the extras, each complete or not at all; take new ones away again where the block fails.

    So a photo that fails leaves no extras behind. which: as ``Extras.replace``. Raises PhotoWriteError.
    """
    new: list[Path] = []
    try:
        for place, data in files.items():
            there = os.path.lexists(place)
            photo.make_folder(place.parent)
            photo.atomic_write(place, data, overwrite=there and _may_go(place, which))
            new += [] if there else [place]
        yield
    except BaseException:
        for place in new:
            with suppress(OSError):
                place.unlink()
        raise


def named(extras: Extras) -> dict[str, str | None]:
    """The extras for JSON: kind -> path, None for those that are not made."""
    made = {kind: str(place) for kind, place in extras.places.items()}
    return {**dict.fromkeys(_ALWAYS_NAMED), **made}


def check_inputs_apart(places: Places, folders: list[Path]) -> None:
    """Raise :class:`UsageError` where extras would go among the photos of an input folder, to be taken for photos."""
    for kind, folder in places.folders.items():
        if any(identity(folder) == identity(source) for source in folders):
            raise UsageError(f"{option_of(kind)} {folder}: is an input; name another folder")
