"""A method's configuration as a dataclass that says its defaults: the rest follows from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from dfrestore.methods.settings import check_levels, from_plain, to_plain, two_betas, whole_number


@dataclass(frozen=True)
class Sieve:
    holes: int = 3
    mesh: float = 0.5
    fine: bool = False
    sizes: tuple[int, ...] = (1, 2)
    name: str = "round"


def test_plain_values_make_the_same_settings_again() -> None:
    sieve = Sieve(4, 1, True, (3, 4, 5), "square")
    assert from_plain(Sieve, json.loads(json.dumps(to_plain(sieve))), "a sieve") == sieve
    assert from_plain(Sieve, {}, "a sieve") == Sieve()


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"hole": 3}, "unknown setting 'hole' of a sieve: did you mean 'holes'?"),
        ({"holes": 3.0}, "holes 3.0 is not a whole number"),
        ({"holes": True}, "holes True is not a whole number"),
        ({"mesh": "0.5"}, "mesh '0.5' is not a number"),
        ({"fine": 1}, "fine 1 is neither true nor false"),
        ({"sizes": 2}, "sizes 2 is not a list of whole numbers"),
        ({"sizes": [1, 2.5]}, "sizes (1, 2.5) is not a list of whole numbers"),
    ],
    ids=str,
)
def test_a_value_of_another_kind_than_the_default_is_named(values: dict[str, Any], cause: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        from_plain(Sieve, values, "a sieve")
    assert str(error.value) == cause


def test_heads_must_divide_the_width_of_their_level() -> None:
    check_levels(48, 4, (1, 1, 1, 1), (1, 2, 3, 8))
    with pytest.raises(ValueError, match=r"heads \[1, 2, 5, 8\] do not divide the widths \[48, 96, 192, 384\]"):
        check_levels(48, 4, (1, 1, 1, 1), (1, 2, 5, 8))


@pytest.mark.parametrize("betas", [[0.1], [0.1, 0.2, 0.3], [0.1, True], [0.2, 0.1], [0, 0.5], [float("nan")] * 2, 0.1])
def test_betas_are_two_numbers_that_do_not_fall(betas: object) -> None:
    assert two_betas([0.1, 0.9]) == (0.1, 0.9)
    with pytest.raises(ValueError, match="are not two numbers with 0 < first <= last < 1"):
        two_betas(betas)


def test_true_is_not_a_whole_number() -> None:
    with pytest.raises(ValueError, match="steps True is not a whole number from 1 to 9"):
        whole_number(True, "steps", 1, 9)
