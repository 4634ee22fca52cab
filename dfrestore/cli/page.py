"""``--report``: where the page may go, and how it grows with a run."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dfrestore.cli.ending import Terminated
from dfrestore.errors import FileFailure, PhotoWriteError, StartError, UsageError
from dfrestore.version import __version__

if TYPE_CHECKING:
    from dfrestore.evaluation.html import About, Entry
    from dfrestore.evaluation.page_file import PageFile
    from dfrestore.evaluation.shots import Role, Shots

_ENDINGS = (".html", ".htm")
Tell = Callable[[str], None]


def page_path(
    text: str | None, inputs: Iterable[Path], outputs: Iterable[Path] = (), *, overwrite: bool = False
) -> Path | None:
    """Where the page goes, checked; None without ``--report``.

    Raises UsageError for another ending, a folder, or a place that an input or an output has or needs; PhotoWriteError
    for an existing file that is no report of ours, without ``overwrite``.
    """
    if text is None:
        return None
    path = Path(text)
    if path.suffix.lower() not in _ENDINGS:
        raise UsageError(f"--report {text}: the page needs the name of a file that ends in .html")
    from dfrestore.restore.naming import identity

    place = identity(path)
    if any(identity(item) == place for item in inputs):
        raise UsageError(f"--report {text}: is an input; choose another name")
    made = {identity(item) for item in outputs}
    above = {str(folder) for item in made for folder in Path(item).parents}
    if place in made or place in above or any(str(folder) in made for folder in Path(place).parents):
        raise UsageError(f"--report {text}: a result goes there; choose another name")
    if os.path.lexists(path):
        _check_existing(path, overwrite)
    return path


def _check_existing(path: Path, overwrite: bool) -> None:
    from dfrestore.evaluation.page_file import is_report

    if not path.is_file():
        raise UsageError(f"--report {path}: is not a regular file; choose another name")
    if not overwrite and not is_report(path):
        raise PhotoWriteError(f"{path}: exists already, and is no report of dfrestore; choose another --report")


class Page:
    """A page that grows with a run. If it cannot be written later on, that is printed, ``failed`` is set, and the run
    goes on.
    """

    def __init__(self, path: Path, overwrite: bool, say: Tell, complain: Tell) -> None:
        self.failed = False
        self._path = path
        self._overwrite = overwrite
        self._say = say
        self._complain = complain
        self._file: PageFile | None = None
        self._begin = time.perf_counter()

    @contextmanager
    def written(self) -> Iterator[None]:
        """A context around the work. After an interrupt, a page shows what is done; after an error there is none.

        Raises StartError before the work if the page cannot be written.
        """
        from dfrestore.evaluation.page_file import PageFile

        try:
            self._file = PageFile(self._path, overwrite=self._overwrite)
        except PhotoWriteError as error:
            raise StartError(str(error)) from error
        with self._file:
            try:
                yield
                self._rest()
            except (KeyboardInterrupt, Terminated) as end:
                if self._file.photos:
                    self._finish("terminated" if isinstance(end, Terminated) else "interrupted")
                raise
            self._finish(None)

    def _rest(self) -> None:
        """Add the remaining entries when all is done."""

    def _about(self, ending: str | None) -> About:
        raise NotImplementedError

    def _look(self, make: Callable[[], Shots | None]) -> tuple[Shots | None, tuple[str, ...]]:
        """The pictures of one photo, or None with a note that says why."""
        from dfrestore.evaluation.shots import MOST_PHOTOS

        if self._file is None or self._file.photos >= MOST_PHOTOS:
            return None, (f"no pictures: the page has those of {MOST_PHOTOS} photos already",)
        try:
            shots = make()
        except (FileFailure, MemoryError, OSError, ValueError) as error:
            return None, (f"no pictures: {error or type(error).__name__}",)
        return shots, () if shots is not None else ("no pictures: they would make the page too large",)

    def _put(self, entry: Entry) -> None:
        from dfrestore.evaluation.html import LABELS

        if self._file is None:
            return
        try:
            self._file.add(entry, {**LABELS, **self._labels()})
        except PhotoWriteError as error:
            self._fail(error)

    def _labels(self) -> Mapping[Role, str]:
        return {}

    def _finish(self, ending: str | None) -> None:
        if self.failed or self._file is None:
            return
        try:
            size = self._file.finish(self._about(ending))
        except PhotoWriteError as error:
            self._fail(error)
        else:
            self._say(f"report: {self._path} ({count(self._file.photos)}, {max(size, 100_000) / 1e6:.1f} MB)")

    def _fail(self, error: PhotoWriteError) -> None:
        self.failed = True
        self._complain(f"no report: {error}")


def lead(ending: str | None, *parts: str) -> str:
    """One line on the outcome of the run; ending: ``interrupted``, ``terminated`` or None."""
    line = " · ".join(parts)
    return f"{ending.capitalize()}: {line}" if ending else line


def how(model: str, steps: int, seed: int) -> str:
    return f"{model}, {count(steps, 'step')}, seed {seed}"


def count(number: int, word: str = "photo") -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def most(plans: Counter[str]) -> str:
    """The three most frequent plans, with their numbers if there are several plans."""
    named = [f"{plan} ({times})" if len(plans) > 1 else plan for plan, times in plans.most_common(3)]
    return "; ".join([*named, f"{len(plans) - 3} others"] if len(plans) > 3 else named)


def versions() -> str:
    import platform
    from importlib.metadata import version

    return f"dfrestore {__version__}, PyTorch {version('torch')}, Python {platform.python_version()}"


def made() -> str:
    return f"Made by dfrestore {__version__} on {time.strftime('%Y-%m-%d %H:%M %z')}. Nothing in this page is fetched."
