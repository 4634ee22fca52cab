"""Generators that yield records of their progress and return a result."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

Record = TypeVar("Record")
Seen = TypeVar("Seen")
Result = TypeVar("Result")


def tapped(
    work: Generator[Record, None, Result], see: Callable[[Record], Seen | None]
) -> Generator[Seen, None, Result]:
    """Each record of ``work`` as ``see`` gives it, left out where that is None; returns what ``work`` returns."""
    while True:
        try:
            record = next(work)
        except StopIteration as end:
            result: Result = end.value
            return result
        seen = see(record)
        if seen is not None:
            yield seen


def drain(work: Generator[Record, None, Result], see: Callable[[Record], object] = lambda record: None) -> Result:
    """Run ``work`` to its end, showing each record to ``see``; what it returns."""
    made: list[Result] = []

    def kept() -> Iterator[Record]:
        made.append((yield from work))

    for record in kept():
        see(record)
    return made[0]
