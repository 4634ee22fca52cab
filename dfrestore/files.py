"""Files that appear under their name complete or not at all, and the clearing away of what dead runs left.

A temporary file is locked (flock) for as long as its writer lives: one whose lock can be taken is stale. Where there
are no locks, its name tells the machine and process that made it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib
import os
import re
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

fcntl: Any = None
with contextlib.suppress(ImportError):  # Windows has none
    fcntl = importlib.import_module("fcntl")

STREAM = "-"  # standard input or output, in place of a file
SUFFIX = ".dfrestore-tmp"
_PATTERN = re.compile(r"\..*\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}" + re.escape(SUFFIX))
_NAME_BYTES = 255
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EACCES)


@contextlib.contextmanager
def atomic_file(path: str | Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """An open binary file that gets the name ``path`` when the block ends well, and vanishes when it does not.

    Hidden, locked and in the same folder while it is written; flushed to disk before it is named; permissions follow
    the umask. Without ``overwrite`` an existing file is left alone, even one that appears meanwhile: FileExistsError.
    Raises OSError; what stood under ``path`` is then unchanged.
    """
    path = Path(path)
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    for temporary in _temporary_names(path):
        try:
            try:
                file = _new(temporary)
                if file is None:
                    continue
                with file:  # closing it gives up the lock, after the rename
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                    if fcntl is None:
                        file.close()  # Windows does not rename open files
                    _publish(temporary, path, overwrite)
                _sync_folder(path.parent)
            finally:
                _remove(temporary)
        finally:  # a signal may have come before that
            _remove(temporary)
        return


def barrier(folder: Path) -> OSError | None:
    """Why no file can be written in ``folder``, which may have to be made first; None where nothing is in the way.

    That is tried out, since rights alone do not tell; nothing is left behind.
    """
    there = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), folder)
    try:
        if there != folder:
            attempt = there / f".{secrets.token_hex(8)}{SUFFIX}"
            try:
                attempt.mkdir()
            finally:  # whatever comes in between
                with contextlib.suppress(OSError):
                    attempt.rmdir()
            with contextlib.suppress(FileNotFoundError):
                folder.lstat()  # a name that is too long
        else:
            tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return error
    return None


def remove_stale_temporaries(folder: str | Path) -> int:
    """Remove the temporary files of dead runs in ``folder`` (not below it); returns how many. Never raises OSError."""
    removed = 0
    try:
        names = [entry.name for entry in Path(folder).iterdir()]
    except OSError:
        return 0
    for name in names:
        found = _PATTERN.fullmatch(name)
        if found and _remove_if_stale(Path(folder) / name, found[1], int(found[2])):
            removed += 1
    return removed


@contextlib.contextmanager
def locked(descriptor: int) -> Iterator[None]:
    """Lock this file against other processes that lock it too, where there are locks. Raises OSError."""
    held = False
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            held = True
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
    try:
        yield
    finally:
        if held:
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def is_temporary(path: str | Path) -> bool:
    """Whether this name is one of our temporary files."""
    return _PATTERN.fullmatch(Path(path).name) is not None


def _temporary_names(path: Path) -> Iterator[Path]:
    """For files beside ``path``; each is known before there is such a file, so that a signal cannot leave one."""
    while True:
        tail = f".{_machine()}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        room = _NAME_BYTES - len(tail) - 1
        stem = os.fsencode(path.name)[:room].decode(sys.getfilesystemencoding(), "ignore")
        yield path.parent / f".{stem}{tail}"


def _new(temporary: Path) -> BinaryIO | None:
    """A new file, locked for as long as it is open; None where a run that clears away got it first."""
    file = temporary.open("xb")
    if _lock(file.fileno()) is not False and os.fstat(file.fileno()).st_nlink:
        return file
    file.close()
    return None


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _lock(descriptor: int) -> bool | None:
    """True: locked now. False: another process has it. None: there are no locks here."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return None if error.errno in _NO_LOCKS else False
    return True


def _remove_if_stale(path: Path, machine: str, process: int) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    try:
        locked = _lock(descriptor)
        stale = locked if locked is not None else machine == _machine() and not _alive(process)
        if stale:
            path.unlink()  # while the lock is held: its writer cannot come back
        return bool(stale)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _publish(temporary: Path, path: Path, overwrite: bool) -> None:
    """Give the finished file its name; a link does not replace what stands there, unlike a rename."""
    if overwrite or not hasattr(os, "link"):
        if not overwrite and os.path.lexists(path):
            raise FileExistsError
        temporary.replace(path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):  # a file system without links (FAT): the best that is left
            raise FileExistsError from None
        temporary.replace(path)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _machine() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _alive(process: int) -> bool:
    if os.name == "nt":
        return True  # asking would end it: os.kill on Windows is TerminateProcess
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def cache_folder() -> Path:
    """The folder for files that can be made again: ``DFRESTORE_CACHE_DIR``, else the platform's cache folder."""
    import platformdirs

    override = os.environ.get("DFRESTORE_CACHE_DIR")
    return Path(override).expanduser() if override else platformdirs.user_cache_path("dfrestore")


def remedy(error: OSError) -> str:
    """What a user can do about a file that could not be written."""
    return {
        errno.ENOSPC: "free some space",
        errno.EDQUOT: "free some space",
        errno.ENOENT: "create the folder first",
        errno.EACCES: "change the folder's permissions or choose another",
        errno.EROFS: "choose another folder",
        errno.ENAMETOOLONG: "choose a shorter name",
    }.get(error.errno or 0, "choose another name or folder")
