"""Suggestions: near names are suggested, others are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfrestore.errors import did_you_mean, nearest_beside

COMMANDS = [
    "derain",
    "denoise",
    "deblur",
    "upscale",
    "degrade",
    "evaluate",
    "--quiet",
    "--steps",
    "-q",
    "-o",
    "c2f-dft",
]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("deran", "derain"),
        ("drain", "derain"),
        ("denosie", "denoise"),
        ("blur", "deblur"),
        ("--stpes", "--steps"),
        ("c2f", "c2f-dft"),
        ("eval", "evaluate"),
    ],
)
def test_a_slip_or_a_beginning_gets_the_nearest_name(name: str, near: str) -> None:
    assert did_you_mean(name, COMMANDS) == f": did you mean '{near}'?"


@pytest.mark.parametrize("name", ["dehaze", "-d", "x", "sharpen", "", "e", "derain" * 20])
def test_a_name_that_is_not_near_gets_none(name: str) -> None:
    assert did_you_mean(name, COMMANDS) == ""


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("holyday.jpg", "holiday.jpg"),
        ("holiday.png", "holiday.jpg"),
        ("holiday", "holiday.jpg"),
        ("mask", "masks"),
        ("nofile.jpg", None),
        ("a.jpg", None),
    ],
)
def test_a_missing_file_gets_a_name_that_is_like_its_own(tmp_path: Path, name: str, near: str | None) -> None:
    for there in ("big.jpg", "b.jpg", "holiday.jpg", "masks"):
        (tmp_path / there).touch()
    assert nearest_beside(tmp_path / name) == (f": did you mean '{near}'?" if near else "")


def test_of_names_that_differ_in_their_endings_the_same_ending_is_nearest(tmp_path: Path) -> None:
    for there in ("holiday.jpg", "holiday.png", "holiday.webp"):
        (tmp_path / there).touch()
    assert nearest_beside(tmp_path / "holyday.png") == ": did you mean 'holiday.png'?"


def test_a_folder_that_is_not_there_holds_no_nearest_name(tmp_path: Path) -> None:
    assert nearest_beside(tmp_path / "none" / "a.jpg") == ""
