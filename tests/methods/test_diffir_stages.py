"""DiffIR's stages against losses, gradients and Adam steps that were made with the authors' classes."""

from __future__ import annotations

import json
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from reference.random_diffir import TINY, filled
from reference.random_features import vgg19_weights
from safetensors.torch import load_file
from test_diffir import configuration
from torch import Tensor, nn

from dfrestore.methods.diffir import DiffIR, DiffIRConfig, DiffIRTraining, IPRSampling
from dfrestore.methods.diffir.adversarial import masked_l1
from dfrestore.methods.diffir.objective import CriticConfig, Objective, PerceptualConfig
from dfrestore.methods.diffir.stages import GAN, S1, Joint, Warm
from dfrestore.methods.method import MADE, Batch, Stage, restored_at_once
from dfrestore.nn import Literal, Whole
from dfrestore.nn.fill import filled_smoothly

DATA = Path(__file__).parents[1] / "data" / "parity_diffir"
WHOLE = Whole(torch.float32)
PLAIN = torch.Generator()


@cache
def vectors() -> tuple[dict[str, Tensor], dict[str, dict[str, float]]]:
    numbers = json.loads((DATA / "train_deblur_small.json").read_text())
    return load_file(DATA / "train_deblur_small.safetensors"), numbers


def training_network() -> DiffIRTraining:
    return filled(DiffIRTraining(configuration("deblur_small"))).requires_grad_()


def authors_batch() -> Batch:
    tensors, _ = vectors()
    return Batch(tensors["gt"], tensors["lq"], slice(0, 2), 2)


def computed(network: DiffIRTraining, stage: Stage) -> dict[str, Tensor]:
    """The stage's losses with the authors' noise, and gradients in what it trains."""
    eps = vectors()[0]["eps"]

    def call(lq: Tensor, gt: Tensor | None, *noise: Tensor, **options: Any) -> Any:
        return network.evaluated(WHOLE, lq, gt, *[eps for _ in noise], **options)

    network.zero_grad()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    for parameter in stage.trains(network):
        parameter.requires_grad_()
    losses = stage.losses(network, call, authors_batch(), PLAIN, {})
    losses["loss"].backward()
    return losses


def norm(*modules: nn.Module) -> float:
    gradients = [p.grad for module in modules for p in module.parameters() if p.grad is not None]
    return float(torch.stack([gradient.norm() for gradient in gradients]).norm())


def assert_close(found: Tensor | None, expected: Tensor, tolerance: float) -> None:
    assert found is not None
    assert ((found - expected).abs().max() / expected.abs().max()).item() < tolerance


def test_s1_has_the_authors_loss_and_gradients() -> None:
    network, (tensors, numbers) = training_network(), vectors()
    expected = numbers["stage1"]
    assert computed(network, S1())["loss"].item() == pytest.approx(expected["L_rec"], rel=1e-5)
    assert norm(network.G) == pytest.approx(expected["grad_norm_G"], rel=1e-4)
    assert norm(network.E) == pytest.approx(expected["grad_norm_E"], rel=1e-4)
    assert_close(network.G.patch_embed.proj.weight.grad, tensors["s1_grad_patch_embed"], 1e-4)
    assert_close(network.E.mlp[0].bias.grad, tensors["s1_grad_mlp0_bias"], 1e-4)


def test_the_diffusion_alone_has_the_authors_loss_and_gradients() -> None:
    network, (_, numbers) = training_network(), vectors()
    expected = numbers["stage2_warm"]
    assert computed(network, Warm())["loss"].item() == pytest.approx(expected["L_diff"], rel=1e-5)
    assert norm(network.condition) == pytest.approx(expected["grad_norm_condition"], rel=1e-4)
    assert norm(network.denoise) == pytest.approx(expected["grad_norm_denoise"], rel=1e-4)
    assert all(p.grad is None for module in (network.G, network.E) for p in module.parameters())


def test_three_joint_steps_are_the_authors() -> None:
    network, (tensors, numbers) = training_network(), vectors()
    stage = Joint(prior_weight=1.0)
    optimiser = torch.optim.Adam(stage.trains(network), lr=2e-4, betas=(0.9, 0.99))
    for step, tolerance in enumerate((1e-4, 1e-4, 1e-3)):
        expected = numbers[f"stage2_joint_iter{step}"]
        losses = computed(network, stage)
        loose = 1e-5 if step == 0 else tolerance
        assert losses["reconstruction"].item() == pytest.approx(expected["L_rec"], rel=loose)
        assert losses["prior"].item() == pytest.approx(expected["L_diff"], rel=loose)
        assert losses["loss"].item() == pytest.approx(expected["L_all"], rel=loose)
        for name in ("G", "condition", "denoise"):
            assert norm(getattr(network, name)) == pytest.approx(expected[f"grad_norm_{name}"], rel=tolerance)
        if step == 0:
            assert_close(network.G.patch_embed.proj.weight.grad, tensors["s2_grad_patch_embed"], 1e-4)
            assert_close(network.denoise.resmlp[0].bias.grad, tensors["s2_grad_denoise_0_bias"], 1e-4)
            kernel = network.G.latent[0].ffn.kernel[0].weight.grad
            assert_close(kernel[:8], tensors["s2_grad_latent0_ffn_kernel"], 1e-4)
        optimiser.step()
    assert all(p.grad is None for p in network.E.parameters())


def test_the_prior_of_each_step_is_the_authors() -> None:
    network, (tensors, _) = training_network(), vectors()
    with torch.no_grad():
        prior = network.E.walk(WHOLE, [(tensors["lq"], 4), (tensors["gt"], 4)])
        begin = network.diffusion.diffused(prior, tensors["eps"])
        condition = network.condition.walk(WHOLE, [(tensors["lq"], 4)])
        states = network.diffusion.reverse(network.denoise, begin, condition)
    assert_close(prior, tensors["ipr_s1"], 1e-5)
    for i, state in enumerate(states):
        assert_close(state, tensors[f"pred_ipr_list_{i}"], 1e-5)


def tiny_training(**config: Any) -> DiffIRTraining:
    return filled(DiffIRTraining(DiffIRConfig(**{**TINY, **config}))).requires_grad_()


def batch_of(network: DiffIRTraining, size: int = 3) -> Batch:
    draw = torch.Generator().manual_seed(1)
    side, scale = 8 * network.config.stem * 2, network.scale
    clean = torch.rand((size, 3, side * scale, side * scale), generator=draw)
    degraded = torch.rand((size, 3, side, side), generator=draw)
    if network.mask:
        hole = (torch.rand((size, 1, side, side), generator=draw) > 0.5).float()
        degraded = torch.cat([clean * (1 - hole), hole], dim=1)
    return Batch(clean, degraded, slice(0, size), size)


@pytest.mark.parametrize("stage", [S1(), Warm(), Joint(prior_weight=1.0), Joint()], ids=lambda stage: stage.name)
@pytest.mark.parametrize("config", [{}, {"scale": 4}, {"mask": True, "stem": 2, "residual": False}])
def test_a_batch_in_parts_has_the_loss_of_the_whole(stage: Any, config: dict[str, Any]) -> None:
    network = tiny_training(**config)
    batch = batch_of(network)
    call = partial(network.evaluated, WHOLE)

    def loss(part: slice) -> float:
        own = Batch(batch.clean[part], batch.degraded[part], part, batch.size)
        return stage.losses(network, call, own, torch.Generator().manual_seed(5), {})["loss"].item()

    parts = [loss(slice(i, i + 1)) for i in range(batch.size)]
    assert sum(parts) / len(parts) == pytest.approx(loss(slice(0, batch.size)), rel=1e-5)


def test_without_the_ground_truth_the_diffusion_starts_from_noise_alone() -> None:
    network = tiny_training()
    batch = batch_of(network)
    noise = torch.randn((3, network.config.code), generator=torch.Generator().manual_seed(2))
    picture, _, prior = network.evaluated(WHOLE, batch.degraded, None, noise)
    assert prior is None
    assert_close(picture, network.walk(WHOLE, batch.degraded, noise), 1e-5)


def test_one_step_of_the_diffusion_may_be_trained_alone() -> None:
    network = tiny_training()
    batch = batch_of(network)
    seen: list[int] = []

    def call(*pictures: Any, step: int, **options: Any) -> Any:
        seen.append(step)
        return network.evaluated(WHOLE, *pictures, step=step, **options)

    stage = Joint(prior_weight=1.0, unroll="one")
    for seed in range(12):
        stage.losses(network, call, batch, torch.Generator().manual_seed(seed), {})
    assert set(seen) == {0, 1, 2, 3}
    with pytest.raises(ValueError, match="prior_weight"):
        Joint(unroll="one")


def test_without_diffusion_the_prior_is_the_condition_whatever_the_noise() -> None:
    network = filled(DiffIR(DiffIRConfig(**TINY), IPRSampling(1, diffusion=False)))
    lq = torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    first, second = (network(lq, torch.full((1, network.config.code), value)) for value in (0.0, 3.0))
    assert torch.equal(first, second)
    assert torch.equal(first, network.G(lq, network.conditioned(Literal(), lq)))


@pytest.mark.parametrize("how", [Literal(), WHOLE], ids=["forward", "walk"])
def test_holes_may_be_given_to_the_network_filled_smoothly(how: Any) -> None:
    network = filled(DiffIR(DiffIRConfig(**TINY, mask=True, prefill=True)))
    plain = filled(DiffIR(DiffIRConfig(**TINY, mask=True)))
    planes = torch.rand((4, 16, 16), generator=torch.Generator().manual_seed(0))
    planes[3] = (planes[3] > 0.7).float()
    planes[:3] *= 1 - planes[3:]
    smooth = torch.cat([filled_smoothly(planes[None, :3], planes[None, 3:])[0], planes[3:]])
    noise = torch.randn((1, network.config.code), generator=torch.Generator().manual_seed(1))
    expected = plain(smooth[None], noise)
    found = network(planes[None], noise) if isinstance(how, Literal) else network.walk(how, planes[None], noise)
    assert_close(found, expected, 1e-5)
    restored = restored_at_once(network, planes, 4)
    assert restored.shape == (3, 16, 16)
    with pytest.raises(ValueError, match="prefill"):
        DiffIRConfig(prefill=True)


@pytest.mark.parametrize("loss", ["l1", "psnr"])
def test_what_is_known_does_not_count_where_holes_alone_do(loss: Any) -> None:
    network = tiny_training(mask=True)
    batch = batch_of(network)
    stage, hole = Objective(loss=loss), batch.degraded[:, 3:]
    picture = torch.rand_like(batch.clean)
    changed = picture + (1 - hole) * 0.3
    assert stage.distance(changed, batch).item() == pytest.approx(stage.distance(picture, batch).item(), rel=1e-6)
    assert stage.distance(picture + hole * 0.3, batch).item() != pytest.approx(stage.distance(picture, batch).item())


def test_the_known_region_has_lamas_loss() -> None:
    network = tiny_training(mask=True)
    batch = batch_of(network)
    picture = torch.rand_like(batch.clean)
    expected = masked_l1(picture, batch.clean, batch.degraded[:, 3:])
    assert Objective(region="known").distance(picture, batch).item() == pytest.approx(expected.item(), rel=1e-6)


def adversarial(kind: Any, **settings: Any) -> Objective:
    return Objective(critic=CriticConfig(kind, features=4, **settings))


@pytest.mark.parametrize("kind", ["unet", "patch"])
def test_a_step_of_g_leaves_the_discriminator_without_gradients(kind: Any) -> None:
    network = tiny_training(mask=kind == "patch")
    batch = batch_of(network)
    stage = adversarial(kind, matching=100.0 if kind == "patch" else 0.0)
    extras = stage.extras(network)
    picture = torch.rand_like(batch.clean).requires_grad_()
    losses = stage.total(picture, batch, extras)
    losses["loss"].backward()
    assert picture.grad is not None
    assert all(p.grad is None for p in extras["critic"].parameters())
    assert losses["loss"].item() == pytest.approx(
        sum(value.item() for name, value in losses.items() if name not in ("loss", MADE)), rel=1e-5
    )


@pytest.mark.parametrize("kind", ["unet", "patch"])
def test_a_discriminator_learns_to_tell_made_pictures_from_true_ones(kind: Any) -> None:
    network = tiny_training()
    batch = batch_of(network)
    stage = adversarial(kind)
    extras = stage.extras(network)
    made = torch.zeros_like(batch.clean)
    optimiser = torch.optim.Adam(stage.critic_parameters(extras), lr=1e-2)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = stage.critic_loss(batch, made, extras)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_perceptual_losses_are_added_with_their_weights(tmp_path: Path) -> None:
    torch.save(vgg19_weights(), tmp_path / "vgg.pth")
    network = tiny_training()
    batch = batch_of(network)
    files = [PerceptualConfig(str(tmp_path / "vgg.pth"), weight) for weight in (1.0, 3.0)]
    once, thrice = (
        stage.total(batch.degraded, batch, stage.extras(network))["perceptual"].item()
        for stage in (Objective(perceptual=file) for file in files)
    )
    assert once > 0
    assert thrice == pytest.approx(3 * once, rel=1e-5)


def test_a_gan_without_a_perceptual_loss_says_so() -> None:
    (line,) = GAN().remarks()
    assert line.startswith("no perceptual loss in the stage gan: ")
    assert GAN(perceptual=PerceptualConfig(vgg="vgg.pth")).remarks() == ()
    assert Joint().remarks() == ()


def test_a_gan_keeps_its_last_state_and_not_the_one_of_highest_psnr() -> None:
    assert GAN().improved(20.0, best=30.0)
    assert not Joint().improved(20.0, best=30.0)


@pytest.mark.parametrize(
    "settings", [{"kind": "unet", "matching": 1.0}, {"kind": "unet", "lr": -1.0}, {"kind": "patch", "features": 0}]
)
def test_impossible_discriminators_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="critic"):
        CriticConfig(**settings)


@pytest.mark.parametrize(("region", "loss"), [("known", "psnr"), ("hole", "ssim")])
def test_regions_and_losses_that_do_not_go_together_are_refused(region: Any, loss: Any) -> None:
    with pytest.raises(ValueError, match=f"region '{region}'"):
        Joint(region=region, loss=loss)
