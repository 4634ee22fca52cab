"""What a run over files prints: paths or JSON on stdout; start line, bar, failures and summary on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dfrestore import strict_json
from dfrestore.cli.ending import INTERRUPTED, TERMINATED, Terminated, silence
from dfrestore.errors import DfrestoreError, first_three, one_line

if TYPE_CHECKING:
    from dfrestore.restore import FileResult
    from dfrestore.restore.change import Change

T = TypeVar("T")

_BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<"  # and the time left
_OWN_PACE = 0.05  # of the work must be done before the time left follows from the bar's own pace


class Report:
    """quiet: print failures only. as_json: objects instead of paths. paths: whether results are named on stdout.

    task: of a run that restores. torn: standard output could not be written, other than because its reader closed it.
    """

    def __init__(self, *, quiet: bool, as_json: bool, inputs: int, paths: bool = True, task: str = "") -> None:
        self.quiet = quiet
        self.as_json = as_json
        self.inputs = inputs
        self.paths = paths
        self.task = task
        self.counts: Counter[str] = Counter()
        self._begin = time.perf_counter()
        self.torn = False
        self._left: dict[str, list[Path | None]] = {}
        self._changes: list[tuple[Path, Change]] = []
        self._beside: dict[str, list[Path]] = {}  # kind of extra -> those that were written
        self._unharmed = 0  # that a run which chooses the tasks has only copied
        self._limit: int | None = None
        self._after = 0  # photos that are left for a later run
        self._bar: Any = None
        self._weights: Mapping[Path | None, int] = {}
        self._position = 0.0
        self._expected: float | None = None

    def say(self, line: str) -> None:
        """One line for people."""
        if not self.quiet:
            self._err(line)

    def warn(self, line: str) -> None:
        self.say(f"dfrestore: {line}")

    def complain(self, line: str) -> None:
        """One line on what went wrong besides the inputs; printed even with ``--quiet``."""
        self._err(f"dfrestore: {line}")

    def limited(self, photos: list[T], limit: int | None) -> list[T]:
        """The first ``limit`` photos that are left to do; how many are left after them is told at the end."""
        self._limit = limit
        self._after = 0 if limit is None else max(0, len(photos) - limit)
        return photos[:limit]

    def open_bar(self, weights: Mapping[Path | None, int]) -> None:
        """A bar over these outputs, each as long as its input is large; on terminals only."""
        self._weights = weights
        if self.quiet or self.as_json or not weights or not sys.stderr.isatty():
            return
        from tqdm import tqdm

        known = _has_size()
        self._bar = tqdm(
            total=sum(weights.values()),
            file=sys.stderr,
            bar_format=_BAR + "?",
            leave=False,
            smoothing=0,  # the time left follows from the whole run: strips of some levels are faster than others
            desc=f"1/{len(weights)}",
            ncols=None if known else 80,
            nrows=None if known else 24,
            dynamic_ncols=known,
        )

    def expect(self, seconds: float | None) -> None:
        """About how long the files that the bar is over will take: what it says until it has a pace of its own."""
        self._expected = seconds

    def progress(self, output: Path, fraction: float) -> None:
        """How far the file at work is."""
        if self._bar is not None:
            wanted = self._position + fraction * self._weights[output]
            self._bar.bar_format = _BAR + self._time_left(wanted / self._bar.total)
            self._bar.update(max(0, wanted - self._bar.n))  # the file before may not be reported yet

    def _time_left(self, share: float) -> str:
        if share >= _OWN_PACE:
            return "{remaining}"
        if self._expected is None:
            return "?"
        left = max(0.0, self._expected - self._bar.format_dict["elapsed"])
        return str(self._bar.format_interval(left))

    def result(self, result: FileResult) -> None:
        """One input is settled."""
        self.counts[result.status] += 1
        if self.as_json:
            from dfrestore.restore.results import as_json

            self._out(strict_json.dumps(as_json(result)))
        elif result.status == "done" and self.paths and not self.quiet:
            self._out(one_line(result.output))
        if result.status == "done" and result.repair is not None:
            self._unharmed += not result.repair.changed
        if result.status == "failed":
            self._err(f"dfrestore: {result.error}")
        elif result.status == "left":
            self._left.setdefault(str(result.error), []).append(result.output)
        if result.change is not None and (result.repair is None or result.repair.changed):
            self._changes.append((result.input, result.change))
        for kind, place in result.extras.places.items() if result.status == "done" else ():
            self._beside.setdefault(kind, []).append(place)
        for warning in result.warnings:
            self.warn(f"{result.input}: {warning}")
        if self._bar is not None:
            self._position += self._weights.get(result.output, 0)
            self._bar.update(max(0, self._position - self._bar.n))
            self._describe(self.counts["done"] + self.counts["failed"] + 1)

    def planned(self, job: Mapping[str, Any], line: str) -> None:
        """One input of a dry run."""
        self.counts["planned"] += 1
        if self.as_json:
            self._out(strict_json.dumps(job))
        elif not self.quiet:
            self._out(one_line(job["output"]))
        self.say(line)

    def close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def during(self, work: Callable[[], None]) -> int:
        """Do the work and close. Returns 0, or after an interrupt, which is printed, its exit code."""
        ending, code = None, 0
        try:
            work()
        except KeyboardInterrupt:
            ending, code = "interrupted", INTERRUPTED
        except Terminated:
            ending, code = "terminated", TERMINATED
        except (DfrestoreError, BrokenPipeError):
            self.close_bar()
            raise
        self.close(ending)
        return code

    def close(self, ending: str | None = None) -> None:
        """Clear the bar, name the outputs left as found, sum up, with how much changed. ending: why the run stopped."""
        self.close_bar()
        for why, outputs in self._left.items():
            count = "1 output" if len(outputs) == 1 else f"{len(outputs)} outputs"
            self.warn(f"{count} left as found ({why}): {first_three(outputs)}; --overwrite redoes them")
        seconds = time.perf_counter() - self._begin
        if self.as_json:
            totals = {"inputs": self.inputs, **{key: self.counts[key] for key in ("done", "skipped", "left", "failed")}}
            totals |= {"clean": self.counts["clean"]} if self.counts["clean"] else {}
            totals |= {"planned": self.counts["planned"]} if self.counts["planned"] else {}
            totals |= {"remaining": self._after} if self._limit is not None else {}
            totals |= {"interrupted": True} if ending else {}
            self._out(strict_json.dumps({"totals": {**totals, "seconds": round(seconds, 3)}}))
        if self.inputs == 1 and self.counts["failed"] and not ending:
            return  # the failure's own line says it all
        parts = [f"{self.counts[key]} {word}" for key, word in _WORDS.items() if self.counts[key]]
        if self._unharmed and parts:
            parts[0] += f" ({self._unharmed} of them as they were: nothing to repair)"
        missing = self.inputs - self.counts.total()
        if ending and missing > 0:
            parts.append(f"{missing} not done")
        elif self._after:
            parts.append(f"{self._after} left to do (--limit {self._limit})")
        told = ", ".join(parts) or "nothing to do"
        if not self.counts["planned"]:  # the time that a dry run took is none that the work will take
            told += f" in {duration(seconds)}"
        self.say("; ".join([f"{ending}: {told}" if ending else told, *self._changed(), *self._written_beside()]))

    def _changed(self) -> Iterator[str]:
        """How much the photos of this run changed, in words."""
        from dfrestore.restore.change import in_words, nothing_found, together

        if not self._changes:
            return
        hardly = [path for path, found in self._changes if found.hardly]
        if self.inputs == 1 and hardly:
            yield f"{nothing_found(self.task)} ({in_words(self._changes[0][1], self.task)})"
            return
        yield in_words(together([found for _, found in self._changes]), self.task)
        if hardly:
            yield f"{len(hardly)} {nothing_found(self.task, 'there')} ({first_three(hardly)})"

    def _written_beside(self) -> Iterator[str]:
        """Where the pictures are that options such as ``--compare`` asked for."""
        from dfrestore.restore.extras import option_of

        for kind, places in self._beside.items():
            folder = os.path.commonpath([place.parent for place in places])
            where = str(places[0]) if len(places) == 1 else f"{len(places)} in {folder}"
            yield f"{option_of(kind)}: {where}"

    def _describe(self, number: int) -> None:
        self._bar.set_description_str(f"{min(number, len(self._weights))}/{len(self._weights)}", refresh=False)

    def _err(self, line: str) -> None:
        self._print(one_line(line), sys.stderr)

    def _out(self, line: str) -> None:
        self._print(line, sys.stdout)

    def _print(self, line: str, stream: Any) -> None:
        if self._bar is not None:
            self._bar.clear()
        try:
            print(line, file=stream, flush=True)
        except OSError as error:
            # The reader has seen enough, or its disk is full; the pictures are still wanted.
            silence(stream)
            if not isinstance(error, BrokenPipeError) and stream is sys.stdout:
                self.torn = True
                self._err(f"dfrestore: standard output cannot be written ({error.strerror or error})")
        if self._bar is not None:
            self._bar.refresh()


_WORDS = {
    "done": "done",
    "planned": "to do",
    "clean": "not written (nothing to repair)",
    "skipped": "skipped (done before)",
    "left": "left as found",
    "failed": "failed",
}


def _has_size() -> bool:
    """Some terminals (containers, serial lines) say that a side of theirs is 0; tqdm then draws nothing."""
    try:
        return all(side > 0 for side in os.get_terminal_size(sys.stderr.fileno()))
    except (OSError, ValueError):
        return False


def weight_of(path: Path) -> int:
    """How much of the bar a file takes: its bytes, at least 1."""
    try:
        return max(1, path.stat().st_size)
    except OSError:
        return 1


def duration(seconds: float) -> str:
    """``3.4 s``, ``2 min 5 s``, ``1 h 12 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
