"""Where photos are read and written: in between the work, or beside it, so that a GPU need not wait for either."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

J = TypeVar("J")
T = TypeVar("T")
R = TypeVar("R")


class InPlace(Generic[R]):
    """One thing after the other: one photo is in memory at a time."""

    def ahead(self, jobs: Iterable[J], read: Callable[[J], T]) -> Iterator[tuple[J, Callable[[], T]]]:
        """Each job, and what gives its photo, or raises."""
        for job in jobs:
            yield job, partial(read, job)

    def write(self, finish: Callable[[], R]) -> Iterator[R]:
        """Have ``finish`` done; yields the results that are there."""
        yield finish()

    def rest(self) -> Iterator[R]:
        """The results that are still owed, when they are there."""
        yield from ()

    def close(self) -> None:
        """What is being read or written comes to its end."""


class Beside(InPlace[R]):
    """The next photo is read, and the last one written, by threads of their own: three photos are in memory."""

    def __init__(self) -> None:
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="reading")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writing")
        self._last: Future[R] | None = None

    def ahead(self, jobs: Iterable[J], read: Callable[[J], T]) -> Iterator[tuple[J, Callable[[], T]]]:
        waiting: tuple[J, Callable[[], T]] | None = None
        for job in jobs:
            now, waiting = waiting, (job, self._reader.submit(read, job).result)
            if now is not None:
                yield now
                del now  # and with it its photo
        if waiting is not None:
            yield waiting

    def write(self, finish: Callable[[], R]) -> Iterator[R]:
        yield from self.rest()
        self._last = self._writer.submit(finish)

    def rest(self) -> Iterator[R]:
        last, self._last = self._last, None
        if last is not None:
            yield last.result()

    def close(self) -> None:
        self._reader.shutdown(cancel_futures=True)
        self._writer.shutdown()
