"""Processes that do the cases, so that a crash of a codec, a hang or an appetite for memory is seen and survived."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

SECONDS = 10.0
MEGABYTES = 2048
_LINUX = sys.platform == "linux"


@dataclass(frozen=True)
class Case:
    """A case follows from these three alone. through: ``readers``, ``cli``, or ``crash``, which tests this job."""

    seed: int
    number: int
    through: str = "readers"


@dataclass(frozen=True)
class Outcome:
    """accepted: None where something was found, told by ``finding``. megabytes: the most it held beyond before."""

    case: Case
    kind: str
    accepted: bool | None
    seconds: float = 0.0
    megabytes: float = 0.0
    finding: str = ""


def kind_of(case: Case) -> str:
    from fuzzing import command, seeds

    kinds = command.KINDS if case.through == "cli" else seeds.KINDS
    return kinds[case.number % len(kinds)]


def content_of(case: Case) -> tuple[bytes, random.Random]:
    """The file of a case, and the generator for further choices."""
    from fuzzing import mutate, seeds

    rng = random.Random(f"{case.through} {case.seed} {case.number}")
    kind = kind_of(case)
    return mutate.mutated(kind, seeds.seeds(kind), rng), rng


def do(case: Case, folder: Path) -> bool:
    """Do a case in an empty folder; raises what was found."""
    from fuzzing import command, targets

    if case.through == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    data, rng = content_of(case)
    through = command.run if case.through == "cli" else targets.run
    return through(kind_of(case), data, folder, rng)


def run_cases(cases: Sequence[Case], processes: int) -> Iterator[Outcome]:
    """The outcomes, in whatever order they come."""
    context = multiprocessing.get_context("spawn")
    waiting = list(reversed(cases))
    workers = [_Worker(context) for _ in range(min(processes, len(cases)))]
    try:
        while waiting or any(worker.case for worker in workers):
            for worker in workers:
                if worker.case is None and waiting:
                    worker.give(waiting.pop())
            busy = [worker for worker in workers if worker.case]
            wait([worker.pipe for worker in busy], timeout=0.5)
            for worker in busy:
                outcome = worker.answer()
                if outcome is not None:
                    yield outcome
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """One process, begun anew when it dies or hangs."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._begin()

    def _begin(self) -> None:
        self.case: Case | None = None
        self.pipe, other = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(other,), daemon=True)
        self._process.start()
        other.close()
        if not self.pipe.poll(120):
            raise RuntimeError("a worker does not start")
        self.pipe.recv()

    def give(self, case: Case) -> None:
        self.case, self._since = case, time.monotonic()
        self.pipe.send(case)

    def answer(self) -> Outcome | None:
        """What became of the case; None while it is under way."""
        assert self.case is not None
        case = self.case
        try:
            if self.pipe.poll():
                outcome: Outcome = self.pipe.recv()
                self.case = None
                return outcome
        except (EOFError, OSError):
            self._process.join(10)
            finding = f"the process died (exit code {self._process.exitcode})"
            self._begin()
            return Outcome(case, kind_of(case), None, finding=finding)
        seconds = time.monotonic() - self._since
        if seconds <= 3 * SECONDS:  # what takes longer than SECONDS but ends is judged by its own clock
            return None
        self.end()
        self._begin()
        return Outcome(case, kind_of(case), None, seconds, finding=f"no end after {seconds:.0f} s")

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _serve(pipe: Connection) -> None:
    import torch

    torch.set_num_threads(1)
    _prepare()
    with tempfile.TemporaryDirectory() as root, _noise() as noise:
        pipe.send("ready")
        while True:
            try:
                case = pipe.recv()
            except EOFError:
                return
            pipe.send(_measured(case, Path(root) / "case", noise))


def _prepare() -> None:
    """Everything that is loaded on first use, so that it counts as no case's; and a ceiling for what runs away."""
    from fuzzing.seeds import KINDS

    for number in range(len(KINDS)):
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Exception):
            do(Case(-1, number), Path(folder))
    if _LINUX:
        import resource

        limit = (_status("VmSize") + 2 * MEGABYTES) << 20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _measured(case: Case, folder: Path, noise: Any) -> Outcome:
    folder.mkdir()
    held, accepted, finding = _restarted_peak(), None, ""
    begin = time.process_time()  # other processes of this machine do not count
    try:
        accepted = do(case, folder)
    except BaseException:
        finding = traceback.format_exc()
    seconds = time.process_time() - begin
    peak = max(0.0, _status("VmHWM") - held) if _LINUX else 0.0
    shutil.rmtree(folder, ignore_errors=True)
    said = _said(noise)
    if not finding and said:
        finding = f"a library printed: {said}"
    if not finding and seconds > SECONDS:
        finding = f"took {seconds:.1f} s"
    if not finding and peak > MEGABYTES:
        finding = f"held {peak:.0f} MB"
    return Outcome(case, kind_of(case), None if finding else accepted, seconds, peak, finding)


@contextlib.contextmanager
def _noise() -> Iterator[Any]:
    """Whatever libraries print goes to a file, to be looked at after each case."""
    with tempfile.TemporaryFile() as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
        yield file


def _said(noise: Any) -> str:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    noise.seek(0)
    text = noise.read(500).decode("utf-8", "replace")
    noise.seek(0)
    noise.truncate()
    return str(text)


def _restarted_peak() -> float:
    """Let the peak of resident memory begin anew; MB resident now."""
    if not _LINUX:
        return 0.0
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) >> 10 if found else 0
