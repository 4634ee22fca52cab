"""Presets and settings: complete, round-trip through TOML, and mistakes are named with the nearest right word."""

from __future__ import annotations

import tomllib

import pytest

from dfrestore.errors import UsageError
from dfrestore.training.config import TrainConfig, from_mapping, list_presets, load_preset, to_toml


@pytest.mark.parametrize("name", list(list_presets()))
def test_every_preset_survives_writing_and_reading_back(name: str) -> None:
    config = load_preset(name, "derain")
    assert from_mapping(tomllib.loads(to_toml(config)), "again") == config


def test_an_unknown_preset_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'compact'"):
        load_preset("compct", "derain")


def test_an_unknown_key_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'iterations'"):
        from_mapping({"fine": {"iteration": 3}}, "settings")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seed": "one"}, "seed: 'one' is not of type int"),
        ({"seed": True}, "seed: True is not of type int"),
        ({"fine": 3}, "fine is a table"),
        ({"model": {"prediction": "noise"}}, "not one of 'epsilon', 'sample'"),
        ({"coarse": {"patches": [32, 64], "batches": [8]}}, "do not pair"),
        ({"coarse": {"iterations": -1}}, "must be positive"),
    ],
)
def test_wrong_values_are_named(values: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        from_mapping(values, "settings")


def test_whole_numbers_are_taken_for_rates() -> None:
    assert from_mapping({"fine": {"lr": 1}}, "settings").fine.lr == 1.0
    assert isinstance(TrainConfig().fine.lr, float)
