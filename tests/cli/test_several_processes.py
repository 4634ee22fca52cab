"""Files restored by two processes under ``torchrun``: the result of one, one voice, and an end when one is gone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Answer, pixels
from PIL import Image
from report_pages import names
from torchrun import child_of_rank, torchrun, wait_for

from dfrestore.threads import cores

pytestmark = [
    pytest.mark.skipif(not torch.distributed.is_available(), reason="this PyTorch is built without them"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
    pytest.mark.slow,
]
FILES = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty small pictures of four formats and five sizes, in two folders."""
    folder = tmp_path_factory.mktemp("several") / "in"
    (folder / "sub").mkdir(parents=True)
    for number in range(FILES):
        name = f"{number:02}.{('png', 'jpg', 'tif', 'webp')[number % 4]}"
        picture = Image.fromarray(pixels(24 + 8 * (number % 5), 24, number))
        picture.save(folder / ("sub" if number % 2 else "") / name)
    return folder


def arguments(folder: Path, out: Path, model: Path) -> list[str]:
    return ["derain", str(folder), "-o", str(out), "--model", str(model), "--steps", "4"]


@pytest.fixture(scope="module")
def alone(folder: Path, random_model: Path) -> dict[str, bytes]:
    """What one process makes of them, with as many threads as each of two has."""
    out = folder.parent / "alone"
    subprocess.run(
        [sys.executable, "-m", "dfrestore", *arguments(folder, out, random_model), "--quiet"],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads())},
    )
    return contents(out)


def threads() -> int:
    """Of each of two processes here."""
    return max(1, cores() // 2)


def contents(out: Path) -> dict[str, bytes]:
    """All that lies there, hidden files too, but for the record."""
    found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert found.pop(".dfrestore.jsonl")
    return found


def recorded(out: Path) -> list[str]:
    return [json.loads(line)["output"] for line in (out / ".dfrestore.jsonl").read_text().splitlines()]


@dataclass(frozen=True)
class Told:
    """What two processes said, and where the results are."""

    code: int
    objects: list[dict[str, Any]]
    err: str
    out: Path


@pytest.fixture(scope="module")
def together(folder: Path, random_model: Path) -> Iterator[Told]:
    """A run of two processes over the folder and a broken file, with a page."""
    out, broken = folder.parent / "together", folder.parent / "broken.png"
    broken.write_bytes(b"no picture")
    command = [*arguments(folder, out, random_model), "--json", "--report", str(out.with_suffix(".html"))]
    with torchrun("-m", "dfrestore", command[0], broken, *command[1:]) as process:
        said, err = process.communicate(timeout=180)
    yield Told(process.returncode, [json.loads(line) for line in said.splitlines()], err, out)
    broken.unlink()


def test_two_processes_make_the_files_of_one_byte_for_byte(together: Told, alone: dict[str, bytes]) -> None:
    assert len(alone) == FILES
    assert contents(together.out) == alone


def test_each_file_is_told_and_recorded_once_and_the_totals_come_last(together: Told, folder: Path) -> None:
    *files, last = together.objects
    inputs = {str(path) for path in folder.rglob("*.*")} | {str(folder.parent / "broken.png")}
    assert sorted(item["input"] for item in files) == sorted(inputs)
    assert (last["totals"]["done"], last["totals"]["failed"]) == (FILES, 1)
    assert sorted(recorded(together.out)) == sorted(str(Path(name)) for name in contents(together.out))


def test_the_first_process_speaks_for_all(together: Told) -> None:
    assert together.code == 1
    assert together.err.count("derain: model") == together.err.count("2 processes") == 1
    assert together.err.count("broken.png") == together.err.count(f"{FILES} done, 1 failed") == 1


def test_the_page_shows_the_files_of_all(together: Told) -> None:
    assert len(names(together.out.with_suffix(".html"))) == FILES


def test_a_wrong_request_is_refused_once(tmp_path: Path) -> None:
    with torchrun("-m", "dfrestore", "derain", tmp_path / "nowhere") as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    assert err.count("no such file or folder") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_when_one_is_killed_the_run_ends_and_says_so_and_the_next_does_the_rest(
    rank: int,
    folder: Path,
    alone: dict[str, bytes],
    random_model: Path,
    tmp_path: Path,
    dfrestore: Callable[..., Answer],
) -> None:
    command = arguments(folder, tmp_path / "out", random_model)
    record = tmp_path / "out" / ".dfrestore.jsonl"
    with torchrun("-m", "dfrestore", *command) as process:
        wait_for(lambda: record.exists() and len(recorded(record.parent)) > 3, process)
        os.kill(child_of_rank(rank, process.pid), signal.SIGKILL)
        begin = time.monotonic()
        _, err = process.communicate(timeout=120)
    assert time.monotonic() - begin < 20
    assert err.count("another process of this run ended without a word") == 1
    done = whole(tmp_path / "out", alone)
    assert 0 < done < FILES
    torch.set_num_threads(threads())
    answer = dfrestore(*command)
    assert answer.code == 0
    assert f"{FILES - done} done, {done} skipped" in answer.err
    assert contents(tmp_path / "out") == alone


def whole(out: Path, alone: dict[str, bytes]) -> int:
    """How many results there are; each must be as undisturbed."""
    found = {name: data for name, data in contents(out).items() if not Path(name).name.startswith(".")}
    assert all(alone[name] == data for name, data in found.items())
    return len(found)


@pytest.mark.parametrize(("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_a_signal_is_said_once_and_leaves_nothing_half(
    number: signal.Signals, word: str, folder: Path, alone: dict[str, bytes], random_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with torchrun("-m", "dfrestore", *arguments(folder, out, random_model)) as process:
        wait_for(lambda: (out / ".dfrestore.jsonl").exists() and len(recorded(out)) > 3, process)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
    done = whole(out, alone)
    assert len(contents(out)) == done
    (told,) = re.findall(rf"^{word}: (\d+) done, (\d+) not done", err, re.MULTILINE)
    # a signal between the naming of a file and its telling makes it one that was not told
    assert done - 2 <= int(told[0]) == FILES - int(told[1]) <= done
    assert "without a word" not in err


def test_two_runs_over_one_folder_at_once_make_it_together(
    folder: Path, alone: dict[str, bytes], random_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads())}
    command = [sys.executable, "-m", "dfrestore", *arguments(folder, out, random_model), "--json"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    totals = []
    for run in runs:
        said, _ = run.communicate(timeout=120)
        assert run.returncode == 0
        totals.append(json.loads(said.splitlines()[-1])["totals"])
    assert sum(each["done"] for each in totals) == FILES
    assert contents(out) == alone
    assert set(recorded(out)) == set(alone)  # one that both were about to name is recorded by both
