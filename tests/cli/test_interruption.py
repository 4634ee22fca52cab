"""A run that is interrupted, terminated, killed, or whose reader goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import Answer
from PIL import Image

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

ROOT = Path(__file__).parents[2]
STEPS = 60
Run = Callable[..., Answer]


@pytest.fixture
def folder(tmp_path: Path, make_photo: Callable[..., Path]) -> Path:
    for number in range(8):
        make_photo(tmp_path / "in" / f"{number}.png", number, (64, 64))
    return tmp_path / "in"


def arguments(folder: Path, model: Path) -> list[str]:
    out = folder.parent / "out"
    return ["derain", str(folder), "-o", str(out), "--steps", str(STEPS), "--model", str(model), "--precision", "fp32"]


# A parent that ignores Ctrl-C (a shell's background job) hands that down, which would make these tests tell nothing.
HEEDING = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module('dfrestore', run_name='__main__', alter_sys=True)"
)


@contextmanager
def running(folder: Path, model: Path) -> Iterator[subprocess.Popen[str]]:
    """A run of its own process whose first result is there."""
    process = subprocess.Popen(
        [sys.executable, "-c", HEEDING, *arguments(folder, model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().endswith("0.png\n")
        time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


def whole_pictures(out: Path) -> int:
    """How many outputs there are; each must open."""
    found = sorted(out.glob("*.png"))
    for path in found:
        with Image.open(path) as image:
            image.load()
    return len(found)


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_keeps_what_is_finished_and_leaves_nothing_half(
    folder: Path, identity_model: Path, dfrestore: Run, number: signal.Signals, code: int, word: str
) -> None:
    out = folder.parent / "out"
    with running(folder, identity_model) as process:
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    done = whole_pictures(out)
    assert 1 <= done < 8
    assert f"{word}: {done} done, {8 - done} not done" in err
    assert not list(out.glob("*.dfrestore-tmp")) + list(out.glob(".*.dfrestore-tmp"))


def test_a_killed_run_is_finished_by_the_next(folder: Path, identity_model: Path, dfrestore: Run) -> None:
    out = folder.parent / "out"
    with running(folder, identity_model) as process:
        process.kill()
        process.communicate()
    done = whole_pictures(out)
    assert 1 <= done < 8
    answer = dfrestore(*arguments(folder, identity_model))
    assert answer.code == 0
    assert len(answer.paths) == 8 - done
    assert whole_pictures(out) == 8
    assert not list(out.glob(".*.dfrestore-tmp"))


def test_a_reader_that_goes_away_does_not_stop_the_work(folder: Path, identity_model: Path) -> None:
    with running(folder, identity_model) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        process.wait(timeout=120)
    assert process.returncode == 0
    assert "Error" not in err
    assert whole_pictures(folder.parent / "out") == 8


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(
    tmp_path: Path, make_photo: Callable[..., Path], identity_model: Path, closed: str
) -> None:
    source = make_photo(tmp_path / "a.tif")
    command = [sys.executable, "-m", "dfrestore", "derain", str(source), "--model", str(identity_model)]
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *command], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0
    assert done.stdout == ("" if ">&-" in closed.replace("2>&-", "") else f"{tmp_path / 'a_derain.tif'}\n")
    assert "Traceback" not in done.stderr
    with Image.open(tmp_path / "a_derain.tif") as image:
        image.load()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_standard_output_that_cannot_be_written_is_said_and_the_work_goes_on(
    folder: Path, identity_model: Path
) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "dfrestore", *arguments(folder, identity_model), "--steps", "1"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
    assert done.returncode == 1
    assert done.stderr.count("standard output cannot be written") == 1
    assert "8 done" in done.stderr
    assert whole_pictures(folder.parent / "out") == 8
