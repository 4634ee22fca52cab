"""Batches killed at random moments: no damaged output, and the resumed folder equals an undisturbed one.

``python tests/cli/kills.py FOLDER MODEL 50`` prints figures as JSON. Runs are forked from this process, which has
imported all they need: kills fall on planning, loading, reading, computing, writing and recording, not on imports.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import dfrestore.cli.report
import dfrestore.restore.restorer  # noqa: F401 (imported for the forks)
from dfrestore.cli import main
from dfrestore.files import is_temporary

RECORD = ".dfrestore.jsonl"


@dataclass
class Batch:
    """A folder of photos, its results in ``out``, and what an undisturbed run makes of it."""

    photos: Path
    model: Path
    out: Path
    reference: dict[str, bytes] = field(default_factory=dict)

    def start(self) -> int:
        """The process of a run."""
        process = os.fork()
        if process:
            return process
        code = 1
        try:
            log = os.open(self.out.with_suffix(".log"), os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            os.dup2(log, 1)
            os.dup2(log, 2)
            arguments = ["derain", self.photos, "-o", self.out, "--model", self.model, "--steps", "1", "--json"]
            code = main([str(argument) for argument in arguments])
        finally:
            os._exit(code)

    def finish(self) -> dict[str, int]:
        """Run to the end; the totals."""
        _, status = os.waitpid(self.start(), 0)
        lines = self.out.with_suffix(".log").read_text().splitlines()
        assert os.WIFEXITED(status), lines
        assert os.WEXITSTATUS(status) == 0, lines
        totals: dict[str, int] = next(json.loads(line)["totals"] for line in lines if line.startswith('{"totals"'))
        return totals

    def results(self) -> dict[str, bytes]:
        """Everything under its final name."""
        files = (path for path in self.out.rglob("*") if path.is_file() and path.name != RECORD)
        return {str(path.relative_to(self.out)): path.read_bytes() for path in files if not is_temporary(path)}

    def temporaries(self) -> int:
        return sum(is_temporary(path) for path in self.out.rglob(".*"))

    def require_whole(self) -> int:
        """How many results there are, each as undisturbed."""
        results = self.results()
        damaged = [name for name, data in results.items() if self.reference[name] != data]
        assert not damaged, damaged
        return len(results)

    def require_complete(self) -> None:
        """After :meth:`finish`: all there is, and nothing else."""
        assert self.results() == self.reference
        assert self.temporaries() == 0
        lines = (self.out / RECORD).read_text().splitlines()
        assert {json.loads(line)["output"] for line in lines if line.endswith("}")} >= set(self.reference)


def kill_at_random(photos: Path, model: Path, kills: int, seed: int = 0) -> dict[str, float]:
    """That many runs killed while they work, over as many folders as that takes; raises AssertionError."""
    dice, figures = random.Random(seed), Counter[str]()
    batch = Batch(photos, model, photos.with_name("out"))
    begin = time.perf_counter()
    figures["files"] = batch.finish()["done"]
    working = time.perf_counter() - begin
    batch.reference = batch.results()
    shutil.rmtree(batch.out)
    while figures["killed"] < kills:
        before, process = len(batch.results()), batch.start()
        time.sleep(dice.uniform(0, working))
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        figures["verified"] += (done := batch.require_whole())
        if os.WIFSIGNALED(status):
            figures["killed"] += 1
            figures["killed after a file of its own"] += done > before
            figures["killed while writing"] += batch.temporaries() > 0
        if done == figures["files"] or figures["killed"] == kills:
            totals = batch.finish()
            assert (totals["left"], totals["failed"]) == (0, 0), totals
            batch.require_complete()
            figures["folders completed"] += 1
            figures["verified"] += figures["files"]
            shutil.rmtree(batch.out)
    return {**figures, "seconds of an undisturbed run": round(working, 1)}


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    print(json.dumps(kill_at_random(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
