"""The header's two versions: what is written, and what is still read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dfrestore.errors import WeightsError
from dfrestore.weights import Base, ModelSpec, read_spec

BUNDLED = Path(__file__).parents[2] / "dfrestore" / "bundled"
FULL = ModelSpec(
    task="upscale",
    method="some-method",
    network={"dim": 4, "window": "its own", "patch": [1, 2]},
    sampling={"points": {"2": [999, 250]}, "default_steps": "its own"},
    default_steps=2,
    window="384@2",
    patch=64,
    stage="S1",
    base=Base("texture/prior", "0123456789abcdef" * 4),
    licence="CC0-1.0",
    trained_on="four photos",
    source="made by hand",
)
OLD: dict[str, Any] = {
    "method": "c2f-dft",
    "dim": 16,
    "blocks": [1, 1, 1, 1],
    "prediction": "sample",
    "schedule": {"timesteps": 1000, "betas": [0.0001, 0.02]},
    "window": 96,
    "patch": 128,
    "timesteps": {"2": [999, 250]},
    "default_steps": 1,
}


def metadata(config: object, version: str = "2") -> dict[str, str]:
    return {"dfrestore": version, "task": "derain", "config": json.dumps(config)}


def refusal(config: object, version: str = "2") -> str:
    with pytest.raises(WeightsError) as error:
        ModelSpec.from_metadata(metadata(config, version), "m.safetensors")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_spec_comes_back_from_its_metadata() -> None:
    found = FULL.to_metadata()
    assert found["dfrestore"] == "2"
    assert ModelSpec.from_metadata(found, "m.safetensors") == FULL


def test_a_method_s_setting_may_be_called_like_one_of_ours() -> None:
    found = ModelSpec.from_metadata(FULL.to_metadata(), "m.safetensors")
    assert (found.window, found.network["window"]) == ("384@2", "its own")
    assert (found.default_steps, found.sampling["default_steps"]) == (2, "its own")


def test_stage_and_base_stand_in_the_header_only_where_they_apply() -> None:
    plain = json.loads(replace(FULL, stage="", base=None).to_metadata()["config"])
    assert set(plain) == {"method", "network", "sampling", "window", "patch", "default_steps"}
    assert json.loads(FULL.to_metadata()["config"]).keys() - plain.keys() == {"stage", "base"}


def test_version_1_is_still_read() -> None:
    found = ModelSpec.from_metadata(metadata(OLD, "1"), "m.safetensors")
    assert (found.method, found.window, found.patch, found.default_steps) == ("c2f-dft", 96, 128, 1)
    assert found.network == {"dim": 16, "blocks": [1, 1, 1, 1]}
    assert found.sampling == {key: OLD[key] for key in ("prediction", "schedule", "timesteps")}
    assert (found.stage, found.base) == ("", None)


@pytest.mark.parametrize("missing", ["method", "prediction", "schedule", "window", "patch", "timesteps"])
def test_a_version_1_header_that_lacks_something_is_refused(missing: str) -> None:
    assert f"({missing} is missing)" in refusal({key: OLD[key] for key in OLD if key != missing}, "1")


@pytest.mark.parametrize("task", ["derain", "denoise", "deblur"])
def test_the_models_that_ship_are_read(task: str) -> None:
    spec = read_spec(BUNDLED / f"{task}-compact.safetensors")
    assert (spec.task, spec.method, spec.sampling["prediction"]) == (task, "c2f-dft", "sample")
    assert set(spec.network) == {"blocks", "dim", "heads", "stem"}


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"network": [4]}, "network is not a JSON object"),
        ({"sampling": "ddim"}, "sampling is not a JSON object"),
        ({"windows": 96}, "unknown key 'windows': did you mean 'window'?"),
        ({"stage": ""}, "stage is not a non-empty string"),
        ({"stage": 1}, "stage is not a non-empty string"),
        ({"base": "texture/prior"}, "base is not a JSON object"),
        ({"base": {"name": "texture/prior"}}, "base does not hold a name and a sha256"),
        ({"base": {"name": "", "sha256": "0" * 64}}, "base.name is not a non-empty string"),
        ({"base": {"name": "a", "sha256": "0" * 63}}, "base.sha256 is not 64 hexadecimal digits"),
        ({"base": {"name": "a", "sha256": "0" * 64, "url": "b"}}, "base does not hold"),
        ({"default_steps": 0}, "default_steps 0"),
        ({"patch": True}, "patch True"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_impossible_configuration_is_refused_with_its_cause(change: dict[str, Any], cause: str) -> None:
    message = refusal({**json.loads(FULL.to_metadata()["config"]), **change})
    assert message.startswith("m.safetensors: damaged configuration in the header (")
    assert cause in message


@pytest.mark.parametrize("missing", ["method", "network", "sampling", "window", "patch", "default_steps"])
def test_a_header_that_lacks_something_is_refused(missing: str) -> None:
    config = json.loads(FULL.to_metadata()["config"])
    del config[missing]
    assert f"({missing} is missing)" in refusal(config)
