"""What a model cannot do is wrong usage, and the line names what it can."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import tiny_spec

from dfrestore.errors import UsageError
from dfrestore.methods import outline
from dfrestore.restore import Restorer
from dfrestore.restore.possible import check_possible, possible_steps, possible_window

NETWORK = outline(tiny_spec())


@pytest.mark.parametrize("window", ["384@9", "64@1,5", "64@1,2,3,4,5"])
def test_levels_that_the_network_does_not_have_are_refused_with_those_it_has(window: str, random_model: Path) -> None:
    said = rf"--window {window}: this network has the levels 1, 2, 3 and 4"
    with pytest.raises(UsageError, match=said):
        possible_window(NETWORK, window)
    with pytest.raises(UsageError, match=said):
        check_possible(random_model, None, window)
    with pytest.raises(UsageError, match=said):
        Restorer.from_pretrained("derain", random_model, window=window)


@pytest.mark.parametrize(("window", "taken"), [("384@4,2", "384@2,4"), (192, 192), ("global", "global")])
def test_windows_at_levels_that_there_are_are_taken(window: str | int, taken: str | int) -> None:
    assert possible_window(NETWORK, window) == taken


def test_steps_that_the_network_cannot_do_are_refused(random_model: Path) -> None:
    assert possible_steps(NETWORK, 1000) == 1000
    with pytest.raises(UsageError, match="--steps is from 1 to 1000 for this model, not 1001"):
        check_possible(random_model, 1001, None)


def test_the_models_own_values_are_always_possible(random_model: Path) -> None:
    check_possible(random_model, None, None)
