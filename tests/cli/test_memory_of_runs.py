"""Memory over many photos of different sizes; more of them: ``python tests/cli/memory.py PHOTOS 500 derain``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from scripts import figures_of

PHOTOS = 60


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the resident memory from Linux's /proc")
def test_memory_does_not_grow_over_photos_of_different_sizes(
    tmp_path: Path, make_photo: Callable[..., Path], random_model: Path
) -> None:
    make_photo(tmp_path / "photo.png", size=(400, 400))
    arguments = [tmp_path, str(PHOTOS), "derain", "--model", random_model, "--precision", "bf16", "--device", "cpu"]
    figures = figures_of(Path(__file__).with_name("memory.py"), *arguments)
    assert figures["photos"] == PHOTOS
    assert figures["growth"] < 0.1
