"""Reading ahead and writing behind, as on a GPU: the same files and results as one thing after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dfrestore import photo
from dfrestore.restore import FileResult, Restorer, Settings, Started, plan_files, run_batch
from dfrestore.restore.lanes import Beside
from dfrestore.restore.todo import Records

MakePhoto = Callable[..., Path]
SETTINGS = Settings("derain", "sha", steps=1)


@pytest.fixture(scope="module")
def restorer(identity_model: Path) -> Restorer:
    return Restorer.from_pretrained("derain", identity_model, precision="fp32")


def run(restorer: Restorer, source: Path, out: Path, *, overlap: bool) -> list[FileResult]:
    jobs = plan_files([source], out, "derain").jobs
    events = run_batch(jobs, restorer, SETTINGS, Records(), overlap=overlap)
    return [event for event in events if isinstance(event, FileResult)]


def test_results_and_files_are_those_of_one_thing_after_the_other(
    restorer: Restorer, photo_folder: Path, tmp_path: Path
) -> None:
    (photo_folder / "aa.jpg").write_bytes(b"no picture")
    plain, beside = (
        run(restorer, photo_folder, tmp_path / name, overlap=overlap) for name, overlap in (("1", False), ("2", True))
    )
    assert [(r.input, r.status, r.error, r.warnings) for r in beside] == [
        (r.input, r.status, r.error, r.warnings) for r in plain
    ]
    assert [r.status for r in beside].count("failed") == 1
    made = sorted(p.relative_to(tmp_path / "1") for p in (tmp_path / "1").rglob("*.[pjtw]*") if p.suffix != ".jsonl")
    assert len(made) == 4
    for path in made:
        assert (tmp_path / "1" / path).read_bytes() == (tmp_path / "2" / path).read_bytes()
    again = run(restorer, photo_folder, tmp_path / "2", overlap=True)
    assert {r.status for r in again} == {"skipped", "failed"}  # the record tells of all of them


def test_the_next_photo_is_read_and_the_last_one_written_beside_the_work(
    restorer: Restorer, photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, set[str]] = {"read": set(), "write": set()}
    read, write = photo.read, photo.write

    def reading(*args: object, **options: object) -> photo.Photo:
        threads["read"].add(threading.current_thread().name)
        return read(*args, **options)  # type: ignore[arg-type]

    def writing(*args: object, **options: object) -> list[str]:
        threads["write"].add(threading.current_thread().name)
        return write(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(photo, "read", reading)
    monkeypatch.setattr(photo, "write", writing)
    jobs = plan_files([photo_folder], tmp_path / "out", "derain").jobs
    events = list(run_batch(jobs, restorer, SETTINGS, Records(), overlap=True))
    assert threads == {"read": {"reading_0"}, "write": {"writing_0"}}
    kinds = [type(event).__name__ for event in events if isinstance(event, Started | FileResult)]
    assert kinds[:3] == ["Started", "Started", "FileResult"]  # the first is written while the second is worked on
    assert kinds.count("FileResult") == len(jobs)


def test_closing_in_the_middle_finishes_what_is_being_written(
    restorer: Restorer, photo_folder: Path, tmp_path: Path
) -> None:
    jobs = plan_files([photo_folder], tmp_path / "out", "derain").jobs
    events = run_batch(jobs, restorer, SETTINGS, Records(), overlap=True)
    for event in events:
        if isinstance(event, Started) and event.job.input.name == "b.jpg":
            break
    events.close()  # type: ignore[attr-defined]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".dfrestore.jsonl", "a.png"]
    assert run(restorer, photo_folder, tmp_path / "out", overlap=True)[0].status == "skipped"


def test_what_concerns_the_whole_run_ends_it_from_the_writing_thread_too() -> None:
    def broken() -> int:
        raise BrokenPipeError

    lanes: Beside[int] = Beside()
    assert list(lanes.write(broken)) == []
    with pytest.raises(BrokenPipeError):
        list(lanes.rest())
    lanes.close()
