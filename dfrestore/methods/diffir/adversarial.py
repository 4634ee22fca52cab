"""The losses of DiffIR's adversarial training, each one number for the batch. (Facts, section 5.)

Logits are a discriminator's, (B, 1, h, w): large where it takes the picture for real. A mask is (B, 1, H, W), 1 = hole.
For a generator's step the discriminator is :func:`~dfrestore.methods.diffir.critics.frozen`; for a discriminator's step
the restored picture is detached.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

R1_WEIGHT = 0.001  # LaMa's
KNOWN_WEIGHT, MISSING_WEIGHT = 10.0, 0.0


# -- super-resolution: the vanilla GAN ------------------------------------------------------------------------------


def vanilla_loss(logits: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy of the logits against 1 (``real``) or 0, mean over all of them."""
    target = torch.ones_like(logits) if real else torch.zeros_like(logits)
    return F.binary_cross_entropy_with_logits(logits, target)


def vanilla_generator_loss(fake: Tensor) -> Tensor:
    """fake: logits of restored pictures, which are to be taken for real."""
    return vanilla_loss(fake, real=True)


def vanilla_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """real, fake: logits of true and of restored pictures.

    A sum: to save memory, take the gradients of its two :func:`vanilla_loss` one after the other, the real one first.
    """
    return vanilla_loss(real, real=True) + vanilla_loss(fake, real=False)


# -- inpainting: LaMa's -----------------------------------------------------------------------------------------------


def non_saturating_generator_loss(fake: Tensor) -> Tensor:
    """Mean softplus(-D(fake)), fake the logits of restored pictures."""
    return F.softplus(-fake).mean()


def non_saturating_discriminator_loss(real: Tensor, fake: Tensor, mask: Tensor) -> Tensor:
    """Mean of softplus(-D(real)) and, of the restored pictures, of softplus(D(fake)) inside the hole.

    Outside of it they count as real: softplus(-D(fake)). The mask is resized to the logits, nearest neighbour. LaMa
    adds :data:`R1_WEIGHT` times :func:`r1_penalty`.
    """
    hole = F.interpolate(mask.to(fake.dtype), size=fake.shape[-2:], mode="nearest")
    restored = hole * F.softplus(fake) + (1 - hole) * F.softplus(-fake)
    return (F.softplus(-real) + restored).mean()


def r1_penalty(logits: Tensor, pictures: Tensor) -> Tensor:
    """Mean over the batch of the squared norm of d sum(logits) / d pictures, itself differentiable.

    (Mescheder et al., ICML 2018: R1 without its factor gamma / 2.)

    logits: those of the true pictures (B, 3, H, W), which must have required gradients before the discriminator saw
    them; else ValueError.
    """
    if not pictures.requires_grad:
        raise ValueError("R1 needs pictures that require gradients: call pictures.requires_grad_() first")
    (gradient,) = torch.autograd.grad(logits.sum(), pictures, create_graph=True)
    return gradient.square().flatten(1).sum(dim=1).mean()


def feature_matching_loss(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Mean over the activations of their mean squared differences; no gradient reaches ``real``."""
    distances = [(a - b.detach()).square().mean() for a, b in zip(fake, real, strict=True)]
    return torch.stack(distances).mean()


def masked_l1(
    restored: Tensor, target: Tensor, mask: Tensor, known: float = KNOWN_WEIGHT, missing: float = MISSING_WEIGHT
) -> Tensor:
    """Mean over all values of the absolute difference, times ``missing`` in the hole and ``known`` elsewhere.

    restored, target: (B, 3, H, W).
    """
    weight = missing * mask + known * (1 - mask)
    return (weight * (restored - target).abs()).mean()
