from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hub_server import Hub, served

from dfrestore.weights import ModelSpec, save_checkpoint


@pytest.fixture
def spec() -> ModelSpec:
    return ModelSpec("derain", "c2f-dft", {"dim": 4, "blocks": [1, 1, 1, 1]}, patch=64, licence="CC0-1.0")


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "b.weight": torch.randn((3, 2), generator=generator),
        "a.weight": torch.randn(7, generator=generator).to(torch.bfloat16),
        "scalar": torch.tensor(0.5),
    }


@pytest.fixture
def checkpoint(tmp_path: Path, tensors: dict[str, torch.Tensor], spec: ModelSpec) -> Path:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, tensors, spec)
    return path


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration folder of the user."""
    folder = tmp_path / "config"
    folder.mkdir()
    monkeypatch.setenv("DFRESTORE_CONFIG_DIR", str(folder))
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one repository, the client pointed at it, and an empty cache (``tmp_path / "cache"``)."""
    yield from served(Hub(), tmp_path / "cache", monkeypatch)
