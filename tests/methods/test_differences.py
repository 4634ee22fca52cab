"""What is said where a file's tensors are not the network's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from reference.random_network import random_network

from dfrestore.errors import WeightsError
from dfrestore.methods import load_network
from dfrestore.methods.differences import compare_shapes, compare_tensors, in_short
from dfrestore.weights import save_checkpoint


def test_equal_names_and_shapes_do_not_differ() -> None:
    assert compare_shapes({"a": (1, 2), "b": ()}, {"b": (), "a": (1, 2)}) == []


def test_shapes_missing_and_unexpected_tensors_are_each_named() -> None:
    found = compare_shapes({"a": (1,), "c": (3,)}, {"a": (2,), "b": ()})
    assert found == ["'a' [1] instead of [2]", "'b' missing", "'c' [3] unexpected"]


def test_a_whole_number_where_floating_point_belongs_is_named() -> None:
    weight = torch.zeros(2)
    assert compare_tensors({"a": weight.long()}, {"a": weight}) == ["'a' of type int64"]
    assert compare_tensors({"a": weight}, {"a": weight.bool()}) == ["'a' of type float32"]
    assert compare_tensors({"a": weight.half()}, {"a": weight}) == []


def test_long_lists_are_cut() -> None:
    assert in_short(["a", "b", "c"]) == "a, b, c"
    assert in_short(["a", "b", "c", "d", "e"]) == "a, b, c, and 2 more"


def test_a_file_with_whole_numbers_for_weights_is_one_line(tmp_path: Path) -> None:
    network, spec = random_network()
    tensors = network.state_dict()
    tensors["output.weight"] = tensors["output.weight"].long()
    save_checkpoint(tmp_path / "m.safetensors", tensors, spec)
    with pytest.raises(WeightsError, match=r"do not fit .*: 'output\.weight' of type int64$"):
        load_network(tmp_path / "m.safetensors")
