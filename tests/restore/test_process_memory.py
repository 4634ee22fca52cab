"""The memory of a whole run of the command, measured as its parent sees it, against what the start line said."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_batch_memory import AT_ONCE

from dfrestore.engine import choose_device, choose_precision, make_plan
from dfrestore.engine.memory import process_bytes
from dfrestore.methods import load_network
from dfrestore.photo import encoding_bytes
from dfrestore.restore.needs import Needs
from dfrestore.weights import resolve

ROOT = Path(__file__).parents[2]
MB = 1 << 20
SMALL = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads the peak as Linux counts it")


def photo(path: Path, width: int, height: int) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    return path


def peak_of(*arguments: object) -> tuple[int, dict[str, str]]:
    """Bytes at the peak of ``dfrestore ARGUMENTS --json``, and what it said of its first file.

    A process starts with the peak of the one that made it, so a small one lies between.
    """
    command = [sys.executable, "-m", "dfrestore", *map(str, arguments), "--json", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", SMALL, *command, "--precision", "fp32", "--device", "cpu", "--threads", "1"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    return int(done.stderr.split()[-1]) * 1024, json.loads(done.stdout.splitlines()[0])


def said(plan: str) -> float:
    found = re.search(r"about ([\d.]+) (GB|MB)$", plan)
    assert found is not None
    return float(found[1]) * (1e9 if found[2] == "GB" else 1e6)


@linux
@pytest.mark.slow
def test_a_run_takes_what_its_start_line_said(tmp_path: Path) -> None:
    peak, told = peak_of("derain", photo(tmp_path / "a.png", 640, 480), "-o", tmp_path / "out.png")
    assert told["plan"].startswith("whole image")
    assert 0.7 * said(told["plan"]) < peak < 1.05 * said(told["plan"])


@linux
@pytest.mark.slow
def test_a_run_keeps_to_the_budget_as_a_process(tmp_path: Path) -> None:
    peak, told = peak_of("derain", photo(tmp_path / "a.png", 640, 480), "-o", tmp_path / "out.png", "--memory", "440M")
    assert told["plan"].startswith("tiles of")
    assert 300 * MB / 2 < peak < 440 * MB


@linux
@pytest.mark.slow
def test_a_chain_takes_what_its_costliest_task_takes_and_not_the_sum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in AT_ONCE.items():
        monkeypatch.setenv(name, value)
    large, small = photo(tmp_path / "a.png", 640, 480), photo(tmp_path / "b.png", 64, 64)
    out = ("-o", tmp_path / "out.png", "--overwrite")

    def needed(*command: str) -> int:
        """Bytes, without the process and its models."""
        return peak_of(*command, large, *out)[0] - peak_of(*command, small, *out)[0]

    alone = needed("derain")  # as much as denoise, whose network is of the same kind
    assert alone > 50 * MB
    assert needed("run", "derain,denoise") < 1.3 * alone


def test_the_process_and_the_photo_count_beside_the_evaluations() -> None:
    network, _ = load_network(resolve(None, task="derain").path)
    cpu = choose_device("cpu")
    beside = Needs(encoding=encoding_bytes("PNG", 8, 3000, 4000)).beside(process_bytes(), 3000, 4000, 1)
    how = {"precision": choose_precision("fp32", cpu), "device": cpu}
    alone, whole = (make_plan(3000, 4000, network, memory=1 << 40, **how, **more) for more in ({}, {"beside": beside}))
    assert whole.peak_bytes - alone.peak_bytes == beside.held >= 300 * MB + 12 * 12_000_000
    small = make_plan(3000, 4000, network, memory=whole.peak_bytes - 1, beside=beside, **how)
    assert small.peak_bytes < whole.peak_bytes


@pytest.mark.parametrize(
    ("more", "needs"),
    [
        ({"members": 4}, "held"),
        ({"members": 4, "spread": True}, "held"),
        ({"blended": True}, "finishing"),
        ({"result": (200, 200)}, "finishing"),
        ({"encoding": 10 * MB}, "finishing"),
    ],
)
def test_what_is_wished_for_takes_memory_too(more: dict[str, object], needs: str) -> None:
    plain, other = (Needs(**wish).beside(0, 100, 100, 1) for wish in ({}, more))  # type: ignore[arg-type]
    assert getattr(other, needs) > getattr(plain, needs)
