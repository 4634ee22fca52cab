"""The semantic code: ResNet-18 in torchvision's layout, and what stands in for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from reference.random_dtpm import tiny_dtpm, tiny_dtpm_spec
from safetensors.torch import save_file
from torch import Tensor

from dfrestore.errors import WeightsError
from dfrestore.methods import load_network
from dfrestore.methods.dtpm.semantic import ResNet18, SemanticBranch, load_resnet18, seen
from dfrestore.methods.dtpm.stages import Prior
from dfrestore.weights import save_checkpoint


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Random ones in torchvision's layout, with the classifier."""
    torch.manual_seed(0)
    state = {name: tensor.clone() for name, tensor in ResNet18().state_dict().items()}
    for name, tensor in state.items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    return {**state, "fc.weight": torch.randn(1000, 512), "fc.bias": torch.randn(1000)}


def saved(path: Path, state: dict[str, Tensor]) -> Path:
    if path.suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    return path


def test_it_has_torchvisions_names_and_size() -> None:
    network = ResNet18()
    state = network.state_dict()
    assert len(state) == 120  # 122 with the classifier's two
    assert sum(p.numel() for p in network.parameters()) == 11_176_512
    assert state["conv1.weight"].shape == (64, 3, 7, 7)
    assert state["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1)
    assert "layer1.0.downsample.0.weight" not in state
    assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 512)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("left_out", ["", "fc.", "num_batches_tracked"])
def test_files_are_read_with_and_without_what_is_not_needed(
    name: str, left_out: str, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    kept = {key: value for key, value in weights.items() if not left_out or left_out not in key}
    network = ResNet18()
    network.load_state_dict(load_resnet18(saved(tmp_path / name, kept)))
    assert torch.equal(network.layer4[1].conv2.weight, weights["layer4.1.conv2.weight"])  # type: ignore[index,union-attr]


@pytest.mark.parametrize("wrong", ["shape", "missing", "extra"])
def test_other_tensors_are_refused_by_name(wrong: str, weights: dict[str, Tensor], tmp_path: Path) -> None:
    state = dict(weights)
    if wrong == "shape":
        state["layer3.0.conv1.weight"] = torch.zeros(256, 64, 3, 3)
    elif wrong == "missing":
        del state["layer3.0.conv1.weight"]
    else:
        state["layer3.5.conv1.weight"] = torch.zeros(1)
    with pytest.raises(WeightsError, match=r"not the weights of torchvision's ResNet-18 .*layer3"):
        load_resnet18(saved(tmp_path / "weights.pth", state))


def test_a_code_does_not_depend_on_the_rest_of_the_batch() -> None:
    branch = SemanticBranch("resnet18", 8).train()
    pictures = torch.rand(3, 3, 40, 60) * 2 - 1
    with torch.no_grad():
        together, alone = branch(pictures), branch(pictures[1:2])
    assert torch.allclose(together[1:2], alone, atol=1e-5)


def test_no_gradient_reaches_the_picture() -> None:
    picture = torch.rand(1, 3, 32, 32, requires_grad=True)
    SemanticBranch("tiny", 8)(picture).sum().backward()
    assert picture.grad is None


def test_pictures_are_seen_as_imagenets() -> None:
    white = seen(torch.ones(1, 3, 50, 70))
    assert white.shape == (1, 3, 224, 224)
    assert white[0, :, 0, 0].tolist() == pytest.approx([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    assert torch.equal(seen(torch.full((1, 3, 8, 8), 3.0)), seen(torch.ones(1, 3, 8, 8)))  # clamped


def test_the_mode_decides_what_a_file_holds_and_another_is_refused(tmp_path: Path) -> None:
    network = tiny_dtpm(semantic="null")
    file = tmp_path / "prior.safetensors"
    save_checkpoint(file, network.state_dict(), tiny_dtpm_spec("texture", semantic="null"))
    load_network(file)
    save_checkpoint(file, network.state_dict(), tiny_dtpm_spec("texture", semantic="tiny"))
    with pytest.raises(WeightsError, match="do not fit the configuration"):
        load_network(file)


def test_a_prior_takes_its_encoder_from_the_users_file(weights: dict[str, Tensor], tmp_path: Path) -> None:
    file = saved(tmp_path / "resnet18.pth", weights)
    network: Any = tiny_dtpm(semantic="resnet18")
    Prior(resnet18=str(file)).prepare(network)
    assert torch.equal(network.semantic.encoder.conv1.weight, weights["conv1.weight"])
    with pytest.raises(ValueError, match="'resnet18', not 'none'"):
        Prior(resnet18=str(file)).prepare(tiny_dtpm(semantic="none"))
