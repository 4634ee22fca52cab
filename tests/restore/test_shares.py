"""Files shared among processes: here two in one process, with the store between them that torchrun would keep."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.distributed import HashStore

from dfrestore.errors import UsageError
from dfrestore.processes import PeerFailed
from dfrestore.restore import FileResult, Job
from dfrestore.restore import shares as module
from dfrestore.restore.change import Change
from dfrestore.restore.shares import Crew, Ranks
from dfrestore.threads import cores

Two = tuple[Ranks, Ranks]


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[Two]:
    """The first process and the other one, on one machine; both have their threads already."""
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(module, "PULSE", 0.1)
    store = HashStore()
    ranks = Ranks(store, 0, 2), Ranks(store, 1, 2)
    yield ranks
    for rank in ranks:
        kill(rank)


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    """Three files of 1, 3 and 2 bytes, and one that is not there."""
    for name, size in {"a": 1, "b": 3, "ü\n": 2}.items():
        (tmp_path / name).write_bytes(b"x" * size)
    return [Job(tmp_path / name, tmp_path / "out" / name, tmp_path, replace=name == "a") for name in "abc"] + [
        Job(tmp_path / "ü\n", tmp_path / "out" / "ü\n", None)
    ]


def results(*names: str) -> list[FileResult]:
    return [
        FileResult("done", Path(name), Path("out") / name, (3, 2), warnings=("w", "ü"), change=Change(0.5, 7.0, True))
        for name in names
    ]


def kill(rank: Ranks) -> None:
    """As far as the others see."""
    rank._left.set()
    time.sleep(0.15)


def test_all_know_what_the_first_found_to_do_the_largest_first(two: Two, jobs: list[Job]) -> None:
    first, other = two
    agreed = first.agreed(jobs)
    assert [job.input.name for job in agreed] == ["b", "ü\n", "a", "c"]
    assert other.agreed([]) == agreed


def test_many_jobs_are_known_too(two: Two, tmp_path: Path) -> None:
    first, other = two
    jobs = [Job(tmp_path / str(number), tmp_path / "out" / str(number), tmp_path) for number in range(1234)]
    agreed = first.agreed(jobs)
    assert len(agreed) == 1234
    assert other.agreed([]) == agreed


def test_each_job_is_taken_once_by_whoever_is_free_and_the_first_begins(two: Two, jobs: list[Job]) -> None:
    first, other = (iter(rank.taken(jobs)) for rank in two)
    assert [next(other), next(other), next(first), next(other)] == [jobs[1], jobs[2], jobs[0], jobs[3]]
    assert list(first) == list(other) == []


def test_the_first_hears_what_became_of_the_files_of_the_other(two: Two) -> None:
    first, other = two
    assert list(other.gathered(results("b", "c"))) == results("b", "c")
    other.leave()
    assert list(first.gathered(results("a"))) == results("a", "b", "c")


def test_the_first_hears_it_while_it_works_itself(two: Two) -> None:
    first, other = two
    list(other.gathered(results("b")))

    def work() -> Iterator[FileResult]:
        time.sleep(0.2)
        yield from results("a", "c")
        other.leave()

    assert list(first.gathered(work())) == results("a", "b", "c")


def test_who_says_nothing_for_long_is_given_up(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    first, other = two
    kill(other)
    with pytest.raises(PeerFailed):
        list(first.gathered(()))


def test_who_is_at_work_on_a_large_file_is_not(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 3)
    first, other = two
    heard = first.gathered(results("a"))
    next(heard)
    threading.Timer(4, other.leave).start()
    assert list(heard) == []


def test_after_an_interrupt_the_results_not_yet_told_are_heard(two: Two) -> None:
    first, other = two
    list(other.gathered(results("b")))
    other.leave()
    assert list(first.last_words()) == results("b")
    assert not first.lost
    assert not other.deserted()


def test_who_ends_without_a_word_is_lost(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST_WORDS", 0.3)
    first, other = two
    list(other.gathered(results("b")))
    kill(other)
    assert list(first.last_words()) == results("b")
    assert first.lost


def test_the_others_tell_when_the_first_is_lost(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAST_WORDS", 0.3)
    kill(two[0])
    assert two[1].deserted()


def test_the_memory_of_a_cpu_is_shared_that_of_a_gpu_is_not(two: Two) -> None:
    assert two[0].memory(1000, "cpu") == 500
    assert two[0].memory(1000, "cuda:0") == 1000
    assert two[0].memory(None, "cuda:0") is None
    free = two[0].memory(None, "cpu")
    assert free is None or free > 0


@pytest.mark.parametrize(("given", "threads"), [("1", max(1, cores() // 2)), ("3", 3)])
def test_the_cores_are_shared_unless_the_user_says_how_many(
    given: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    before = torch.get_num_threads()
    torch.set_num_threads(3)  # as torch takes it from the environment when it is started there
    try:
        kill(Ranks(HashStore(), 0, 2))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_one_gpu_is_not_for_several(two: Two) -> None:
    assert two[0].place("cpu") == "cpu"
    with pytest.raises(UsageError, match="a GPU of its own"):
        two[0].place("cuda:1")


def test_one_process_alone_has_all_of_it(jobs: list[Job]) -> None:
    crew = Crew()
    assert crew.taken(crew.agreed(jobs)) == jobs
    assert list(crew.gathered(results("a"))) == results("a")
    assert crew.memory(1000, "cpu") == 1000
    assert crew.place("cuda:1") == "cuda:1"
