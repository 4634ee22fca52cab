from __future__ import annotations

from typing import Any

import pytest
import torch

from dfrestore.errors import WeightsError
from dfrestore.weights.containers import find_state_dicts, renamed, strip_prefix

A = {"conv.weight": torch.zeros(1), "conv.bias": torch.zeros(2)}
B = {"conv.weight": torch.ones(1), "conv.bias": torch.ones(2)}


def found(content: Any, key: str | None = None) -> tuple[str, bool]:
    """The key that was chosen, and whether its tensors are those of B."""
    state = find_state_dicts(content, "f.pth", key)[0]
    return state.key, bool(state.tensors["conv.weight"].item())


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (B, ""),
        ({"params": B}, "params"),
        ({"params": A, "params_ema": B}, "params_ema"),
        ({"params-ema": B, "params": A}, "params-ema"),
        ({"state_dict": B, "epoch": 3}, "state_dict"),
        ({"state_dict": A, "ema_helper": B}, "ema_helper"),
        ({"params": {"lr": 1}, "state_dict": B}, "state_dict"),
        ({"checkpoint": {"net": {"params": B}}}, "checkpoint.net.params"),
        ({"odd name": B, "optimizer": {"state": {0: {"exp_avg": torch.zeros(1)}}}}, "odd name"),
    ],
)
def test_the_weights_are_found_by_content_and_averaged_ones_first(content: Any, key: str) -> None:
    assert found(content) == (key, True)


def test_a_key_chooses() -> None:
    assert found({"params": A, "params_ema": B}, "params") == ("params", False)
    assert found({"a": {"b": A}, "params": B}, "a.b") == ("a.b", False)


def test_a_key_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(WeightsError, match=r"'parms': did you mean 'params'\? \(weights: params, state_dict\)"):
        find_state_dicts({"params": A, "state_dict": B}, "f.pth", "parms")


@pytest.mark.parametrize("content", [{}, [], 3, None, {"epoch": 1}, {"params": []}, {1: torch.zeros(1)}])
def test_a_file_without_weights_says_so(content: Any) -> None:
    with pytest.raises(WeightsError, match=r"f\.pth: holds no weights"):
        find_state_dicts(content, "f.pth")


def test_a_dict_that_holds_itself_ends() -> None:
    content: dict[str, Any] = {"params": A}
    content["again"] = content
    assert find_state_dicts(content, "f.pth")[0].key == "params"


@pytest.mark.parametrize("prefix", ["module.", "netG.", "generator.", "model.", "module.netG."])
def test_a_prefix_of_all_names_is_taken_off(prefix: str) -> None:
    assert strip_prefix({prefix + name: tensor for name, tensor in A.items()}) == A


def test_a_prefix_of_some_names_stays() -> None:
    some = {"module.conv.weight": torch.zeros(1), "conv.bias": torch.zeros(1)}
    assert strip_prefix(some) == some


def test_a_first_part_that_is_no_known_prefix_stays() -> None:
    assert strip_prefix(A) == A


def under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def test_all_that_could_be_meant_come_averaged_ones_first() -> None:
    keys = [state.key for state in find_state_dicts({"state_dict": A, "params": A, "params_ema": B}, "f.pth")]
    assert keys == ["params_ema", "params", "state_dict"]


@pytest.mark.parametrize("outer", ["", "module."])
def test_a_network_among_the_modules_of_a_trainer_comes_by_itself(outer: str) -> None:
    modules = {**under("generator", B), **under("discriminator", A), "loss_pl.weight": torch.zeros(1)}
    content = {"state_dict": {outer + name: tensor for name, tensor in modules.items()}, "hyper_parameters": {"lr": 1}}
    whole, part = find_state_dicts(content, "f.ckpt")
    assert (whole.key, len(whole.tensors)) == ("state_dict", 5)
    assert (part.key, part.tensors) == ("state_dict.generator", B)


def test_a_key_chooses_any_module_of_a_trainer() -> None:
    content = {"state_dict": {**under("generator", B), **under("generatorS1.module", A)}}
    (state,) = find_state_dicts(content, "f.ckpt", "state_dict.generatorS1")
    assert (state.key, state.tensors) == ("state_dict.generatorS1", A)
    (flat,) = find_state_dicts(content["state_dict"], "f.pth", "generator")
    assert flat.tensors == B
    with pytest.raises(WeightsError, match=r"under 'state_dict\.x'.*\(weights: state_dict, state_dict\.generator\)"):
        find_state_dicts(content, "f.ckpt", "state_dict.x")


def test_tensors_get_the_names_of_the_network_and_others_are_left_out() -> None:
    tensors = {"a": torch.ones(1), "b": torch.zeros(1), "schedule": torch.ones(4)}
    assert renamed(tensors, {"a": "x", "b": "y"}, "f.pth") == {"x": tensors["a"], "y": tensors["b"]}


def test_a_module_that_is_saved_twice_becomes_one_where_its_values_agree() -> None:
    tensors = {"net.w": torch.ones(2), "outer.net.w": torch.ones(2)}
    rename = {"net.w": "w", "outer.net.w": "w"}
    assert list(renamed(tensors, rename, "f.pth")) == ["w"]
    tensors["outer.net.w"] = torch.zeros(2)
    with pytest.raises(WeightsError, match=r"f\.pth: 'net\.w' and 'outer\.net\.w' should hold the same values"):
        renamed(tensors, rename, "f.pth")
