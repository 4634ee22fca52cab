from __future__ import annotations

import json
from typing import Any

import pytest
from reference.random_diffir import TINY

from dfrestore.errors import WeightsError
from dfrestore.methods import build_network
from dfrestore.methods.diffir import OFFICIAL, DiffIR, DiffIRConfig, DiffIRS1, IPRSampling
from dfrestore.weights import ModelSpec


def refused(network: dict[str, Any] | None = None, **rest: Any) -> str:
    with pytest.raises(WeightsError, match="impossible network configuration") as error:
        build_network(ModelSpec("deblur", "diffir", {**TINY, **(network or {})}, **rest))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_unknown_setting_is_refused_with_the_nearest_name() -> None:
    assert "unknown setting 'ffn_faktor' of a diffir network: did you mean 'ffn_factor'" in refused({"ffn_faktor": 2.0})
    assert "did you mean 'timesteps'" in refused(sampling={"timestep": 4})


@pytest.mark.parametrize("config", [*OFFICIAL.values(), DiffIRConfig(dim=10, heads=(2, 1, 5, 4), scale=3)])
def test_the_plain_values_of_a_configuration_make_it_again(config: DiffIRConfig) -> None:
    assert DiffIRConfig.from_mapping(json.loads(json.dumps(config.to_mapping()))) == config
    sampling = IPRSampling(7, (0.2, 0.9))
    assert IPRSampling.from_mapping(json.loads(json.dumps(sampling.to_mapping()))) == sampling


@pytest.mark.parametrize(
    "values",
    [
        {"heads": [5, 2, 4, 8]},
        {"heads": [1, 2, 4]},
        {"blocks": [1, 1, 1, 0]},
        {"blocks": [1, 1, 1, "2"]},
        {"blocks": 3},
        {"dim": 7},
        {"dim": True},
        {"dim": "48"},
        {"norm": "LayerNorm"},
        {"bias": 1},
        {"stem": 3},
        {"prior_stem": 8},
        {"scale": 0},
        {"scale": 9},
        {"scale": 2.0},
        {"tail": True},
        {"tail": True, "scale": 2, "stem": 1},
        {"refinement": -1},
        {"prior_blocks": -1},
        {"prior_features": 0},
        {"denoiser_layers": 65},
        {"ffn_factor": 0},
        {"ffn_factor": float("nan")},
        {"ffn_factor": "2"},
    ],
    ids=str,
)
def test_an_impossible_configuration_is_one_line_of_error(values: dict[str, Any]) -> None:
    assert next(iter(values)) in refused(values) or "tail" in values


@pytest.mark.parametrize(
    "values",
    [{"timesteps": 0}, {"timesteps": 1001}, {"timesteps": 4.0}, {"betas": [0.5]}, {"betas": [0.9, 0.1]}, {"betas": 1}],
    ids=str,
)
def test_an_impossible_sampling_is_one_line_of_error(values: dict[str, Any]) -> None:
    assert next(iter(values)) in refused(sampling=values)


def test_the_step_count_is_that_of_the_diffusion() -> None:
    assert "default_steps 4 is not the 3 of its sampling" in refused(sampling={"timesteps": 3})
    network = build_network(ModelSpec("deblur", "diffir", TINY, {"timesteps": 3}, default_steps=3))
    assert (list(network.steps), network.default_steps) == ([3], 3)


def test_a_file_of_stage_1_is_the_network_that_sees_the_ground_truth() -> None:
    assert isinstance(build_network(ModelSpec("deblur", "diffir", TINY)), DiffIR)
    assert isinstance(build_network(ModelSpec("deblur", "diffir", TINY, stage="S1")), DiffIRS1)
    assert "stage 'GAN' is not 'S1'" in refused(stage="GAN")


@pytest.mark.parametrize(
    ("task", "multiple", "scale", "planes", "padding"),
    [
        ("deblur", 8, 1, 3, "reflect"),
        ("sr_x4", 8, 4, 3, "reflect"),
        ("realsr_x2", 16, 2, 3, "reflect"),
        ("realsr_x1", 32, 1, 3, "reflect"),
        ("inpaint", 8, 1, 4, "symmetric"),
    ],
)
def test_pictures_are_padded_as_the_authors_do(task: str, multiple: int, scale: int, planes: int, padding: str) -> None:
    config = DiffIRConfig.from_mapping({**OFFICIAL[task].to_mapping(), "dim": 4, "blocks": [1, 1, 1, 1]})
    network = DiffIR(config)
    assert (network.multiple, network.scale, network.padding) == (multiple, scale, padding)
    assert (network.mask, config.planes) == (planes == 4, planes)
