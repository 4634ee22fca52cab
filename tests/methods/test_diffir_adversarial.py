"""The losses of DiffIR's adversarial training, against numbers of the authors' classes and literal forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from dfrestore.methods.diffir.adversarial import (
    R1_WEIGHT,
    feature_matching_loss,
    masked_l1,
    non_saturating_discriminator_loss,
    non_saturating_generator_loss,
    r1_penalty,
    vanilla_discriminator_loss,
    vanilla_generator_loss,
)
from dfrestore.methods.diffir.critics import PatchDiscriminator

DATA = Path(__file__).parents[1] / "data" / "parity_diffir"
VECTORS = load_file(DATA / "losses.safetensors")
EXPECTED = json.loads((DATA / "losses.json").read_text(encoding="utf-8"))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def near(loss: Tensor, expected: float) -> bool:
    return loss.detach().item() == pytest.approx(expected, rel=1e-5)


def the_authors_critic(pictures: Tensor) -> Tensor:
    return F.conv2d(pictures, VECTORS["dw"], VECTORS["db"], stride=4)


# -- the authors' numbers -------------------------------------------------------------------------------------------


def test_the_generator_of_inpainting_has_the_authors_loss() -> None:
    assert near(10 * non_saturating_generator_loss(VECTORS["fake"]), EXPECTED["generator_adv_weighted"])


def test_the_discriminator_of_inpainting_has_the_authors_loss() -> None:
    real = VECTORS["tgt"].clone().requires_grad_()
    logits = the_authors_critic(real)
    penalty = R1_WEIGHT * r1_penalty(logits, real)
    loss = non_saturating_discriminator_loss(logits, the_authors_critic(VECTORS["pred"]), VECTORS["mask"])
    assert near(penalty, EXPECTED["discriminator_gp_term_weighted"])
    assert near(loss + penalty, EXPECTED["discriminator_adv_total"])


def test_what_is_known_is_weighed_as_the_authors_do() -> None:
    loss = masked_l1(VECTORS["pred"], VECTORS["tgt"], VECTORS["mask"])
    assert near(loss, EXPECTED["masked_l1_known10_missing0"])


def test_features_are_matched_as_the_authors_do() -> None:
    fake, real = ([VECTORS[f"{kind}{n}"] for n in (0, 1)] for kind in ("ff", "rf"))
    assert near(feature_matching_loss(fake, real), EXPECTED["feature_matching_unweighted"])


# -- what they mean -------------------------------------------------------------------------------------------------


def test_the_vanilla_losses_are_minus_the_logarithms_of_probabilities() -> None:
    real, fake = drawn(2, 1, 4, 4), drawn(2, 1, 4, 4, seed=1)
    is_real, is_fake = 1 / (1 + (-real).exp()), 1 / (1 + fake.exp())
    taken_for_real = 1 / (1 + (-fake).exp())
    torch.testing.assert_close(vanilla_generator_loss(fake), -taken_for_real.log().mean())
    torch.testing.assert_close(vanilla_discriminator_loss(real, fake), -is_real.log().mean() - is_fake.log().mean())


@pytest.mark.parametrize("size", [-1e4, 1e4])
def test_losses_and_gradients_of_extreme_logits_are_finite(size: float) -> None:
    logits = torch.full((1, 1, 4, 4), size, requires_grad=True)
    mask = torch.ones(1, 1, 4, 4)
    for loss in (
        vanilla_generator_loss(logits),
        vanilla_discriminator_loss(logits, logits),
        non_saturating_generator_loss(logits),
        non_saturating_discriminator_loss(logits, logits, mask),
    ):
        (gradient,) = torch.autograd.grad(loss, logits)
        assert bool(loss.isfinite())
        assert bool(gradient.isfinite().all())


@pytest.mark.parametrize(("inside", "sign"), [(1.0, 1), (0.0, -1)])
def test_a_restored_picture_is_false_inside_the_hole_and_true_elsewhere(inside: float, sign: int) -> None:
    real, fake = drawn(2, 1, 4, 4), drawn(2, 1, 4, 4, seed=1)
    mask = torch.full((2, 1, 32, 32), inside)
    expected = (1 + (-real).exp()).log().mean() + (1 + (sign * fake).exp()).log().mean()
    torch.testing.assert_close(non_saturating_discriminator_loss(real, fake, mask), expected)


def test_a_logit_belongs_to_the_hole_where_the_nearest_pixel_does() -> None:
    fake, mask = drawn(1, 1, 3, 3), torch.zeros(1, 1, 7, 7)
    mask[0, 0, 2, 4] = 1  # 7 / 3 pixels a logit: the one in row 1, column 2 begins there
    terms = (1 + (-fake).exp()).log()
    terms[0, 0, 1, 2] = (1 + fake[0, 0, 1, 2].exp()).log()
    real = torch.full_like(fake, 1e4)
    torch.testing.assert_close(non_saturating_discriminator_loss(real, fake, mask), terms.mean())


def test_r1_of_a_linear_discriminator_is_the_squared_norm_of_its_weights() -> None:
    weight, pictures = drawn(1, 3, 8, 8), drawn(5, 3, 8, 8, seed=1).requires_grad_()
    torch.testing.assert_close(r1_penalty(F.conv2d(pictures, weight), pictures), weight.square().sum())


def test_r1_is_a_mean_over_pictures() -> None:
    pictures = drawn(3, 3, 4, 4).requires_grad_()
    penalty = r1_penalty(pictures.square().sum(dim=(1, 2, 3)) / 2, pictures)
    torch.testing.assert_close(penalty, pictures.square().sum(dim=(1, 2, 3)).mean())


def test_r1_has_the_right_gradients_for_the_weights_of_the_patch_discriminator() -> None:
    torch.manual_seed(0)
    critic, pictures = PatchDiscriminator(features=2, layers=2).double().train(), drawn(2, 3, 8, 8)
    names = ["model0.0.weight", "model1.1.weight", "model3.0.weight"]

    def penalty(*weights: Tensor) -> Tensor:
        real = pictures.clone().requires_grad_()
        return r1_penalty(functional_call(critic, dict(zip(names, weights, strict=True)), (real,))[0], real)

    own = dict(critic.named_parameters())
    weights = tuple(own[name].detach().clone().requires_grad_() for name in names)
    assert torch.autograd.gradcheck(penalty, weights, eps=1e-7, atol=1e-5)


def test_r1_of_pictures_whose_gradients_were_not_required_is_refused() -> None:
    pictures = drawn(1, 3, 8, 8)
    with pytest.raises(ValueError, match="requires_grad_"):
        r1_penalty(pictures.sum(), pictures)


def test_the_two_sides_of_a_mask_have_their_own_weights() -> None:
    restored, target, mask = drawn(1, 3, 4, 4), drawn(1, 3, 4, 4, seed=1), torch.zeros(1, 1, 4, 4)
    mask[..., :1] = 1
    apart = (restored - target).abs()
    expected = (2 * apart[..., 1:].sum() + 5 * apart[..., :1].sum()) / apart.numel()
    torch.testing.assert_close(masked_l1(restored, target, mask, known=2, missing=5), expected)


def test_matched_features_are_averaged_layer_by_layer_and_the_real_ones_have_no_gradient() -> None:
    shapes = ((1, 2, 8, 8), (1, 4, 2, 2))
    fake, real = ([drawn(*shape, seed=seed).requires_grad_() for shape in shapes] for seed in (0, 1))
    loss = feature_matching_loss(fake, real)
    torch.testing.assert_close(loss, sum(((a - b) ** 2).mean() for a, b in zip(fake, real, strict=True)) / 2)
    loss.backward()
    assert all(x.grad is not None for x in fake)
    assert all(x.grad is None for x in real)


def test_the_gradients_of_all_losses_are_right() -> None:
    a, b = drawn(2, 1, 4, 4).requires_grad_(), drawn(2, 1, 4, 4, seed=1).requires_grad_()
    mask = (drawn(2, 1, 8, 8, seed=2) > 0).double()
    check = torch.autograd.gradcheck
    assert check(vanilla_generator_loss, (a,))
    assert check(vanilla_discriminator_loss, (a, b))
    assert check(non_saturating_generator_loss, (a,))
    assert check(lambda real, fake: non_saturating_discriminator_loss(real, fake, mask), (a, b))
    assert check(lambda x: masked_l1(x, drawn(2, 1, 4, 4, seed=3), mask[..., ::2, ::2], missing=1), (a,))
    assert check(lambda x: feature_matching_loss([x], [b]), (a,))


# -- together -------------------------------------------------------------------------------------------------------


def test_a_discriminator_learns_to_tell_holes_that_are_filled_with_grey() -> None:
    torch.manual_seed(0)
    critic = PatchDiscriminator(features=4, layers=2)
    optimizer = torch.optim.Adam(critic.parameters(), lr=2e-3)
    mask = torch.zeros(4, 1, 32, 32)
    mask[..., 8:24] = 1
    for step in range(60):
        real = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(step)).requires_grad_()
        fake = (real * (1 - mask) + 0.5 * mask).detach()
        logits, (seen, _) = critic(real), critic(fake)
        loss = non_saturating_discriminator_loss(logits[0], seen, mask) + R1_WEIGHT * r1_penalty(logits[0], real)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    inside, outside = seen[..., seen.shape[-1] // 2].mean(), seen[..., 0].mean()
    assert loss.item() < 1.1  # at first: 2 log 2 = 1.386
    assert inside.item() < 0 < outside.item()
