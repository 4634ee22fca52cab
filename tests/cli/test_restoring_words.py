"""What a command says before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfrestore.cli.restoring_words import about, expected
from dfrestore.restore import Job, Started


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Three files of 600, 300 and 300 bytes."""
    files = [tmp_path / name for name in "abc"]
    for file, size in zip(files, (600, 300, 300), strict=True):
        file.write_bytes(bytes(size))
    return files


def first(photos: list[Path], seconds: float | None) -> Started:
    return Started(Job(photos[0], Path("out"), None), (24, 16), (24, 16), "whole", True, seconds)


@pytest.mark.parametrize(("processes", "seconds"), [(1, 20.0), (2, 10.0), (4, 10.0)])
def test_the_expected_time_is_that_of_all_photos(photos: list[Path], processes: int, seconds: float) -> None:
    """Of several processes too; but four cannot be faster than the largest photo."""
    assert expected(first(photos, 10.0), photos, processes) == seconds


def test_a_time_that_is_not_known_is_not_told(photos: list[Path]) -> None:
    assert expected(first(photos, None), photos, 1) is None
    assert about(first(photos, None), None, 3) == ""
    assert about(first(photos, 10.0), 20.0, 3) == ", about 20.0 s for 3 photos"
