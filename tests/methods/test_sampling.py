"""What a header may say of C2F-DFT's sampling."""

from __future__ import annotations

from typing import Any

import pytest

from dfrestore.errors import WeightsError
from dfrestore.methods import build_network
from dfrestore.methods.c2f_dft import Sampling
from dfrestore.weights import ModelSpec


def test_nothing_said_is_the_paper_s() -> None:
    assert Sampling.from_mapping({}) == Sampling("epsilon", 1000, (1e-4, 2e-2), {}, "ddim")


def test_settings_come_back_from_plain_values() -> None:
    own = Sampling("sample", 500, (1e-3, 1e-2), {2: (499, 100)})
    assert own.to_mapping() == {
        "prediction": "sample",
        "sampler": "ddim",
        "schedule": {"timesteps": 500, "betas": [1e-3, 1e-2]},
        "timesteps": {"2": [499, 100]},
    }
    assert Sampling.from_mapping(own.to_mapping()) == own


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"predictions": "sample"}, "unknown setting 'predictions' of c2f-dft's sampling"),
        ({"prediction": "noise"}, "prediction 'noise' is not one of epsilon, sample"),
        ({"prediction": {}}, "is not one of epsilon, sample"),
        ({"sampler": "euler"}, "sampler 'euler' is not one of ddim"),
        ({"schedule": []}, "does not hold timesteps and betas"),
        ({"schedule": {"steps": 4}}, "does not hold timesteps and betas"),
        ({"schedule": {"timesteps": 10**9}}, "schedule.timesteps 1000000000"),
        ({"schedule": {"betas": [float("nan")] * 2}}, "0 < first <= last < 1"),
        ({"schedule": {"betas": [2e-2, 1e-4]}}, "0 < first <= last < 1"),
        ({"schedule": {"betas": [1e-4]}}, "0 < first <= last < 1"),
        ({"schedule": {"betas": 1e-4}}, "0 < first <= last < 1"),
        ({"timesteps": [4]}, "not a list for each"),
        ({"timesteps": {"2": 5}}, "not a list for each"),
        ({"timesteps": {"two": [999, 0]}}, "two"),
        ({"timesteps": {"2": [0, 999]}}, "not 2 falling values"),
        ({"timesteps": {"3": [999, 0]}}, "not 3 falling values"),
        ({"timesteps": {"2": [999, 999]}}, "not 2 falling values"),
        ({"timesteps": {"1": [1000]}}, "timestep 1000"),
        ({"timesteps": {"1": [0.5]}}, "timestep 0.5"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_impossible_values_are_refused_with_their_cause(values: dict[str, Any], cause: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        Sampling.from_mapping(values)
    assert cause in str(error.value)
    with pytest.raises(WeightsError, match="impossible"):
        build_network(ModelSpec("derain", "c2f-dft", {}, values))
