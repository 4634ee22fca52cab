"""Models and pictures that several rooms' tests share; everything is made in temporary folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from diffir_models import save_enlarging, save_filling
from numpy.typing import NDArray
from PIL import Image

from dfrestore.methods import build_network
from dfrestore.weights import ModelSpec, save_checkpoint

TINY = {"dim": 8, "blocks": (1, 1, 1, 1), "heads": (1, 1, 2, 2)}


def tiny_spec(**changes: object) -> ModelSpec:
    """A model of a few thousand weights that predicts the clean picture in two steps."""
    settings = {"task": "derain", "method": "c2f-dft", "network": TINY, "default_steps": 2}
    settings["sampling"] = {"prediction": "sample"}
    return ModelSpec(**{**settings, **changes})  # type: ignore[arg-type]


def save_model(path: Path, spec: ModelSpec, scale: float) -> Path:
    """A checkpoint with random weights; its last convolution times ``scale``: with 0, the input comes out."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(spec)
    with torch.no_grad():
        network.output.weight.mul_(scale)
    save_checkpoint(path, network.state_dict(), spec)
    return path


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded photos of training are not looked for in, nor left in, the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DFRESTORE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def identity_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A derain model whose result is exactly its input."""
    return save_model(tmp_path_factory.mktemp("model") / "identity.safetensors", tiny_spec(), 0.0)


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A derain model whose result depends on input, seed and steps."""
    return save_model(tmp_path_factory.mktemp("model") / "random.safetensors", tiny_spec(), 1.0)


@pytest.fixture
def four_threads() -> Iterator[None]:
    """torch computes with four threads, on any machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def pixels(width: int = 24, height: int = 16, seed: int = 0) -> NDArray[np.uint8]:
    """Noise, uint8 (height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def make_photo() -> Callable[..., Path]:
    """make_photo(path, seed=0, size=(24, 16)) writes a picture of noise, and the folders above it."""

    def make(path: Path, seed: int = 0, size: tuple[int, int] = (24, 16)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(*size, seed)).save(path)
        return path

    return make


@pytest.fixture
def photo_folder(tmp_path: Path, make_photo: Callable[..., Path]) -> Path:
    """``photos/`` with a.png, b.jpg, sub/a.png and sub/deep/c.tif."""
    folder = tmp_path / "photos"
    for seed, name in enumerate(("a.png", "b.jpg", "sub/a.png", "sub/deep/c.tif")):
        make_photo(folder / name, seed)
    return folder


@dataclass(frozen=True)
class Answer:
    """What a command printed and its exit code."""

    code: int
    out: str
    err: str

    @property
    def paths(self) -> list[str]:
        return self.out.splitlines()


@pytest.fixture
def dfrestore(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """dfrestore("derain", path, ...) runs the command line in this process."""
    from dfrestore.cli import main

    def run(*arguments: object) -> Answer:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return run


@pytest.fixture
def restore(dfrestore: Callable[..., Answer], identity_model: Path) -> Callable[..., Answer]:
    """restore(path, ...) runs ``dfrestore derain`` with the model that changes nothing."""

    def run(*arguments: object, model: Path = identity_model) -> Answer:
        return dfrestore("derain", *arguments, "--model", model, "--precision", "fp32")

    return run


@pytest.fixture(scope="session")
def filling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that paints something of its own over the whole picture."""
    return save_filling(tmp_path_factory.mktemp("model") / "filling.safetensors")


@pytest.fixture(scope="session")
def times2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that repeats each pixel two times two times."""
    return save_enlarging(tmp_path_factory.mktemp("model") / "times2.safetensors", 2)


@pytest.fixture(scope="session")
def times4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that repeats each pixel four times four times."""
    return save_enlarging(tmp_path_factory.mktemp("model") / "times4.safetensors", 4)


def command(dfrestore: Callable[..., Answer], task: str, model: Path) -> Callable[..., Answer]:
    """run(path, ...) runs ``dfrestore TASK`` with this model, on the CPU in fp32."""

    def run(*arguments: object, model: Path = model) -> Answer:
        return dfrestore(task, *arguments, "--model", model, "--precision", "fp32", "--device", "cpu")

    return run


@pytest.fixture
def derain(dfrestore: Callable[..., Answer], random_model: Path) -> Callable[..., Answer]:
    """derain(path, ...) with a model that changes every pixel, by sums over the whole picture."""
    return command(dfrestore, "derain", random_model)


@pytest.fixture
def inpaint(dfrestore: Callable[..., Answer], filling: Path) -> Callable[..., Answer]:
    """inpaint(path, ...) with a small model."""
    return command(dfrestore, "inpaint", filling)


@pytest.fixture
def upscale(dfrestore: Callable[..., Answer], times4: Path) -> Callable[..., Answer]:
    """upscale(path, ...) with a small model."""
    return command(dfrestore, "upscale", times4)
