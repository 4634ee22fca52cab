"""DiffIR against vectors that were made with the authors' classes, in all ways to compute it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from reference.random_diffir import filled
from safetensors.torch import load_file
from torch import Tensor

from dfrestore.methods.differences import shapes_of
from dfrestore.methods.diffir import OFFICIAL, DiffIR, DiffIRConfig, DiffIRS1, IPRSampling
from dfrestore.methods.diffir.prior import IPRDiffusion
from dfrestore.methods.diffir.read import read
from dfrestore.nn import Literal, Strips, Whole
from dfrestore.weights.containers import find_state_dicts, renamed
from dfrestore.weights.unpickle import read_pth

DATA = Path(__file__).parents[1] / "data" / "parity_diffir"
WAYS = ["forward", "whole", "strips"]
SMALL = ["deblur_small", "sr_x4_small", "realsr_x2_small", "realsr_x1_small", "inpaint_small"]
FULL = ["deblur_full", "sr_x4_full", "inpaint_full"]
STORED = {
    "deblur_pth": {"S2": ("pth_deblur_S2.pth", "params_ema")},
    "inpaint_pth": {
        "S1": ("ckpt_inpaint_S2_lightning.ckpt", "state_dict.generatorS1"),
        "S2": ("ckpt_inpaint_S2_lightning.ckpt", "state_dict.generator"),
    },
}
STAGES = [(name, stage) for name in [*SMALL, *FULL] for stage in ("S1", "S2")]
STAGES += [(name, stage) for name, stored in STORED.items() for stage in stored]
TOLERANCE = 1e-5


@cache
def vectors(name: str) -> dict[str, Tensor]:
    return load_file(DATA / f"vec_{name}.safetensors")


def configuration(name: str) -> DiffIRConfig:
    task, _, size = name.rpartition("_")
    official = OFFICIAL[task]
    if size == "full":
        return official
    return replace(official, dim=16, blocks=(1, 1, 1, 2), refinement=1 if official.refinement else 0, prior_blocks=2)


@cache
def network_of(name: str, stage: str) -> Any:
    if name not in STORED:
        return filled((DiffIRS1 if stage == "S1" else DiffIR)(configuration(name)))
    file, key = STORED[name][stage]
    (state,) = find_state_dicts(read_pth(DATA / file), file, key)
    found = read(shapes_of(state.tensors), file)
    assert found is not None
    network = (DiffIRS1 if found.stage else DiffIR)(DiffIRConfig.from_mapping(found.network))
    network.load_state_dict(renamed(state.tensors, found.rename, file), strict=True)
    return network.eval().requires_grad_(False)


def way(network: Any, how: str, dtype: torch.dtype = torch.float32) -> Callable[..., Tensor]:
    if how == "forward":
        return network.forward
    if how == "whole":
        return partial(network.walk, Whole(dtype))
    return lambda *tensors: torch.cat(
        [network.walk(Strips(dtype, rows=3), *(x[i : i + 1] for x in tensors)) for i in range(len(tensors[0]))]
    )


def assert_near(got: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> None:
    assert got.shape == expected.shape
    assert float((got - expected).abs().max() / expected.abs().max()) <= tolerance


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(("name", "stage"), STAGES)
def test_the_picture_is_the_authors(name: str, stage: str, how: str) -> None:
    given, second = vectors(name), "gt" if stage == "S1" else "z_T"
    got = way(network_of(name, stage), how)(given["lq"], given[second])
    assert_near(got, given[f"out_{stage.lower()}"])


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(("name", "stage"), [(name, stage) for name, stage in STAGES if "full" not in name])
def test_the_picture_in_fp64_is_the_authors_within_their_rounding(name: str, stage: str, how: str) -> None:
    given, second = vectors(name), "gt" if stage == "S1" else "z_T"
    config = network_of(name, stage).config
    network = type(network_of(name, stage))(config)
    network.load_state_dict(network_of(name, stage).state_dict())
    network = network.double().requires_grad_(False)
    lq, other = given["lq"].double(), given[second].double()
    got = way(network, how, torch.float64)(lq, other)
    assert_near(got, given[f"out_{stage.lower()}"].double(), 2e-6)
    assert_near(got, network(lq, other), 1e-12 if how == "whole" else 2e-7)  # strips return fp32


@pytest.mark.parametrize("how", [Literal(), Whole(), Strips(rows=2)], ids=WAYS)
@pytest.mark.parametrize("name", [*SMALL, *FULL])
def test_the_vectors_of_cpen_are_the_authors(name: str, how: Any) -> None:
    given, first = vectors(name), slice(0, 1)
    lq, gt = given["lq"][first], given["gt"][first]
    assert_near(network_of(name, "S1").encoded(how, lq, gt), given["ipr_s1"][first])
    assert_near(network_of(name, "S2").conditioned(how, lq), given["D"][first])


@pytest.mark.parametrize("name", [*SMALL, *FULL, *STORED])
def test_every_step_of_the_diffusion_is_the_authors(name: str) -> None:
    given, network = vectors(name), network_of(name, "S2")
    z = given["z_T"]
    for i, state in zip((3, 2, 1, 0), network.diffusion.reverse(network.denoise, z, given["D"]), strict=True):
        time = torch.full((len(z), 1), i / 40)
        assert_near(network.denoise(given["D"], time, z), given[f"x0_pred_i{i}"])
        assert_near(state, given[f"z_after_i{i}"])
        z = state


@pytest.mark.parametrize("name", [*SMALL, *STORED])
def test_the_features_of_the_latent_level_are_the_authors(name: str) -> None:
    given, network, seen = vectors(name), network_of(name, "S2"), []
    hook = network.G.latent[-1].register_forward_hook(lambda module, inputs, out: seen.append(out))
    network(given["lq"], given["z_T"])
    hook.remove()
    assert_near(seen[0], given["feat_latent_s2"])


def test_the_schedule_is_the_authors() -> None:
    expected = json.loads((DATA / "constants.json").read_text())["diffusion_buffers"]
    diffusion = IPRDiffusion.of(IPRSampling())
    for name, values in vars(diffusion).items():
        torch.testing.assert_close(values, torch.tensor(expected[name]), rtol=1e-6, atol=0)
    root, noise = expected["sqrt_alphas_cumprod"][-1], expected["sqrt_one_minus_alphas_cumprod"][-1]
    z = diffusion.diffused(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(z, torch.tensor([root, noise]), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("task", "s1", "s2"),
    [
        ("deblur", 26_742_206, 26_911_934),
        ("sr_x4", 24_801_478, 24_971_206),
        ("realsr_x2", 24_811_846, 24_981_574),
        ("realsr_x1", 24_853_318, 25_023_046),
        ("inpaint", 26_232_746, 26_402_474),
        ("inpaint_big", 49_313_194, 49_482_922),
    ],
)
def test_the_official_networks_have_the_authors_parameters(task: str, s1: int, s2: int) -> None:
    with torch.device("meta"):
        networks = DiffIRS1(OFFICIAL[task]), DiffIR(OFFICIAL[task])
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == [s1, s2]
