"""What is known of a folder before the work: whether files can be written in it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dfrestore.files import barrier


def test_a_folder_that_takes_files_or_can_be_made_has_no_barrier_and_is_left_as_it_is(tmp_path: Path) -> None:
    assert barrier(tmp_path) is None
    assert barrier(tmp_path / "new" / "below") is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_a_folder_is_a_barrier(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        assert barrier(folder) is not None


def test_a_name_that_is_too_long_and_a_link_that_leads_nowhere_are_barriers(tmp_path: Path) -> None:
    assert barrier(tmp_path / ("x" * 300)) is not None
    (tmp_path / "link").symlink_to("gone")
    assert barrier(tmp_path / "link") is not None


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_a_folder_of_the_system_that_takes_no_files_is_a_barrier_for_everyone() -> None:
    assert barrier(Path("/proc")) is not None
    assert barrier(Path("/proc/new")) is not None
