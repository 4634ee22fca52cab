"""Authors' DiffIR files: recognised by names and shapes, of both stages, in all of their containers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from reference.random_diffir import TINY, tiny_diffir, tiny_diffir_s1
from safetensors.torch import load_file
from torch import Tensor

from dfrestore import tasks
from dfrestore.errors import UsageError, WeightsError
from dfrestore.methods import load_network
from dfrestore.methods.convert import convert_file
from dfrestore.methods.diffir import OFFICIAL, DiffIRConfig
from dfrestore.methods.diffir.prior import IPRDiffusion
from dfrestore.methods.diffir.read import configuration_of, expected_shapes, read
from dfrestore.weights import read_spec, resolve

DATA = Path(__file__).parents[1] / "data" / "parity_diffir"
STATE_DICTS = json.loads(gzip.decompress((DATA / "state_dicts.json.gz").read_bytes()))


def shapes_of(task: str, stage: str) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape in STATE_DICTS[task][stage].items()}


def as_authors_save(network: Any, timesteps: int = 4) -> dict[str, Tensor]:
    """Stage 2 as their code has it: the parts once more inside the diffusion, and buffers."""
    own = dict(network.state_dict())
    copies = {f"diffusion.{name}": tensor for name, tensor in own.items() if name.startswith("condition.")}
    copies |= {f"diffusion.model{name[7:]}": tensor for name, tensor in own.items() if name.startswith("denoise.")}
    return {**own, "diffusion.betas": torch.full((timesteps,), 0.5), **copies}


def convert(tmp_path: Path, content: object, task: str = "deblur", **options: Any) -> Path:
    torch.save(content, tmp_path / "in.pth")
    convert_file(tmp_path / "in.pth", tmp_path / "out.safetensors", task, overwrite=True, **options)
    return tmp_path / "out.safetensors"


@pytest.mark.parametrize("stage", ["S1", "S2"])
@pytest.mark.parametrize("task", OFFICIAL)
def test_the_official_networks_are_recognised(task: str, stage: str) -> None:
    found = read(shapes_of(task, stage), "net_g.pth")
    assert found is not None
    assert DiffIRConfig.from_mapping(found.network) == OFFICIAL[task]
    assert (found.stage, found.default_steps) == ("S1" if stage == "S1" else "", 4)
    assert set(found.rename.values()) == set(expected_shapes(OFFICIAL[task], found.stage))


@pytest.mark.parametrize(
    "config",
    [
        {"norm": "BiasFree", "dim": 10, "heads": (2, 1, 5, 4), "prior_features": 3, "denoiser_layers": 3},
        {"scale": 3, "bias": True, "prior_stem": 2, "ffn_factor": 2.66},
        {"mask": True, "residual": False, "stem": 2, "refinement": 0, "prior_blocks": 0},
        {"stem": 2, "scale": 2, "prior_stem": 1, "denoiser_layers": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("stage", ["S1", ""])
def test_any_configuration_follows_from_its_shapes(config: dict[str, Any], stage: str) -> None:
    expected = DiffIRConfig(**{**TINY, **config})
    found = configuration_of(expected_shapes(expected, stage), stage)
    assert expected_shapes(found, stage) == expected_shapes(expected, stage)
    if stage != "S1":  # the denoiser comes later
        assert found == expected


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: state,
        lambda state: {"params": state},
        lambda state: {"params_ema": {f"module.{name}": tensor for name, tensor in state.items()}},
        lambda state: {"state_dict": {f"generator.{name}": tensor for name, tensor in state.items()} | OTHERS},
    ],
    ids=["flat", "params", "module", "trainer"],
)
@pytest.mark.parametrize("stage", ["S1", "S2"])
def test_every_container_is_read(tmp_path: Path, wrapped: Callable[[Any], Any], stage: str) -> None:
    network = tiny_diffir() if stage == "S2" else tiny_diffir_s1()
    state = as_authors_save(network) if stage == "S2" else dict(network.state_dict())
    found = convert(tmp_path, wrapped(state))
    expected = network.state_dict()
    tensors = load_file(found)
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in expected.items())
    assert read_spec(found).stage == ("S1" if stage == "S1" else "")


OTHERS = {"discriminator.conv.weight": torch.zeros(3, 3), "generatorS1.G.conv.weight": torch.zeros(3)}


def test_averaged_weights_come_first_and_others_by_name(tmp_path: Path) -> None:
    network = tiny_diffir()
    other = {name: tensor * 2 for name, tensor in network.state_dict().items()}
    content = {"params": other, "params_ema": dict(network.state_dict())}
    for key, factor in ((None, 1), ("params", 2)):
        tensors = load_file(convert(tmp_path, content, key=key))
        assert torch.equal(tensors["G.up2_1.body.0.weight"], network.G.up2_1.body[0].weight * factor)


@pytest.mark.parametrize(
    ("name", "task", "key", "stage"),
    [
        ("pth_deblur_S2.pth", "deblur", None, ""),
        ("ckpt_inpaint_S2_lightning.ckpt", "inpaint", None, ""),
        ("ckpt_inpaint_S2_lightning.ckpt", "inpaint", "state_dict.generatorS1", "S1"),
    ],
)
def test_a_converted_file_computes_what_the_authors_code_does(
    tmp_path: Path, name: str, task: str, key: str | None, stage: str
) -> None:
    convert_file(DATA / name, tmp_path / "out.safetensors", task, key)
    network, spec = load_network(tmp_path / "out.safetensors")
    vectors = load_file(DATA / f"vec_{task}_pth.safetensors")
    with torch.inference_mode():
        out = network(vectors["lq"], vectors["gt" if stage else "z_T"])
    expected = vectors[f"out_{(stage or 'S2').lower()}"]
    assert (out - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert (spec.method, spec.stage, spec.default_steps) == ("diffir", stage, 4)
    assert "github.com/Zj-BinXia/DiffIR" in spec.source


def test_a_file_of_stage_1_does_not_restore(tmp_path: Path) -> None:
    found = convert(tmp_path, tiny_diffir_s1().state_dict())
    with pytest.raises(UsageError, match="made by the training stage 'S1'"):
        resolve(found, task="deblur")


def test_the_step_count_follows_from_the_schedule(tmp_path: Path) -> None:
    found = convert(tmp_path, as_authors_save(tiny_diffir(), timesteps=7))
    assert read_spec(found).sampling["timesteps"] == read_spec(found).default_steps == 7
    network, _ = load_network(found)
    assert list(network.steps) == [7]
    assert len(IPRDiffusion.of(network.sampling).betas) == 7  # type: ignore[arg-type]


def test_copies_that_differ_are_refused(tmp_path: Path) -> None:
    state = as_authors_save(tiny_diffir())
    state["diffusion.model.resmlp.0.bias"] = state["diffusion.model.resmlp.0.bias"] + 1
    with pytest.raises(WeightsError, match=r"'denoise\.resmlp\.0\.bias' and 'diffusion\.model.* should hold the same"):
        convert(tmp_path, state)


def test_a_copy_of_another_shape_is_named(tmp_path: Path) -> None:
    state = as_authors_save(tiny_diffir())
    state["diffusion.model.resmlp.0.bias"] = torch.zeros(3)
    with pytest.raises(WeightsError, match=r"'diffusion\.model\.resmlp\.0\.bias' \[3\] instead of \[16\]"):
        convert(tmp_path, state)


def test_a_file_with_the_copies_alone_is_complete(tmp_path: Path) -> None:
    state = {name: x for name, x in as_authors_save(tiny_diffir()).items() if not name.startswith(("cond", "den"))}
    assert load_file(convert(tmp_path, state)).keys() == tiny_diffir().state_dict().keys()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"G.patch_embed.proj.weight": None}, r"'G\.patch_embed\.proj\.weight' is missing"),
        ({"G.patch_embed.proj.weight": (4, 5, 3, 3)}, "takes 5 channels, not 3, 4, or"),
        ({"G.output.weight": (5, 8, 3, 3)}, "the channels of its last convolution belong to no pixel shuffle"),
        ({"condition.E.0.weight": (4, 50, 3, 3)}, "the channels of its CPEN belong to no pixel shuffle"),
        ({"G.patch_embed.proj.weight": (0, 3, 3, 3)}, "not the weights of a DiffIR network"),
        ({"G.patch_embed.proj.weight": ()}, "not the weights of a DiffIR network"),
        ({"G.strange.weight": (2,)}, r"the nearest one .*dim 4.* differs in 'G\.strange\.weight' \[2\] unexpected"),
        ({"denoise.resmlp.0.weight": None}, r"differs in 'denoise\.resmlp\.0\.weight' missing"),
        ({"diffusion.betas": ()}, "not the weights of a DiffIR network"),
    ],
    ids=str,
)
def test_a_near_miss_is_refused_with_what_differs(change: dict[str, Any], said: str) -> None:
    shapes = {**expected_shapes(DiffIRConfig(**TINY)), **change}
    with pytest.raises(WeightsError, match=said) as error:
        read({name: shape for name, shape in shapes.items() if shape is not None}, "f.pth")
    assert "\n" not in str(error.value)


def test_the_restoring_network_alone_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"in\.pth: these are weights of DiffIR's G alone"):
        convert(tmp_path, dict(tiny_diffir().G.state_dict()))


def test_other_networks_are_not_its_own() -> None:
    assert read({"patch_embed.proj.weight": (4, 6, 3, 3)}, "f.pth") is None
    assert read({"G.conv.weight": (4, 6, 3, 3)}, "f.pth") is None


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"mask": True, "residual": False}, "fills holes, so it is not for derain; give --task inpaint"),
        ({"scale": 4, "tail": True, "prior_stem": 1}, "enlarges 4 times, so it is not for derain; give --task upscale"),
    ],
    ids=str,
)
def test_a_task_that_it_cannot_be_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], kind: str
) -> None:
    more = [tasks.Task("upscale", "", "", scale=True), tasks.Task("inpaint", "", "", mask=True)]
    monkeypatch.setattr("dfrestore.methods.convert.TASKS", {**tasks.TASKS, **{task.name: task for task in more}})
    with pytest.raises(UsageError, match=kind):
        convert(tmp_path, dict(tiny_diffir(**config).state_dict()), "derain")
    with pytest.raises(UsageError, match="takes no mask, so it is not for inpaint; give --task derain"):
        convert(tmp_path, dict(tiny_diffir().state_dict()), "inpaint")
    convert(tmp_path, dict(tiny_diffir(**config).state_dict()), kind.split()[-1])
