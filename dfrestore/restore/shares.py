"""One run over files by several processes, as ``torchrun`` starts them: who does which file, and who tells of it.

The first process plans, speaks and ends last; all do files, one at a time, and the others tell it what became of each.
This goes through the store that ``torchrun`` keeps for its processes: no collective, which hangs where a process is
gone, and no file, which a killed run would leave behind; on several machines too. Files are not dealt out beforehand
but taken by whoever is free, the largest first: sizes in bytes say little about pixels, and processes differ in speed.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dfrestore.processes import PeerFailed, Peers, gone
from dfrestore.restore.change import Change
from dfrestore.restore.extras import Extras
from dfrestore.restore.planning import Job
from dfrestore.restore.remedies import Remedy, Repair, Tried
from dfrestore.restore.results import StepResult, Where
from dfrestore.threads import cores, use_threads

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

    from dfrestore.engine import Progress
    from dfrestore.restore.results import FileResult, Started

    Event = Started | Progress | FileResult

T = TypeVar("T")
PULSE = 1.0  # seconds between two signs of life
PATIENCE = 300.0  # seconds without one before a process is given up in the middle of the work,
LAST_WORDS = 3.0  # and after an interrupt
LONGEST_END = 20.0  # seconds that one which lives may take to end; torchrun kills after thirty
_LOOK = 0.1  # seconds between two looks at what the others told
_CHUNK = 500  # jobs in one value of the store, which holds 8 MiB


class Crew:
    """One process alone, which is also what several look like to a command. size: how many there are. lost: one of them
    ended without a word.
    """

    size = 1
    lost = False

    @property
    def first(self) -> bool:
        """Whether this process plans and speaks."""
        return True

    @property
    def described(self) -> str:
        """For the start line; empty for one process."""
        return ""

    def place(self, name: str) -> str:
        """The device that ``--device name`` means for this process."""
        return name

    def memory(self, budget: int | None, device: str) -> int | None:
        """This process's part of the ``--memory`` of its device (None: what is free there)."""
        return budget

    def in_turn(self, load: Callable[[], T]) -> T:
        """``load()`` in one process of each machine, then in its others."""
        return load()

    def agreed(self, jobs: list[Job]) -> list[Job]:
        """What the first process found to do, in each of them; it waits until the others know."""
        return jobs

    def taken(self, jobs: Sequence[Job]) -> Iterable[Job]:
        """The jobs that fall to this process, one after the other."""
        return jobs

    def gathered(self, events: Iterable[Event]) -> Iterator[Event]:
        """The work: these events, in the first process with the results of the others between them and after them."""
        yield from events

    def last_words(self) -> Iterator[FileResult]:
        """After an interrupt, in the first process: the results of the others that have not been told."""
        yield from ()


class Ranks(Peers, Crew):
    """One of several processes."""

    def __init__(self, store: Store, rank: int, size: int) -> None:
        super().__init__(store, rank, size)
        self._told = 0  # by this process
        self._signs: dict[int, tuple[int, float]] = {}  # of life: how many, and when that was seen to change
        self._heard = dict.fromkeys(range(1, size), 0) if self.first else {}  # of those that have not ended
        self._left = threading.Event()
        self._share_cores()
        threading.Thread(target=self._live, daemon=True).start()

    @property
    def described(self) -> str:
        return f"{self.size} processes, the first on "

    def memory(self, budget: int | None, device: str) -> int | None:
        from dfrestore.engine import choose_device, free_memory

        if device != "cpu":  # a GPU of its own
            return budget
        whole = free_memory(choose_device(device)) if budget is None else budget
        return None if whole is None else max(1, whole // self.local_size)

    def agreed(self, jobs: list[Job]) -> list[Job]:
        if not self.first:
            return self._jobs_of_first()
        jobs = sorted(jobs, key=lambda job: -_bytes(job.input))
        chunks = [jobs[start : start + _CHUNK] for start in range(0, len(jobs), _CHUNK)]
        with gone():
            for number, chunk in enumerate(chunks):
                self.store.set(f"jobs/{number}", json.dumps([_packed(job) for job in chunk]))
            self.store.set("jobs", str(len(chunks)))
        if not jobs:
            list(self.gathered(()))
        return jobs

    def _jobs_of_first(self) -> list[Job]:
        jobs: list[Job] = []
        with gone():
            while not self.store.check(["jobs"]):
                if self.failures() or self._silence(0) > PATIENCE:
                    raise PeerFailed
                time.sleep(_LOOK)
            for number in range(int(self.store.get("jobs"))):
                jobs += (Job(**_unpacked(item)) for item in json.loads(self.store.get(f"jobs/{number}")))
        return jobs

    def taken(self, jobs: Sequence[Job]) -> Iterator[Job]:
        if self.first:  # so that it begins, and prints the start line
            yield from jobs[:1]
        while True:
            with gone():
                number = self.store.add("taken", 1)
            if number >= len(jobs):
                return
            yield jobs[number]

    def gathered(self, events: Iterable[Event]) -> Iterator[Event]:
        if not self.first:
            yield from self._telling(events)
            return
        looked = time.monotonic()
        for event in events:
            yield event
            if time.monotonic() - looked > _LOOK:
                yield from self._hear()
                looked = time.monotonic()
        yield from self._hear_all()

    def _telling(self, events: Iterable[Event]) -> Iterator[Event]:
        from dfrestore.restore.results import FileResult

        for event in events:
            if isinstance(event, FileResult):
                with gone():
                    self._tell(json.dumps(_packed(event)))
            yield event

    def _tell(self, words: str) -> None:
        self.store.set(f"told/{self.rank}/{self._told}", words)
        self._told += 1

    def _hear(self) -> Iterator[FileResult]:
        """What has arrived since the last look."""
        from dfrestore.restore.results import FileResult

        for rank in list(self._heard):
            while rank in self._heard and (words := self._next_of(rank)) is not None:
                if words:
                    yield FileResult(**_unpacked(words))
                else:
                    del self._heard[rank]

    def _next_of(self, rank: int) -> Any:
        key = f"told/{rank}/{self._heard[rank]}"
        with gone():
            if not self.store.check([key]):
                return None
            words = json.loads(self.store.get(key))
            self.store.delete_key(key)
        self._heard[rank] += 1
        return words

    def _hear_all(self) -> Iterator[FileResult]:
        while self._heard:
            yield from self._hear()
            time.sleep(_LOOK)
            if any(self._silence(rank) > PATIENCE for rank in self._heard):
                raise PeerFailed

    def last_words(self) -> Iterator[FileResult]:
        if not self.first:
            return
        self.leave()
        deadline = time.monotonic() + LONGEST_END
        with contextlib.suppress(PeerFailed):  # torchrun itself is gone
            yield from self._hear()
            while any(self._silence(rank) < LAST_WORDS for rank in self._heard) and time.monotonic() < deadline:
                time.sleep(_LOOK)
                yield from self._hear()
        self.lost = bool(self._heard)

    def leave(self) -> None:
        """Say, once, that this process ends and knows it. Never fails."""
        if self._left.is_set():
            return
        self._left.set()
        with contextlib.suppress(RuntimeError):
            if self.first:
                self.store.set("ended", "")
            else:
                self._tell("{}")

    def deserted(self) -> bool:
        """After an interrupt, in the others: whether the first process is gone and cannot say why."""
        if self.first:
            return False
        with contextlib.suppress(PeerFailed), gone():
            while self._silence(0) < LAST_WORDS:
                if self.store.check(["ended"]):
                    return False
                time.sleep(_LOOK)
            return True
        return False

    def _live(self) -> None:
        """Give signs of life, also while the work is at one large picture for hours."""
        with contextlib.suppress(RuntimeError):
            while not self._left.wait(PULSE):
                self.store.add(f"life/{self.rank}", 1)

    def _silence(self, rank: int) -> float:
        """For how many seconds nothing has come from that process, as far as this one has looked."""
        with gone():
            signs = self.store.add(f"life/{rank}", 0)
        known, since = self._signs.get(rank, (-1, 0.0))
        if signs != known:
            since = time.monotonic()
            self._signs[rank] = signs, since
        return time.monotonic() - since

    def _share_cores(self) -> None:
        """torchrun gives each process one thread, unless the user says how many: then it is the user who decides."""
        if self.shares_machine and os.environ.get("OMP_NUM_THREADS", "1") == "1":
            use_threads(max(1, cores() // self.local_size))


_MARKED = {  # what a result holds, by its mark
    "extras": Extras,
    "change": Change,
    "step": StepResult,
    "where": Where,
    "repair": Repair,
    "remedy": Remedy,
    "tried": Tried,
}


def _packed(item: Any) -> dict[str, Any]:
    """For JSON: paths and what :data:`_MARKED` names are marked, and tuples become lists."""

    def packed(value: Any) -> Any:
        if isinstance(value, Path):
            return {"path": str(value)}
        mark = next((mark for mark, kind in _MARKED.items() if isinstance(value, kind)), None)
        if mark is not None:
            return {mark: _packed(value)}
        return [packed(part) for part in value] if isinstance(value, tuple) else value

    return {field.name: packed(getattr(item, field.name)) for field in fields(item)}


def _unpacked(values: dict[str, Any]) -> dict[str, Any]:
    return {key: _value(value) for key, value in values.items()}


def _value(value: Any) -> Any:
    if isinstance(value, dict):
        ((mark, held),) = value.items()
        return Path(held) if mark == "path" else _MARKED[mark](**_unpacked(held))
    return tuple(map(_value, value)) if isinstance(value, list) else value


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
