"""C2F-DFT against vectors and golden numbers that were made with the authors' classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from reference import deterministic_fill
from reference.random_network import in_strips, on_whole_tensors, random_network
from safetensors.torch import load_file
from torch import Tensor

from dfrestore.diffusion import linear_alpha_bars, sample
from dfrestore.errors import WeightsError
from dfrestore.methods import build_network
from dfrestore.methods.c2f_dft import C2FDFT, C2FDFTConfig
from dfrestore.nn import Strips
from dfrestore.weights import ModelSpec

DATA = Path(__file__).parents[1] / "data"
TIMES = [999, 666, 333, 0]
Call = Callable[[Tensor, Tensor, Tensor], Tensor]
EPS_TOLERANCE = {"a": 1e-5, "b": 3e-5, "c": 1e-5, "d": 1e-5}
STATE_TOLERANCE = {"a": 2e-4, "b": 1e-3, "c": 2e-4}
CASES = [("a", "s0"), ("a", "s1"), ("b", "s0"), ("b", "s1"), ("c", "s0"), ("c", "s1"), ("d", "s0")]


def parity_network(name: str, key: str = "params") -> C2FDFT:
    options = json.loads((DATA / "parity" / f"cfg_{name}.json").read_text())
    config = C2FDFTConfig(
        dim=options["dim"],
        blocks=tuple(options["num_blocks"]),
        heads=tuple(options["heads"]),
        ffn_factor=options["ffn_factor"],
        bias=options["bias"],
        norm=options["LayerNorm_type"],
        dual_pixel=options["dual_pixel_task"],
    )
    network = C2FDFT(config)
    tensors = torch.load(DATA / "parity" / f"cfg_{name}.pth", weights_only=True)
    network.load_state_dict(tensors[key], strict=True)
    return network.eval().requires_grad_(False)


def parity_vectors(name: str, case: str) -> dict[str, Tensor]:
    vectors = load_file(DATA / "parity" / f"cfg_{name}.safetensors")
    return {key.removeprefix(f"{case}."): value for key, value in vectors.items() if key.startswith(f"{case}.")}


def ways(network: C2FDFT) -> dict[str, Call]:
    return {
        "forward": network.forward,
        "whole": partial(on_whole_tensors, network),
        "strips": partial(strips_of_each, network, strips=Strips(rows=3)),
    }


def strips_of_each(network: C2FDFT, y: Tensor, x_t: Tensor, t: Tensor, strips: Strips) -> Tensor:
    t = t.expand(len(y))
    return torch.stack([in_strips(network, y[i], x_t[i], t[i : i + 1], strips) for i in range(len(y))])


def largest_difference(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return (a - b).abs().max().item()


@pytest.mark.parametrize("way", ["forward", "whole", "strips"])
@pytest.mark.parametrize(("name", "case"), CASES)
def test_the_prediction_is_the_authors(name: str, case: str, way: str) -> None:
    vectors = parity_vectors(name, case)
    for key in ("params", "params_ema"):
        if f"{key}.eps" in vectors:
            eps = ways(parity_network(name, key))[way](vectors["y"] * 2 - 1, vectors["x_t"], vectors["t"])
            assert largest_difference(eps, vectors[f"{key}.eps"]) <= EPS_TOLERANCE[name]


@pytest.mark.parametrize("way", ["forward", "whole", "strips"])
@pytest.mark.parametrize(("name", "case"), CASES)
def test_the_prediction_in_fp64_is_the_authors_to_rounding(name: str, case: str, way: str) -> None:
    vectors = parity_vectors(name, case)
    network = parity_network(name).double()
    y, x_t, t = vectors["y"].double() * 2 - 1, vectors["x_t"].double(), vectors["t"]
    if way == "whole":
        eps = on_whole_tensors(network, y, x_t, t, dtype=torch.float64)
    else:
        eps = network(y, x_t, t) if way == "forward" else strips_of_each(network, y, x_t, t, Strips(torch.float64))
    # Not 1e-9: the last digit of an fp32 sine in the embedding differs between kinds of CPU. And whole tensors take
    # the attention matrix in fp32, and strips return fp32.
    tolerance = 1e-7 if way != "strips" else 5e-7
    assert largest_difference(eps, vectors["params.eps_f64"]) <= tolerance


@pytest.mark.parametrize("way", ["forward", "whole", "strips"])
@pytest.mark.parametrize(("name", "case"), [case for case in CASES if case[0] != "d"])
def test_every_sampled_state_is_the_authors(name: str, case: str, way: str) -> None:
    vectors = parity_vectors(name, case)
    for key in ("params", "params_ema"):
        call = ways(parity_network(name, key))[way]
        y = vectors["y"] * 2 - 1
        states = list(
            sample(lambda x, t, y=y, f=call: f(y, x, t), vectors["x_T"], TIMES, linear_alpha_bars(), "epsilon")
        )
        for step, state in enumerate(states, 1):
            if f"{key}.x_after_step{step}" in vectors:
                assert largest_difference(state.x, vectors[f"{key}.x_after_step{step}"]) <= STATE_TOLERANCE[name]
        restored = ((states[-1].x + 1) / 2).clamp(0, 1)
        assert largest_difference(restored, vectors[f"{key}.restored"]) <= STATE_TOLERANCE[name]


# --- the paper's size, filled by a hash ---


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    numbers: dict[str, Any] = json.loads((DATA / "golden.json").read_text())
    return numbers


@pytest.fixture(scope="module", params=["WithBias", "BiasFree"])
def paper_size(request: pytest.FixtureRequest) -> C2FDFT:
    with torch.device("meta"):
        network = C2FDFT(C2FDFTConfig(norm=request.param))
    network.load_state_dict(deterministic_fill.filled_state(network), strict=True, assign=True)
    return network.eval().requires_grad_(False)


def assert_golden(x: Tensor, row: dict[str, Any], tolerance: float) -> None:
    got = {"mean": x.mean(), "std": x.std(correction=0), "min": x.min(), "max": x.max()}
    for name, value in got.items():
        assert value.item() == pytest.approx(row[name], rel=0, abs=tolerance), name
    for entry in row["entries"]:
        assert x[0][tuple(entry["index"])].item() == pytest.approx(entry["value"], rel=0, abs=tolerance), entry["index"]


def test_the_paper_size_network_has_the_authors_parameters(paper_size: C2FDFT) -> None:
    values = [tensor.double() for tensor in paper_size.state_dict().values()]
    sums = sum(v.sum().item() for v in values), sum(v.square().sum().item() for v in values)
    count = sum(v.numel() for v in values)
    if paper_size.config.norm == "WithBias":
        assert (len(values), count) == (410, 25_363_344)
        assert sums == pytest.approx((14186.2364, 102674.345), rel=1e-8)
    else:
        assert (len(values), count) == (330, 25_349_136)
        assert sums == pytest.approx((14786.1941, 102685.753), rel=1e-8)


@pytest.mark.parametrize("t", [0, 999])
def test_the_paper_size_prediction_is_golden(paper_size: C2FDFT, golden: dict[str, Any], t: int) -> None:
    y, x_t = deterministic_fill.condition(64, 64) * 2 - 1, deterministic_fill.noise(64, 64)
    name = f"{paper_size.config.norm} 64x64 eps t={t}"
    time = torch.tensor([float(t)])
    assert_golden(on_whole_tensors(paper_size, y, x_t, time), golden[f"{name} fp32"], 2e-5)
    assert_golden(strips_of_each(paper_size, y, x_t, time, Strips()), golden[f"{name} fp32"], 2e-5)
    if t == 999:  # the paper's own arithmetic once, for each costs a second
        assert_golden(paper_size(y, x_t, time), golden[f"{name} fp32"], 2e-5)


def test_the_paper_size_sample_is_golden(paper_size: C2FDFT, golden: dict[str, Any]) -> None:
    y, x = deterministic_fill.condition(40, 56) * 2 - 1, deterministic_fill.noise(40, 56)
    name = f"{paper_size.config.norm} 40x56 sample"
    states = list(sample(lambda x, t: on_whole_tensors(paper_size, y, x, t), x, TIMES, linear_alpha_bars(), "epsilon"))
    for step, state in enumerate(states, 1):
        assert_golden(state.x, golden[f"{name} x after step {step} fp32"], 5e-4)
    assert_golden(((states[-1].x + 1) / 2).clamp(0, 1), golden[f"{name} restored [0,1] fp32"], 1e-4)


def test_the_paper_size_prediction_in_fp64_is_golden_to_rounding(paper_size: C2FDFT, golden: dict[str, Any]) -> None:
    # Last of the module's tests on this fixture: it turns the network to double.
    y, x_t = deterministic_fill.condition(64, 64).double() * 2 - 1, deterministic_fill.noise(64, 64).double()
    eps = paper_size.double()(y, x_t, torch.tensor([0.0]))
    assert_golden(eps, golden[f"{paper_size.config.norm} 64x64 eps t=0 fp64-emb32"], 1e-7)


# --- configuration ---


def test_an_unknown_setting_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"unknown setting 'ffn_faktor'.*did you mean 'ffn_factor'"):
        C2FDFTConfig.from_mapping({"ffn_faktor": 2.0})


def test_the_plain_values_of_a_configuration_make_it_again() -> None:
    config = C2FDFTConfig(dim=16, blocks=(1, 2, 3, 4), norm="BiasFree", stem=2)
    assert C2FDFTConfig.from_mapping(json.loads(json.dumps(config.to_mapping()))) == config


@pytest.mark.parametrize(
    "values",
    [
        {"heads": [5, 2, 4, 8]},
        {"heads": [0, 2, 4, 8]},
        {"heads": [1, 2, 4]},
        {"blocks": [1, 1, 1, 0]},
        {"blocks": [1, 1, 1, "2"]},
        {"blocks": 3},
        {"dim": 7},
        {"dim": 2},
        {"dim": True},
        {"dim": "48"},
        {"norm": "LayerNorm"},
        {"bias": 1},
        {"stem": 3},
        {"ffn_factor": 0},
        {"ffn_factor": float("nan")},
    ],
)
def test_an_impossible_configuration_is_one_line_of_error(values: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match="impossible network configuration") as error:
        build_network(ModelSpec("derain", "c2f-dft", values))
    assert "\n" not in str(error.value)


def test_an_unknown_method_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(WeightsError, match="unknown method 'c2fdft': did you mean 'c2f-dft'"):
        build_network(ModelSpec("derain", "c2fdft", {}))


@pytest.mark.parametrize(("stem", "multiple"), [(1, 8), (2, 16)])
def test_the_multiple_follows_the_stem(stem: int, multiple: int) -> None:
    assert random_network(stem=stem)[0].multiple == multiple


def test_a_sample_network_starts_from_y_and_an_epsilon_network_from_x_t() -> None:
    y, x_t, t = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16), torch.tensor([500.0])
    for prediction, expected in (("sample", y), ("epsilon", x_t)):
        network, _ = random_network(prediction)
        torch.nn.init.zeros_(network.output.weight)
        assert torch.equal(network(y, x_t, t), expected)
        assert torch.equal(on_whole_tensors(network, y, x_t, t), expected)
