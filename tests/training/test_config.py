"""Presets and settings: complete, round-trip through TOML, and mistakes are named with the nearest right word."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from dfrestore.errors import StartError, UsageError
from dfrestore.training.config import (
    TrainConfig,
    from_mapping,
    list_presets,
    load_preset,
    parse_bytes,
    scaled,
    to_toml,
    with_model,
)
from dfrestore.training.run import open_run, read_run
from dfrestore.training.schedules import learning_rate, patch_and_batch
from dfrestore.weights import ModelSpec


@pytest.mark.parametrize("name", list(list_presets()))
def test_every_preset_survives_writing_and_reading_back(name: str) -> None:
    config = load_preset(name)
    assert from_mapping(tomllib.loads(to_toml(config)), "again") == config


def test_an_unknown_preset_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'compact'"):
        load_preset("compct", "derain")


def test_a_preset_of_one_task_is_refused_for_another() -> None:
    with pytest.raises(UsageError, match="paper-denoise is for denoise, not derain"):
        load_preset("paper-denoise", "derain")


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
        ({"validate_every": 0}, "must be positive"),
        ({"data": {"crops": "shared"}}, "not one of 'independent', 'shared-window'"),
        ({"data": {"memory": "a lot"}}, "data.memory: 'a lot' is not a size like 4G"),
        ({"data": {"input": "a"}}, "--input FOLDER --target FOLDER"),
        ({"data": {"clean": ["a"], "pairs": ["b"]}}, "either clean photos or pairs"),
    ],
)
def test_wrong_values_are_named(values: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        from_mapping(values, "settings")


def test_whole_numbers_are_taken_for_rates() -> None:
    assert from_mapping({"fine": {"lr": 1}}, "settings").fine.lr == 1.0
    assert isinstance(TrainConfig().fine.lr, float)


@pytest.mark.parametrize(("text", "size"), [("4G", 4 << 30), ("512M", 512 << 20), ("1.5 KiB", 1536), ("800", 800)])
def test_sizes_are_in_powers_of_1024(text: str, size: int) -> None:
    assert parse_bytes(text, "data.memory") == size


def test_a_run_scaled_to_other_iterations_keeps_the_shape_of_its_schedule() -> None:
    paper = load_preset("paper-derain")
    tenth = scaled(paper, 27_000, 9_000)
    assert tenth.coarse.periods == (5_000, 22_000)
    assert tenth.coarse.patch_period == 1_000
    for k in (0, 4_999, 9_999, 15_500, 26_999):
        assert learning_rate(tenth.coarse, k) == pytest.approx(learning_rate(paper.coarse, k * 10), rel=1e-3)
        assert patch_and_batch(tenth.coarse, k) == patch_and_batch(paper.coarse, k * 10)


def test_the_fine_stage_unrolls_the_models_default_steps_where_none_are_given() -> None:
    assert from_mapping({"model": {"default_steps": 4}, "fine": {"steps": []}}, "settings").fine_steps == (4,)


def test_a_run_on_a_trained_model_takes_its_network() -> None:
    spec = ModelSpec("derain", "c2f-dft", {"dim": 16}, {"prediction": "epsilon"}, default_steps=4)
    config = with_model(load_preset("finetune"), spec)
    assert (config.model.network, config.model.prediction, config.fine_steps) == ({"dim": 16}, "epsilon", (4,))
    assert with_model(config, spec, {"default_steps": 2}).fine_steps == (2,)


@pytest.mark.parametrize("name", ["two\nlines", 'with "quotes" and \\', "tab\tand \x7f", "雨 ☔"])
def test_folders_of_any_name_come_back_from_the_settings_of_a_run(tmp_path: Path, name: str) -> None:
    config = load_preset("smoke", "derain", {"data": {"clean": [name]}})
    open_run(tmp_path / "run", config)
    assert read_run(tmp_path / "run") == config


def test_a_folder_whose_name_is_not_unicode_text_stops_a_run_before_it_begins(tmp_path: Path) -> None:
    config = load_preset("smoke", "derain", {"data": {"clean": ["\udcff"]}})
    with pytest.raises(StartError, match="not Unicode text"):
        open_run(tmp_path / "run", config)


@pytest.mark.parametrize(
    "text",
    [
        "seed = " + "9" * 5000,
        "[coarse]\nlr = " + "9" * 400,
        "[coarse]\nlr = nan",
        "[coarse]\niterations = 99999999999999999999",
        "a = " + "[" * 5000,
        "[data]\ncache = '" + "9" * 400 + "T'",
        "[data]\ncache = '4\u212a'",  # the sign of the kelvin, a K to those who ignore case
        "[model]\nnetwork = 3",
        "\x00",
    ],
)
def test_settings_that_cannot_be_meant_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text, "utf-8")
    with pytest.raises((StartError, UsageError)) as error:
        read_run(tmp_path)
    assert len(str(error.value)) < 5000


@pytest.mark.parametrize("window", ["global", "384@2", 384])
def test_windows_are_settings_of_the_model(window: object, tmp_path: Path) -> None:
    config = load_preset("smoke", "derain", {"model": {"window": window}})
    assert config.model.window == window
    assert from_mapping(tomllib.loads(to_toml(config)), "read back") == config


@pytest.mark.parametrize(
    ("window", "said"), [("near", "model.window near is neither"), (4, "model.window 4"), (2.5, "type int or str")]
)
def test_windows_that_are_none_are_refused(window: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_preset("smoke", "derain", {"model": {"window": window}})
