"""A run that is interrupted, terminated, killed, or whose reader goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from chain_models import save_one_of_each
from conftest import Answer
from PIL import Image

from dfrestore.files import is_temporary

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
def running(arguments: list[str], seconds: float = 0.05) -> Iterator[subprocess.Popen[str]]:
    """A run of its own process whose first result, of ``0.png``, is there for so long."""
    process = subprocess.Popen(
        [sys.executable, "-c", HEEDING, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().endswith("0.png\n")
        time.sleep(seconds)
        yield process
    finally:
        process.kill()
        process.communicate()


def stopped(run: AbstractContextManager[subprocess.Popen[str]], number: signal.Signals, code: int) -> str:
    """What the run says on standard error when this signal ends it, with this exit code and no traceback."""
    with run as process:
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    return str(err)


def whole_pictures(out: Path) -> int:
    """How many outputs there are; each must open."""
    found = sorted(out.glob("*.png"))
    for path in found:
        with Image.open(path) as image:
            image.load()
    return len(found)


def temporaries(out: Path) -> list[Path]:
    return [path for path in out.iterdir() if is_temporary(path)]


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_keeps_what_is_finished_and_leaves_nothing_half(
    folder: Path, identity_model: Path, dfrestore: Run, number: signal.Signals, code: int, word: str
) -> None:
    out = folder.parent / "out"
    err = stopped(running(arguments(folder, identity_model)), number, code)
    done = whole_pictures(out)
    assert 1 <= done < 8
    assert f"{word}: {done} done, {8 - done} not done" in err
    assert not temporaries(out)


# Of each photo's work the first task is one part of sixty, over long before the signal comes.
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_chain_stopped_in_its_second_task_leaves_nothing_half_and_the_same_command_finishes_it(
    tmp_path: Path, make_photo: Callable[..., Path], dfrestore: Run, number: signal.Signals, code: int
) -> None:
    for photo in range(3):
        make_photo(tmp_path / "in" / f"{photo}.png", photo, (64, 64))
    models, out = save_one_of_each(tmp_path), tmp_path / "out"
    command = ["run", "derain,denoise", str(tmp_path / "in"), "-o", str(out), "--precision", "fp32"]
    command += [f"{task}.model={models[task]}" for task in ("derain", "denoise")]
    command += ["derain.steps=1", f"denoise.steps={STEPS}"]
    stopped(running(command, 0.25), number, code)
    done = whole_pictures(out)
    assert 1 <= done < 3
    assert sorted(path.name for path in out.iterdir()) == [".dfrestore.jsonl", *(f"{n}.png" for n in range(done))]
    answer = dfrestore(*command)
    assert answer.code == 0
    assert answer.paths == [str(out / f"{n}.png") for n in range(done, 3)]
    assert whole_pictures(out) == 3
    assert not temporaries(out)


def test_a_killed_run_is_finished_by_the_next(folder: Path, identity_model: Path, dfrestore: Run) -> None:
    out = folder.parent / "out"
    with running(arguments(folder, identity_model)) as process:
        process.kill()
        process.communicate()
    done = whole_pictures(out)
    assert 1 <= done < 8
    answer = dfrestore(*arguments(folder, identity_model))
    assert answer.code == 0
    assert len(answer.paths) == 8 - done
    assert whole_pictures(out) == 8
    assert not temporaries(out)


def test_a_reader_that_goes_away_does_not_stop_the_work(folder: Path, identity_model: Path) -> None:
    with running(arguments(folder, identity_model)) as process:
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
