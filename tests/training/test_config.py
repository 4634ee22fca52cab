"""Presets and settings: complete, round-trip through TOML, and mistakes are named with the nearest right word."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from dfrestore.errors import StartError, UsageError
from dfrestore.training.config import TrainConfig, scaled, spec_of
from dfrestore.training.run import open_run, read_run
from dfrestore.training.schedules import learning_rate, patch_and_batch
from dfrestore.training.settings import configure, list_presets, load_preset
from dfrestore.training.toml import from_mapping, to_toml
from dfrestore.weights import ModelSpec


@pytest.mark.parametrize("name", list(list_presets()))
def test_every_preset_survives_writing_and_reading_back(name: str) -> None:
    config = load_preset(name)
    assert from_mapping(tomllib.loads(to_toml(config)), "again") == config


def test_the_header_tells_of_the_patches_of_stages_that_train() -> None:
    stages = {"coarse": {"iterations": 0, "patches": [256]}, "fine": {"patches": [32, 48], "batches": [4, 2]}}
    assert spec_of(load_preset("smoke", "derain", {"stages": stages})).patch == 48


def test_an_unknown_preset_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'compact'"):
        load_preset("compct", "derain")


def test_a_preset_of_one_task_is_refused_for_another() -> None:
    with pytest.raises(UsageError, match="paper-denoise is for denoise, not derain"):
        load_preset("paper-denoise", "derain")


def test_a_preset_for_holes_widens_the_network_that_it_starts_from() -> None:
    start = ModelSpec("derain", "c2f-dft", {"dim": 8, "stem": 2}, {"prediction": "sample"}, 2)
    network = load_preset("compact-inpaint", start=start).model.network
    assert (network["mask"], network["dim"], network["stem"]) == (True, 8, 2)
    assert not load_preset("finetune", "derain", start=start).model.network.get("mask")


def test_an_unknown_key_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'iterations'"):
        from_mapping({"stages": {"fine": {"iteration": 3}}}, "settings")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seed": "one"}, "seed: 'one' is not of type int"),
        ({"seed": True}, "seed: True is not of type int"),
        ({"stages": 3}, "settings: stages is a table, not 3"),
        ({"stages": {"fine": 3}}, "settings: stages.fine is a table, not 3"),
        ({"stages": {"fin": {}}}, "no stage 'fin': did you mean 'fine'"),
        ({"stages": {"coarse": {"steps": [1]}}}, "stages.coarse: unknown key 'steps'"),
        ({"stages": {"fine": {"steps": [0]}}}, "stages.fine: steps \\[0\\] must be positive"),
        ({"stages": {"fine": {"loss": "l2"}}}, "stages.fine.loss: 'l2' is not one of"),
        ({"model": {"method": "c2f"}}, "unknown method 'c2f': did you mean 'c2f-dft'"),
        ({"model": {"network": {"dimm": 8}}}, "did you mean 'dim'"),
        ({"data": {"jpeg_quality": [60]}}, "data.jpeg_quality: \\[60\\] is not a list of 2"),
        ({"optim": {"betas": [0.9, 1.0]}}, "betas \\[0.9, 1.0\\] are not from 0 to below 1"),
        ({"model": {"sampling": {"prediction": "noise"}}}, "'noise' is not one of epsilon, sample"),
        ({"stages": {"coarse": {"patches": [32, 64], "batches": [8]}}}, "do not pair"),
        ({"stages": {"coarse": {"periods": [], "minima": []}}}, "coarse: periods are empty"),
        ({"stages": {"coarse": {"iterations": -1}}}, "must be positive"),
        ({"validate_every": 0}, "must be positive"),
        ({"data": {"crops": "shared"}}, "not one of 'independent', 'shared-window'"),
        ({"data": {"memory": "a lot"}}, "data.memory: 'a lot' is not a size like 8G"),
        ({"data": {"input": "a"}}, "--input FOLDER --target FOLDER"),
        ({"data": {"clean": ["a"], "pairs": ["b"]}}, "clean photos and pairs exclude each other"),
    ],
)
def test_wrong_values_are_named(values: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        from_mapping(values, "settings")


def test_whole_numbers_are_taken_for_rates() -> None:
    rate = from_mapping({"stages": {"fine": {"lr": 1}}}, "settings").stages["fine"].lr
    assert rate == 1.0
    assert isinstance(rate, float)


def test_a_run_scaled_to_other_iterations_keeps_the_shape_of_its_schedule() -> None:
    paper = load_preset("paper-derain")
    coarse, tenth = (c.stages["coarse"] for c in (paper, scaled(paper, {"coarse": 27_000, "fine": 9_000})))
    assert tenth.periods == (5_000, 22_000)
    assert tenth.patch_period == 1_000
    for k in (0, 4_999, 9_999, 15_500, 26_999):
        assert learning_rate(tenth, k) == pytest.approx(learning_rate(coarse, k * 10), rel=1e-3)
        assert patch_and_batch(tenth, k) == patch_and_batch(coarse, k * 10)


def test_the_fine_stage_unrolls_the_models_default_steps_where_none_are_given() -> None:
    config = from_mapping({"model": {"default_steps": 4}, "stages": {"fine": {"steps": []}}}, "settings")
    assert config.stages["fine"].own.resolved(4).step_counts() == (4,)
    assert config.step_counts == [4]


def test_a_run_on_a_trained_model_takes_its_network() -> None:
    sampling = {
        "prediction": "epsilon",
        "schedule": {"timesteps": 500, "betas": [1e-4, 1e-2]},
        "timesteps": {"2": [499, 9]},
    }
    spec = ModelSpec("derain", "c2f-dft", {"dim": 16}, sampling, default_steps=4)
    config = load_preset("finetune", start=spec)
    assert (config.model.network, config.model.sampling, config.step_counts) == ({"dim": 16}, sampling, [4])
    assert load_preset("compact", None, {"model": {"default_steps": 2}}, spec).model.network == {"dim": 16}
    assert load_preset("finetune", None, {"model": {"default_steps": 2}}, spec).step_counts == [2]
    assert from_mapping(tomllib.loads(to_toml(config)), "again") == config


def test_stages_that_are_not_named_are_left_out_and_stand_in_the_methods_order() -> None:
    config = from_mapping({"stages": {"fine": {"iterations": 3}}}, "settings")
    assert {name: stage.iterations for name, stage in config.stages.items()} == {"coarse": 0, "fine": 3}
    assert list(from_mapping({"stages": {"fine": {}, "coarse": {}}}, "settings").stages) == ["coarse", "fine"]
    assert list(TrainConfig().running) == []


def test_the_last_stage_can_be_named_as_such() -> None:
    config = configure(
        "settings", {"stages": {"last": {"lr": 1.0, "iterations": 2}}}, {"stages": {"fine": {"lr": 2.0}}}
    )
    assert (config.stages["fine"].lr, config.stages["fine"].iterations) == (2.0, 2)


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
        "[stages.coarse]\nlr = nan",
        "[coarse]\niterations = 99999999999999999999",
        "a = " + "[" * 5000,
        "[data]\ncache = '" + "9" * 400 + "T'",
        "[data]\ncache = '4\u212a'",  # the sign of the kelvin, a K to those who ignore case
        "[model]\nnetwork = 3",
        "[model.network]\ndim = 1979-05-27",
        "[model.network]\ndim = nan",
        "[model.network]\nblocks = [[1979-05-27]]",
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
