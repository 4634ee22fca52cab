"""LPIPS and DISTS against torchmetrics' own code, on backbones with random weights.

The published weights of AlexNet and VGG-16 are hundreds of megabytes and are not fetched here: what they add to these
tests is the numbers of the papers, not another path through the code.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dfrestore.errors import StartError
from dfrestore.metrics import perceptual
from dfrestore.metrics.perceptual import ALEX, VGG, load_dists, load_lpips

try:
    import torchmetrics.functional.image.dists as their_dists
    import torchmetrics.functional.image.lpips as their_lpips
except ImportError:
    pytest.skip("torchmetrics is not installed: pip install torchmetrics", allow_module_level=True)


def alexnet() -> nn.Sequential:
    """``features`` of torchvision's AlexNet."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip


def vgg16() -> nn.Sequential:
    """``features`` of torchvision's VGG-16."""
    layers: list[nn.Module] = []
    channels = 3
    for wide, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(channels, wide, 3, padding=1), nn.ReLU()]
            channels = wide
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, nn.Sequential]]:
    """A TORCH_HOME with both backbones of random weights, and the same as modules."""
    home = tmp_path_factory.mktemp("torch")
    (home / "hub" / "checkpoints").mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        nets = {"alexnet": alexnet(), "vgg16": vgg16()}
    for net, backbone in (("alexnet", ALEX), ("vgg16", VGG)):
        state = {f"features.{name}": value for name, value in nets[net].state_dict().items()}
        torch.save(state, home / "hub" / "checkpoints" / backbone.file)
    return home, nets


@pytest.fixture
def nets(backbones: tuple[Path, dict[str, nn.Sequential]], monkeypatch: pytest.MonkeyPatch) -> dict[str, nn.Sequential]:
    monkeypatch.setenv("TORCH_HOME", str(backbones[0]))
    return backbones[1]


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A TORCH_HOME without weights, and a place to download from that is as empty. Returns the latter."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(perceptual, "_DOWNLOADS", (tmp_path / "server").as_uri() + "/")
    (tmp_path / "server").mkdir()
    return tmp_path / "server"


def pair(height: int = 40, width: int = 56) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    clean = rng.integers(0, 256, (height, width, 3))
    noisy = np.clip(clean + rng.normal(0, 30, clean.shape), 0, 255)
    return clean.astype(np.uint8), noisy.astype(np.uint8)


def batch(picture: np.ndarray) -> torch.Tensor:
    """(1, 3, H, W) in [0, 255]."""
    return torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()).float()


@pytest.mark.parametrize("net", ["alex", "vgg"])
@pytest.mark.parametrize("size", [(31, 47), (64, 64), (90, 131)])
def test_lpips_is_that_of_torchmetrics_fed_with_values_from_minus_1_to_1(
    nets: dict[str, nn.Sequential], net: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(their_lpips, "_get_tv_model_features", lambda name, pretrained: nets[name])
    a, b = pair(*size)
    theirs = their_lpips.learned_perceptual_image_patch_similarity(
        batch(a) / 127.5 - 1, batch(b) / 127.5 - 1, net_type=net
    )
    assert load_lpips(net)(a, b) == pytest.approx(float(theirs.detach()), rel=1e-5)


@pytest.mark.parametrize("size", [(31, 47), (64, 64)])
def test_dists_is_that_of_torchmetrics_fed_with_values_from_0_to_1(
    nets: dict[str, nn.Sequential], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(their_dists, "_TORCHVISION_AVAILABLE", True)
    monkeypatch.setattr(their_dists, "VGG16_Weights", types.SimpleNamespace(DEFAULT=None), raising=False)
    monkeypatch.setattr(
        their_dists, "vgg16", lambda weights: types.SimpleNamespace(features=nets["vgg16"]), raising=False
    )
    a, b = pair(*size)
    theirs = their_dists.deep_image_structure_and_texture_similarity(batch(a) / 255, batch(b) / 255)
    assert load_dists()(a, b) == pytest.approx(float(theirs.detach()), abs=1e-6)


def test_identical_pictures_have_distance_0(nets: dict[str, nn.Sequential]) -> None:
    picture, _ = pair()
    assert load_lpips("alex")(picture, picture) == 0
    assert load_lpips("vgg")(picture, picture) == 0
    assert load_dists()(picture, picture) == pytest.approx(0, abs=1e-6)


def test_pictures_smaller_than_the_backbone_takes_are_refused(nets: dict[str, nn.Sequential]) -> None:
    with pytest.raises(ValueError, match="LPIPS needs at least 31x31 pixels, not 56x30"):
        load_lpips()(*pair(30, 56))
    with pytest.raises(ValueError, match="DISTS needs at least 16x16"):
        load_dists()(*pair(15, 56))


def test_without_the_extra_the_line_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    for load in (load_lpips, load_dists):
        with pytest.raises(StartError, match=r"not installed: pip install torchmetrics"):
            load()


def test_missing_weights_are_named_with_the_place_where_they_belong(empty_home: Path) -> None:
    with pytest.raises(StartError) as caught:
        load_lpips()
    line = str(caught.value)
    assert str(empty_home.parent / "home" / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth") in line
    assert "cannot be downloaded" in line
    assert "TORCH_HOME" in line


def test_a_download_of_other_content_is_refused_and_not_kept(empty_home: Path) -> None:
    (empty_home / ALEX.file).write_bytes(b"something else")
    with pytest.raises(StartError, match="invalid hash"):
        load_lpips()
    assert not list((empty_home.parent / "home" / "hub" / "checkpoints").iterdir())


def test_damaged_weights_are_told_in_one_line(empty_home: Path) -> None:
    place = empty_home.parent / "home" / "hub" / "checkpoints" / VGG.file
    place.parent.mkdir(parents=True)
    place.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(StartError, match="damaged or cut off; remove it"):
        load_dists()
    torch.save({"something": torch.zeros(1)}, place)
    with pytest.raises(StartError, match="holds no weights of VGG-16"):
        load_dists()
