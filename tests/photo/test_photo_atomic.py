"""Files appear complete or not at all; nobody's file is replaced unasked; dead runs leave nothing for long."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import photo_files as files
import pytest

from dfrestore import files as atomic
from dfrestore.errors import PhotoWriteError
from dfrestore.files import is_temporary, remove_stale_temporaries
from dfrestore.photo import atomic_write, read, write

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX behaviour")


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_written_file_stands_alone_with_its_content(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a.bin", b"content")
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"content"


def test_an_existing_file_is_refused_without_overwrite_and_replaced_with_it(tmp_path: Path) -> None:
    photo = read(files.put(tmp_path, files.noise("RGB"), "PNG"))
    result = tmp_path / "result.png"
    result.write_bytes(b"mine")
    with pytest.raises(PhotoWriteError, match=r"result\.png: exists already; choose another name or --overwrite"):
        write(result, photo, photo.rgb)
    assert result.read_bytes() == b"mine"
    write(result, photo, photo.rgb, overwrite=True)
    assert read(result).size == photo.size
    assert names(tmp_path) == ["photo.png", "result.png"]


def test_a_dangling_link_counts_as_existing(tmp_path: Path) -> None:
    (tmp_path / "a.bin").symlink_to(tmp_path / "nowhere")
    with pytest.raises(PhotoWriteError, match="exists already"):
        atomic_write(tmp_path / "a.bin", b"x")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_in_the_way_is_refused(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "a.bin").mkdir()
    with pytest.raises(PhotoWriteError, match=r"a\.bin"):
        atomic_write(tmp_path / "a.bin", b"x", overwrite=overwrite)
    assert names(tmp_path) == ["a.bin"]


def test_a_missing_folder_is_named_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(PhotoWriteError, match="create the folder first"):
        atomic_write(tmp_path / "none" / "a.bin", b"x")


def test_of_many_writers_at_once_exactly_one_wins(tmp_path: Path) -> None:
    path, start, wins, losses = tmp_path / "a.bin", threading.Barrier(8), [], []

    def attempt(number: int) -> None:
        start.wait()
        try:
            atomic_write(path, bytes([number]) * 1000)
            wins.append(number)
        except PhotoWriteError:
            losses.append(number)

    threads = [threading.Thread(target=attempt, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(wins), len(losses)) == (1, 7)
    assert path.read_bytes() == bytes(wins) * 1000
    assert names(tmp_path) == ["a.bin"]


@posix
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        atomic_write(tmp_path / "a.bin", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == mode


@posix
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys\n"
        "from dfrestore.photo import atomic_write\n"
        "from dfrestore.errors import PhotoWriteError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: atomic_write(sys.argv[1], bytes(100000), overwrite=True)\n"
        "except PhotoWriteError as error: print(error)\n"
    )
    (tmp_path / "a.bin").write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.bin")], capture_output=True, text=True)
    assert "a.bin: cannot be written (File too large)" in done.stdout, done.stderr
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


def test_names_of_the_greatest_length_work(tmp_path: Path) -> None:
    for name in ("x" * 246 + ".png", "ü" * 123 + ".png"):
        assert len(name.encode()) == 250
        atomic_write(tmp_path / name, b"x")
        assert (tmp_path / name).read_bytes() == b"x"


@posix
def test_a_system_that_knows_ascii_alone_takes_any_name(tmp_path: Path) -> None:
    code = "import os, sys; from dfrestore.photo import atomic_write; atomic_write(sys.argv[1], b'x')"
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for name in ("ü" * 100, "雨.png"):
        path = tmp_path / name
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], env={**os.environ, **plain}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert path.read_bytes() == b"x"


WRITER = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from dfrestore.files import atomic_file\n"
    "with atomic_file(Path(sys.argv[1]) / 'photo.png') as file:\n"
    "    print(Path(file.name).name, flush=True)\n"
    "    time.sleep(60)\n"
)


@posix
def test_temporaries_of_dead_runs_are_removed_and_those_of_live_ones_stay(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        name = writer.stdout.readline().strip()
        (tmp_path / ".hidden").write_bytes(b"not ours")
        (tmp_path / ".other.dfrestore-tmp").write_bytes(b"nearly ours")
        assert is_temporary(name)
        assert name.startswith(".photo.png.")
        assert remove_stale_temporaries(tmp_path) == 0
        assert name in names(tmp_path)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert remove_stale_temporaries(tmp_path) == 1
    assert names(tmp_path) == [".hidden", ".other.dfrestore-tmp"]


@posix
def test_without_file_locks_the_process_in_the_name_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "fcntl", None)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    machine = atomic._machine()
    (tmp_path / f".a.png.{machine}-{dead.pid}-01234567.dfrestore-tmp").touch()
    alive = f".a.png.{machine}-{os.getpid()}-01234567.dfrestore-tmp"
    elsewhere = f".a.png.{'0' * 8}-{dead.pid}-01234567.dfrestore-tmp"
    (tmp_path / alive).touch()
    (tmp_path / elsewhere).touch()
    assert remove_stale_temporaries(tmp_path) == 1
    assert names(tmp_path) == sorted([alive, elsewhere])


@pytest.mark.filterwarnings("ignore:Exception ignored in.*FileIO:pytest.PytestUnraisableExceptionWarning")
def test_a_signal_at_any_moment_leaves_nothing_half(tmp_path: Path) -> None:
    """One comes before each instruction in turn, until there are no more."""
    path, number, found, interrupted = tmp_path / "a.bin", 0, [], True
    while interrupted:
        path.unlink(missing_ok=True)
        interrupted = write_interrupted(path, number)
        found.append(names(tmp_path))
        number += 1
    assert number > 200
    assert found[0] == []
    assert found[-1] == ["a.bin"]
    assert all(there in ([], ["a.bin"]) for there in found)


def write_interrupted(path: Path, number: int) -> bool:
    """Whether there was an instruction of this number to interrupt, in our code and in Python's ``contextlib``."""
    left = number

    def step(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in {atomic.__file__, contextlib.__file__}:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == -1:
                raise KeyboardInterrupt
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        with atomic.atomic_file(path) as file:
            file.write(b"x" * 100)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_clearing_a_folder_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    assert remove_stale_temporaries(tmp_path / "none") == 0


def test_writers_and_clearers_at_once_lose_nothing(tmp_path: Path) -> None:
    stop = threading.Event()

    def clear() -> None:
        while not stop.is_set():
            remove_stale_temporaries(tmp_path)

    clearer = threading.Thread(target=clear)
    clearer.start()
    try:
        for i in range(60):
            atomic_write(tmp_path / f"{i}.bin", bytes([i]) * 10_000)
    finally:
        stop.set()
        clearer.join()
    assert len(names(tmp_path)) == 60
    assert all((tmp_path / f"{i}.bin").read_bytes() == bytes([i]) * 10_000 for i in range(60))


def test_a_file_system_without_links_is_served_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    atomic_write(tmp_path / "a.bin", b"x")
    with pytest.raises(PhotoWriteError, match="exists already"):
        atomic_write(tmp_path / "a.bin", b"y")
    assert (tmp_path / "a.bin").read_bytes() == b"x"
    assert names(tmp_path) == ["a.bin"]
