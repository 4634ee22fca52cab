"""Kills at random moments of a batch; more of them: ``python tests/cli/kills.py FOLDER MODEL 50``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from scripts import figures_of

KILLS, FILES = 5, 24


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_batch_killed_at_random_moments_ends_like_an_undisturbed_one(
    tmp_path: Path, make_photo: Callable[..., Path], random_model: Path
) -> None:
    for number in range(FILES):
        make_photo(tmp_path / "in" / f"{number:02}.{('png', 'jpg', 'tif', 'webp')[number % 4]}", number)
    figures = figures_of(Path(__file__).with_name("kills.py"), tmp_path / "in", random_model, KILLS)
    assert figures["killed"] == KILLS
    assert figures["verified"] >= FILES
