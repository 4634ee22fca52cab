from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from reference.fake_network import FakeNetwork
from torch import Tensor

from dfrestore.diffusion import linear_alpha_bars, sample, timesteps
from dfrestore.errors import FileFailure, UsageError, WeightsError
from dfrestore.methods import METHODS, convert, load_network
from dfrestore.methods.c2f_dft import C2FDFTConfig
from dfrestore.methods.c2f_dft.read import configuration_of, expected_shapes, read
from dfrestore.methods.convert import convert_file
from dfrestore.methods.method import Method, Recognised
from dfrestore.weights import read_spec
from dfrestore.weights.containers import StateDict

PARITY = Path(__file__).parents[1] / "data" / "parity"
CONFIGURATIONS = {
    "cfg_a": C2FDFTConfig(4, (1, 2, 1, 2), (1, 2, 4, 8)),
    "cfg_b": C2FDFTConfig(4, (2, 1, 2, 1), (1, 2, 4, 8), norm="BiasFree"),
    "cfg_c": C2FDFTConfig(4, (1, 1, 2, 1), (2, 1, 4, 4), ffn_factor=2.66, bias=True),
    "cfg_d": C2FDFTConfig(4, (1, 1, 1, 1), (2, 2, 1, 4), norm="BiasFree", dual_pixel=True),
}
SMALL = C2FDFTConfig(4, (1, 1, 1, 1), (1, 1, 1, 1))


def converted(tmp_path: Path, name: str, key: str | None = None) -> Path:
    out = tmp_path / "out.safetensors"
    convert_file(PARITY / f"{name}.pth", out, "derain", key)
    return out


def a_method(name: str, read: Any, build: Any = None) -> Method:
    return Method(name, build, read, stages=(), finetunes="")


def refusal(path: Path, out: Path, **options: Any) -> str:
    """The line with which a conversion is refused; nothing may be left behind."""
    before = set(out.parent.iterdir())
    with pytest.raises(WeightsError) as error:
        convert_file(path, out, "derain", **options)
    assert set(out.parent.iterdir()) == before
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


def weights(config: C2FDFTConfig = SMALL) -> dict[str, torch.Tensor]:
    return {name: torch.full(shape, 0.01) for name, shape in expected_shapes(config).items()}


@pytest.mark.parametrize("name", ["cfg_a", "cfg_b", "cfg_c"])
@pytest.mark.parametrize("key", ["params", "params_ema"])
@pytest.mark.parametrize("case", ["s0", "s1"])
def test_a_converted_file_restores_as_the_authors_code_does(tmp_path: Path, name: str, key: str, case: str) -> None:
    network, spec = load_network(converted(tmp_path, name, key))
    vectors = safetensors.torch.load_file(PARITY / f"{name}.safetensors")
    y = 2 * vectors[f"{case}.y"] - 1
    with torch.inference_mode():
        *_, last = sample(
            lambda x, t: network(y, x, t.expand(len(y))),
            vectors[f"{case}.x_T"],
            timesteps(1000, spec.default_steps),
            linear_alpha_bars(),
            spec.sampling["prediction"],
        )
    restored = ((last.x + 1) / 2).clamp(0, 1)
    assert (restored - vectors[f"{case}.{key}.restored"]).abs().max() < (1e-3 if name == "cfg_b" else 2e-4)


@pytest.mark.parametrize("name", ["cfg_a", "cfg_b", "cfg_c", "cfg_d", "cfg_a_ddp", "cfg_d_legacy"])
def test_the_configuration_follows_from_the_shapes(tmp_path: Path, name: str) -> None:
    spec = read_spec(converted(tmp_path, name))
    assert C2FDFTConfig.from_mapping(spec.network) == CONFIGURATIONS[name[:5]]


def test_averaged_weights_are_taken_where_there_are_some(tmp_path: Path) -> None:
    found = safetensors.torch.load_file(converted(tmp_path, "cfg_a"))
    expected = torch.load(PARITY / "cfg_a.pth", weights_only=True)["params_ema"]
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_the_old_and_the_new_container_give_the_same_weights(tmp_path: Path) -> None:
    new = safetensors.torch.load_file(converted(tmp_path, "cfg_d"))
    convert_file(PARITY / "cfg_d_legacy.pth", tmp_path / "old.safetensors", "derain")
    old = safetensors.torch.load_file(tmp_path / "old.safetensors")
    assert all(torch.equal(new[name], tensor) for name, tensor in old.items())


def test_the_spec_says_where_the_weights_come_from(tmp_path: Path) -> None:
    spec = read_spec(converted(tmp_path, "cfg_a"))
    assert (spec.task, spec.method, spec.default_steps) == ("derain", "c2f-dft", 4)
    assert spec.sampling["prediction"] == "epsilon"
    assert spec.licence == "unknown (the authors state none)"
    assert spec.source.startswith("cfg_a.pth [params_ema], sha256 ")
    assert "github.com/wlydlut/C2F-DFT" in spec.source


@pytest.mark.parametrize("norm", ["WithBias", "BiasFree"])
def test_the_published_size_is_recognised(norm: Any) -> None:
    shapes = expected_shapes(C2FDFTConfig(norm=norm))
    assert len(shapes) == (410 if norm == "WithBias" else 330)
    assert configuration_of(shapes) == C2FDFTConfig(norm=norm)
    found = read(shapes, "f.pth")
    assert found is not None
    assert found.network == C2FDFTConfig(norm=norm).to_mapping()


@pytest.mark.parametrize("factor", [1.0, 2.0, 2.5, 2.66, 3.7, 4.0])
def test_the_feed_forward_factor_reproduces_the_hidden_widths(factor: float) -> None:
    shapes = expected_shapes(C2FDFTConfig(48, ffn_factor=factor))
    assert expected_shapes(configuration_of(shapes)) == shapes


@pytest.mark.parametrize("stem", [1, 2, 4])
def test_the_stem_follows_from_the_first_convolution(stem: int) -> None:
    config = replace(SMALL, stem=stem)
    assert configuration_of(expected_shapes(config)) == config


@pytest.mark.parametrize("name", ["truncated", "unsafe_print", "unsafe_getcwd_legacy"])
def test_a_refused_file_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    refusal(PARITY / f"{name}.pth", tmp_path / "out.safetensors")


def test_a_refused_file_leaves_the_previous_output(tmp_path: Path) -> None:
    out = converted(tmp_path, "cfg_a")
    before = out.read_bytes()
    refusal(PARITY / "truncated.pth", out, overwrite=True)
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("extra", "shape", "named"),
    [
        ("refinement.0.norm1.body.weight", (8,), "Restormer"),
        ("encoder_level1.0.ffn.dwconv.weight", (8, 1, 3, 3), "Restormer's family"),
    ],
)
def test_related_networks_are_named_as_not_supported_yet(
    tmp_path: Path, extra: str, shape: tuple[int, ...], named: str
) -> None:
    torch.save({"params": {**weights(), extra: torch.zeros(shape)}}, tmp_path / "in.pth")
    message = refusal(tmp_path / "in.pth", tmp_path / "out.safetensors")
    assert named in message
    assert "not supported yet" in message


def test_another_network_is_refused_with_how_it_begins(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3, 3)}, tmp_path / "in.pth")
    message = refusal(tmp_path / "in.pth", tmp_path / "out.safetensors")
    assert "not the weights of a network that is known (c2f-dft, diffir, dtpm)" in message
    assert "its first tensors are 'conv.weight' [3, 3]" in message


def test_a_network_that_lacks_its_first_layer_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    state = weights()
    del state["patch_embed.proj.weight"]
    torch.save(state, tmp_path / "in.pth")
    message = refusal(tmp_path / "in.pth", tmp_path / "out.safetensors")
    assert "not the weights of a C2F-DFT network ('patch_embed.proj.weight' is missing)" in message


def test_a_near_miss_names_the_nearest_network_and_the_tensors_that_differ(tmp_path: Path) -> None:
    state = weights()
    state["output.weight"] = torch.zeros(5, 8, 3, 3)
    del state["up2_1.body.0.weight"]
    state["strange.weight"] = torch.zeros(2)
    torch.save(state, tmp_path / "in.pth")
    message = refusal(tmp_path / "in.pth", tmp_path / "out.safetensors")
    assert "dim 4, blocks [1, 1, 1, 1], heads [1, 1, 1, 1]" in message
    assert "'output.weight' [5, 8, 3, 3] instead of [3, 8, 3, 3]" in message
    assert "'up2_1.body.0.weight' missing" in message
    assert "'strange.weight' [2] unexpected" in message


def test_long_lists_of_differences_are_cut() -> None:
    shapes = dict(list(expected_shapes(SMALL).items()))
    for name in list(shapes)[-8:]:
        del shapes[name]
    with pytest.raises(WeightsError, match="and 5 more"):
        read(shapes, "f.pth")


@pytest.mark.parametrize("shape", [(0, 6, 3, 3), (4,), (), (10**6, 6, 3, 3), (4, 7, 3, 3)])
def test_impossible_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(WeightsError, match=r"f\.pth: not"):
        read({**expected_shapes(SMALL), "patch_embed.proj.weight": shape}, "f.pth")


def test_weights_that_compute_nothing_are_not_written(tmp_path: Path) -> None:
    torch.save({name: torch.full_like(tensor, 1e30) for name, tensor in weights().items()}, tmp_path / "in.pth")
    assert "computes nothing usable" in refusal(tmp_path / "in.pth", tmp_path / "out.safetensors")


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    torch.save({name: tensor.half() for name, tensor in weights().items()}, tmp_path / "in.pth")
    convert_file(tmp_path / "in.pth", tmp_path / "out.safetensors", "derain")
    found = safetensors.torch.load_file(tmp_path / "out.safetensors")
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}


def test_a_safetensors_file_of_another_project_is_converted(tmp_path: Path) -> None:
    safetensors.torch.save_file(weights(), tmp_path / "in.safetensors")
    spec = convert_file(tmp_path / "in.safetensors", tmp_path / "out.safetensors", "denoise")
    assert spec.task == "denoise"
    with pytest.raises(UsageError, match="is a checkpoint of dfrestore already"):
        convert_file(tmp_path / "out.safetensors", tmp_path / "again.safetensors", "denoise")


def test_an_existing_output_is_kept_without_overwrite(tmp_path: Path) -> None:
    out = converted(tmp_path, "cfg_a")
    with pytest.raises(FileFailure, match="exists already"):
        convert_file(PARITY / "cfg_d.pth", out, "derain")
    convert_file(PARITY / "cfg_d.pth", out, "derain", overwrite=True)
    assert read_spec(out).network["dual_pixel"] is True


def test_an_output_that_cannot_be_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is a \.safetensors file"):
        convert_file(PARITY / "cfg_a.pth", tmp_path / "out.pth", "derain")
    with pytest.raises(UsageError, match="there is no folder"):
        convert_file(PARITY / "cfg_a.pth", tmp_path / "none" / "out.safetensors", "derain")


def test_a_bare_ordered_dict_with_metadata_is_converted(tmp_path: Path) -> None:
    state = OrderedDict(weights())
    state._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    torch.save(state, tmp_path / "in.pth")
    assert convert_file(tmp_path / "in.pth", tmp_path / "out.safetensors", "derain").source.startswith("in.pth, sha256")


def test_a_network_among_the_modules_of_a_trainer_is_converted(tmp_path: Path) -> None:
    modules = {f"generator.module.{name}": tensor for name, tensor in weights().items()}
    modules |= {"discriminator.conv.weight": torch.zeros(3, 3), "loss_pl.mean": torch.zeros(3)}
    torch.save({"state_dict": modules, "epoch": 3}, tmp_path / "last.ckpt")
    spec = convert_file(tmp_path / "last.ckpt", tmp_path / "out.safetensors", "derain")
    assert spec.source.startswith("last.ckpt [state_dict.generator], sha256 ")
    assert safetensors.torch.load_file(tmp_path / "out.safetensors").keys() == weights().keys()


def test_a_trainer_s_file_of_a_related_network_is_named(tmp_path: Path) -> None:
    torch.save(
        {"state_dict": {"generator.refinement.0.ffn.dwconv.weight": torch.zeros(8, 1, 3, 3)}}, tmp_path / "a.ckpt"
    )
    assert "weights of Restormer" in refusal(tmp_path / "a.ckpt", tmp_path / "out.safetensors")


def test_whole_numbers_are_not_taken_for_weights(tmp_path: Path) -> None:
    state = weights()
    state["output.weight"] = state["output.weight"].long()
    torch.save(state, tmp_path / "in.pth")
    message = refusal(tmp_path / "in.pth", tmp_path / "out.safetensors")
    assert "the weights do not fit the network: 'output.weight' of type int64" in message


def test_a_method_that_nearly_knows_a_file_does_not_hide_one_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def nearly(shapes: object, name: str) -> None:
        raise WeightsError(f"{name}: nearly")

    found = Recognised({}, {}, 1, {}, "https://example.org")
    states = [StateDict(weights(), "")]
    known = {"one": a_method("one", nearly), "two": a_method("two", lambda shapes, name: found)}
    monkeypatch.setattr(convert, "METHODS", known)
    assert convert._recognise(states, "f.pth") == (states[0], "two", found)
    monkeypatch.setattr(convert, "METHODS", {**known, "two": a_method("two", lambda shapes, name: None)})
    with pytest.raises(WeightsError, match=r"f\.pth: nearly"):
        convert._recognise(states, "f.pth")


def test_a_method_may_rename_tensors_leave_some_out_and_keep_its_buffers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A method whose authors save one module twice, with a schedule and a counter beside it."""

    class Tiny(FakeNetwork):
        def __init__(self) -> None:
            super().__init__()
            del self.unused
            self.conv = torch.nn.Conv2d(3, 3, 1)
            self.register_buffer("count", torch.tensor(0))

        def evaluate(self, how: Any, planes: Tensor) -> Tensor:
            return self.conv(planes)

    rename = {f"{where}.{name}": f"conv.{name}" for where in ("net", "outer.net") for name in ("weight", "bias")}
    found = Recognised({}, {}, 2, {**rename, "count": "count"}, "https://example.org", stage="S1")
    method = a_method("tiny", lambda shapes, name: found, lambda spec: Tiny())
    monkeypatch.setitem(METHODS, "tiny", method)
    monkeypatch.setattr(convert, "METHODS", {"tiny": method})
    state = {"weight": torch.randn(3, 3, 1, 1).half(), "bias": torch.zeros(3)}
    both = {f"{where}.{name}": tensor for where in ("net", "outer.net") for name, tensor in state.items()}
    torch.save({**both, "schedule": torch.ones(4), "count": torch.tensor(7)}, tmp_path / "in.pth")
    spec = convert_file(tmp_path / "in.pth", tmp_path / "out.safetensors", "derain")
    assert (spec.method, spec.default_steps, spec.stage, spec.licence) == ("tiny", 2, "S1", "unknown")
    tensors = safetensors.torch.load_file(tmp_path / "out.safetensors")
    assert {name: tensor.dtype for name, tensor in tensors.items()} == {
        "conv.weight": torch.float32,
        "conv.bias": torch.float32,
        "count": torch.int64,
    }
    assert tensors["count"].item() == 7
