"""A method's buffers, through a checkpoint: those that are stored, and those that are computed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from reference.fake_network import FakeNetwork

from dfrestore.methods import METHODS, load_network
from dfrestore.methods.method import Method
from dfrestore.weights import ModelSpec, save_checkpoint


class WithBuffers(FakeNetwork):
    """A counter that is stored, and a table that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.tensor(0))
        self.register_buffer("table", torch.arange(4.0), persistent=False)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(METHODS, "fake", Method("fake", lambda spec: WithBuffers(), lambda shapes, name: None, (), ""))
    tensors = {"unused": torch.ones(1).bfloat16(), "count": torch.tensor(7)}
    save_checkpoint(tmp_path / "m.safetensors", tensors, ModelSpec("derain", "fake", {}))
    return tmp_path / "m.safetensors"


def test_a_stored_buffer_of_whole_numbers_keeps_its_type_and_weights_become_float32(checkpoint: Path) -> None:
    network, _ = load_network(checkpoint)
    assert (network.count.dtype, network.count.item()) == (torch.int64, 7)
    assert (network.unused.dtype, network.unused.item()) == (torch.float32, 1)


def test_a_buffer_that_is_not_stored_is_computed_without_a_draw(checkpoint: Path) -> None:
    state = torch.get_rng_state()
    network, _ = load_network(checkpoint)
    assert torch.equal(network.table, torch.arange(4.0))
    assert torch.equal(torch.get_rng_state(), state)
