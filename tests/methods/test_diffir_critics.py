"""The discriminators of DiffIR: one against a vector of the authors' class, both against slow literal forms."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from dfrestore.methods.diffir.critics import PatchDiscriminator, UNetDiscriminator, frozen

DATA = Path(__file__).parents[1] / "data" / "parity_diffir"
VECTORS = load_file(DATA / "losses.safetensors")
STORED = {name.removeprefix("unetd_w:"): tensor for name, tensor in VECTORS.items() if name.startswith("unetd_w:")}


def seeded(seed: int = 0) -> None:
    torch.manual_seed(seed)


def pictures(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 1) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def the_authors_unet() -> UNetDiscriminator:
    network = UNetDiscriminator(features=8)
    network.load_state_dict(STORED, strict=True)
    return network.eval()


# -- the U-Net ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 2e-6)])
def test_the_logits_of_the_unet_are_the_authors(dtype: torch.dtype, tolerance: float) -> None:
    with torch.no_grad():
        got = the_authors_unet().to(dtype)(VECTORS["unetd_in"].to(dtype))
    expected = VECTORS["unetd_out_eval"].to(dtype)
    assert got.shape == expected.shape
    assert float((got - expected).abs().max() / expected.abs().max()) <= tolerance


def test_the_tensors_of_the_unet_have_the_authors_names() -> None:
    assert set(UNetDiscriminator(features=8).state_dict()) == set(STORED)


def test_the_unet_has_the_authors_parameters() -> None:
    assert sum(parameter.numel() for parameter in UNetDiscriminator().parameters()) == 4_376_897


def test_the_unet_judges_each_pixel_and_refuses_sides_that_do_not_halve_three_times() -> None:
    network = UNetDiscriminator(features=2)
    assert network(pictures(2, 3, 16, 40)).shape == (2, 1, 16, 40)
    with pytest.raises(ValueError, match="multiples of 8"):
        network(pictures(1, 3, 16, 20))


def test_training_brings_the_largest_singular_value_of_each_inner_convolution_to_1() -> None:
    seeded()
    network = UNetDiscriminator(features=4).train()
    for _ in range(200):
        network(pictures(1, 3, 8, 8))
    for n in range(1, 9):
        weight = getattr(network, f"conv{n}").weight.detach().flatten(1)
        assert float(torch.linalg.svdvals(weight)[0]) == pytest.approx(1, abs=1e-3)


def test_a_stored_unet_goes_on_as_it_would_have() -> None:
    seeded()
    network, x = UNetDiscriminator(features=4).train(), pictures(1, 3, 8, 8)
    network(x)
    other = UNetDiscriminator(features=4).train()
    other.load_state_dict({name: tensor.clone() for name, tensor in network.state_dict().items()}, strict=True)
    for _ in range(2):
        assert torch.equal(network(x), other(x))


def test_the_gradient_of_the_unet_for_its_picture_is_right() -> None:
    network = the_authors_unet().double()
    x = pictures(1, 3, 8, 8, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(network, (x,), eps=1e-7, atol=1e-5)


# -- patches --------------------------------------------------------------------------------------------------------


def test_the_patch_discriminator_has_the_authors_names_and_shapes() -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in PatchDiscriminator().state_dict().items()}
    widths = [3, 64, 128, 256, 512, 512, 1]
    expected: dict[str, tuple[int, ...]] = {}
    for n, (before, after) in enumerate(pairwise(widths)):
        expected |= {f"model{n}.0.weight": (after, before, 4, 4), f"model{n}.0.bias": (after,)}
        if 0 < n < 5:
            expected |= {f"model{n}.1.{part}": (after,) for part in ("weight", "bias", "running_mean", "running_var")}
            expected[f"model{n}.1.num_batches_tracked"] = ()
    assert shapes == expected


def test_the_patch_discriminator_returns_logits_and_what_came_before_them() -> None:
    logits, activations = PatchDiscriminator(features=2)(pictures(2, 3, 256, 256))
    assert logits.shape == (2, 1, 19, 19)
    assert [tuple(x.shape[1:]) for x in activations] == [
        (2, 129, 129), (4, 65, 65), (8, 33, 33), (16, 17, 17), (32, 18, 18),
    ]  # fmt: skip


def literal_patches(state: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """Each layer written out; batch norms with the statistics of the batch."""
    found = []
    for n, stride in enumerate((2, 2, 2, 2, 1, 1)):
        x = F.conv2d(F.pad(x, (2, 2, 2, 2)), state[f"model{n}.0.weight"], stride=stride)
        x = x + state[f"model{n}.0.bias"][:, None, None]
        if 0 < n < 5:
            mean = x.mean((0, 2, 3), keepdim=True)
            variance = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True)
            gain, bias = (state[f"model{n}.1.{part}"][:, None, None] for part in ("weight", "bias"))
            x = (x - mean) / (variance + 1e-5) ** 0.5 * gain + bias
        if n < 5:
            x = torch.where(x > 0, x, 0.2 * x)
        found.append(x)
    return found


def test_the_patch_discriminator_computes_what_its_layers_say() -> None:
    seeded()
    network, x = PatchDiscriminator(features=4).double().train(), pictures(2, 3, 40, 56, dtype=torch.float64)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    *activations, logits = literal_patches(dict(network.state_dict()), x)
    got, found = network(x)
    for one, other in zip([got, *found], [logits, *activations], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


# -- both -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [UNetDiscriminator, PatchDiscriminator])
def test_weights_are_drawn_as_pytorch_does(make: type[nn.Module]) -> None:
    seeded()
    network = make()
    for name, parameter in network.named_parameters():
        tensor = parameter.detach()
        if tensor.dim() == 4:
            bound = tensor[0].numel() ** -0.5
            assert float(tensor.abs().max()) <= bound, name
            assert float(tensor.std()) == pytest.approx(bound / 3**0.5, rel=0.1), name  # uniform
        elif ".1." in name:
            assert torch.equal(tensor, torch.full_like(tensor, 1.0 if name.endswith("weight") else 0.0)), name


@pytest.mark.parametrize("make", [UNetDiscriminator, PatchDiscriminator])
def test_the_same_seed_gives_the_same_weights(make: type[nn.Module]) -> None:
    found = []
    for _ in range(2):
        seeded(3)
        found.append(make(features=2).state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_frozen_discriminator_has_gradients_for_its_input_alone() -> None:
    network, x = UNetDiscriminator(features=2), pictures(1, 3, 8, 8).requires_grad_()
    network.conv0.bias.requires_grad_(False)
    with frozen(network):
        loss = network(x).sum()
    loss.backward()
    assert x.grad is not None
    assert bool(x.grad.any())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert [name for name, parameter in network.named_parameters() if not parameter.requires_grad] == ["conv0.bias"]


def test_a_failure_does_not_leave_a_discriminator_frozen() -> None:
    network = PatchDiscriminator(features=2)
    with pytest.raises(RuntimeError), frozen(network):
        network(pictures(1, 4, 16, 16))
    assert all(parameter.requires_grad for parameter in network.parameters())
