"""A few hundred cases of the fuzz job, and the job itself: the same cases for a seed, and no crash goes unseen."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import fuzz
import pytest
from fuzzing import mutate, seeds, targets
from fuzzing.workers import Case, Outcome, content_of, kind_of, run_cases

COUNT = 300


def test_readers_take_or_refuse_whatever_they_are_given_in_one_line() -> None:
    outcomes = list(run_cases([Case(7, number) for number in range(COUNT)], processes=1))
    assert [outcome for outcome in outcomes if outcome.accepted is None] == []
    assert len(outcomes) == COUNT
    assert set(Counter(outcome.kind for outcome in outcomes).values()) == {COUNT // len(seeds.KINDS)}


@pytest.mark.slow
def test_the_command_line_ends_with_an_output_or_one_line() -> None:
    outcomes = list(run_cases([Case(7, number, "cli") for number in range(25)], processes=1))
    assert [outcome for outcome in outcomes if outcome.accepted is None] == []


@pytest.mark.parametrize("kind", seeds.KINDS)
def test_every_seed_is_accepted(kind: str, tmp_path: Path) -> None:
    for number, data in enumerate(seeds.seeds(kind)):
        folder = tmp_path / str(number)
        folder.mkdir()
        wanted = kind != "lines" or b'"preset"' not in data  # a line of the manifest is none of the record
        wanted &= kind != "address" or b".safetensors" in data
        assert targets.run(kind, data, folder, mutate.Random(0)) is wanted


def test_a_seed_gives_the_same_cases() -> None:
    first, again = ([content_of(Case(3, number))[0] for number in range(40)] for _ in range(2))
    assert first == again
    assert first != [content_of(Case(4, number))[0] for number in range(40)]


@pytest.mark.parametrize("through", ["readers", "cli"])
def test_some_kinds_alone_are_the_same_cases(through: str) -> None:
    alone = list(fuzz._cases(3, through, 6, ["size", "mask"]))
    every = list(fuzz._cases(3, through, 60, seeds.KINDS))
    assert alone == [case for case in every if kind_of(case) in ("size", "mask")][:6]
    assert len(alone) == 6


@pytest.mark.skipif(sys.platform != "linux", reason="a worker is made to crash as on Linux")
def test_a_crash_of_a_worker_is_a_finding_and_the_rest_goes_on() -> None:
    outcomes = list(run_cases([Case(0, 0), Case(0, 1, "crash"), Case(0, 2)], processes=1))
    assert [outcome.accepted is None for outcome in outcomes] == [False, True, False]
    assert "the process died" in outcomes[1].finding


def test_the_file_of_a_finding_is_kept_with_the_way_to_it(tmp_path: Path) -> None:
    case = Case(0, 5)
    said = fuzz.kept(Outcome(case, kind_of(case), None, finding="something"), tmp_path / "kept")
    (path,) = (tmp_path / "kept").iterdir()
    assert path.read_bytes() == content_of(case)[0]
    assert said == f"{path} (--seed 0 --only 5): something"
