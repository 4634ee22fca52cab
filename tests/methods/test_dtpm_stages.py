"""DTPM's stages: what they train, what they leave, and the losses of the paper's equations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from reference.random_dtpm import TASK, tiny_dtpm
from torch import Tensor

from dfrestore.methods.dtpm import DTPM, DTPMConfig, DTPMSampling
from dfrestore.methods.dtpm.stages import Adapt, Prior, Texture
from dfrestore.methods.method import Batch
from dfrestore.nn import Whole


def batch(network: DTPM, size: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(2)
    clean, degraded = (torch.rand((size, 3, 16, 16), generator=generator) for _ in range(2))
    return Batch(clean, degraded, slice(0, size), size)


def losses(stage: Texture, network: DTPM, of: Batch | None = None, seed: int = 3) -> dict[str, Tensor]:
    def call(*arguments: Any) -> Any:
        return network.evaluated(Whole(), *arguments)

    stage = stage.resolved(network.default_steps)
    return stage.losses(network, call, of or batch(network), torch.Generator().manual_seed(seed), {})


def trainable(stage: Texture, network: DTPM) -> list[str]:
    names = {id(p): name for name, p in network.named_parameters()}
    return [names[id(p)] for p in stage.trains(network)]


def untrained(**config: Any) -> DTPM:
    """With random weights, as the paper's stage II finds them: adapters and predictor are untouched."""
    network = tiny_dtpm(**config)
    fresh = DTPM(network.config, network.sampling)
    return _with(fresh, {n: p for n, p in network.state_dict().items() if n.startswith(("denoiser.", "semantic."))})


def _with(network: DTPM, state: dict[str, Tensor]) -> DTPM:
    network.load_state_dict({**network.state_dict(), **state})
    return network


def test_stage_one_trains_the_whole_prior_and_no_other_network() -> None:
    prior = DTPM(DTPMConfig())
    assert len(trainable(Prior(), prior)) == len(list(prior.parameters()))
    with pytest.raises(ValueError, match="neither predictor nor adapters"):
        Prior().prepare(tiny_dtpm(**TASK))


def test_the_pretrained_encoder_is_never_trained() -> None:
    names = trainable(Prior(), DTPM(DTPMConfig(semantic="resnet18")))
    assert not any("encoder.conv1" in name for name in names)
    assert "semantic.linear.weight" in names


def test_stage_two_trains_predictor_adapters_and_first_convolution() -> None:
    names = trainable(Adapt(), untrained(**TASK))
    assert {name.split(".")[0] for name in names} == {"denoiser", "predictor", "adapters"}
    assert {name for name in names if name.startswith("denoiser")} == {"denoiser.intro.weight", "denoiser.intro.bias"}


@pytest.mark.parametrize(
    ("trained", "begin", "never"),
    [
        ("encoder", ("denoiser.intro", "denoiser.encoder", "denoiser.middle", "denoiser.downs"), "denoiser.decoder"),
        ("decoder", ("denoiser.intro", "denoiser.decoder", "denoiser.ups", "denoiser.ending"), "denoiser.encoder"),
        ("both", ("denoiser.encoder", "denoiser.decoder", "denoiser.middle", "denoiser.ending"), "denoiser.embed"),
    ],
)
def test_the_papers_ablations_train_a_part_of_the_denoiser(trained: Any, begin: tuple[str, ...], never: str) -> None:
    names = trainable(Adapt(trained=trained), untrained(predictor=True))
    assert all(any(name.startswith(start) for name in names) for start in begin)
    assert not any(name.startswith(never) for name in names)


def test_without_adapters_something_else_must_be_named() -> None:
    with pytest.raises(ValueError, match="has no adapters"):
        Adapt().trains(untrained(predictor=True))
    assert len(trainable(Adapt(trained="all"), untrained())) == len(list(untrained().parameters()))


def test_all_but_the_ablation_without_a_prior_build_on_one() -> None:
    assert Adapt().needs() == ("denoiser.",)
    assert Adapt(trained="all").needs() == ()
    assert Prior().needs() == ()


@pytest.mark.parametrize("stage", [Adapt(), Adapt(objective="result", steps=(2,)), Adapt(aux_weight=1.0)], ids=str)
def test_a_step_changes_what_is_trained_and_no_bit_of_the_rest(stage: Adapt) -> None:
    network = untrained(**TASK)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.requires_grad_(False)
    trained = stage.trains(network)
    for parameter in trained:
        parameter.requires_grad_()
    names = set(trainable(stage, network))
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    for step in range(3):  # at first only the last layers of adapters and predictor have a gradient
        optimizer.zero_grad()
        losses(stage, network, seed=step)["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    after = network.state_dict()
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor) != (name in names), name


def test_the_predictor_has_a_gradient_through_the_denoiser_alone() -> None:
    network = untrained(**TASK).requires_grad_(True)
    losses(Adapt(aux_weight=0.0), network)["loss"].backward()  # type: ignore[no-untyped-call]
    gradient = network.predictor.ending.weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("prediction", ["epsilon", "sample"])
def test_the_loss_of_noise_is_equation_6(norm: Any, prediction: Any) -> None:
    network = tiny_dtpm(DTPMSampling(prediction=prediction, residual_scale=2.0), **TASK)
    given = batch(network)
    found = losses(Adapt(norm=norm), network, given)["loss"]

    draw = torch.Generator().manual_seed(3)
    y, clean = given.degraded * 2 - 1, given.clean * 2 - 1
    noise = torch.randn(clean.shape, generator=draw)
    t = torch.randint(1000, (4,), generator=draw)
    y_eps = network.predictor(y)
    bar = network.alpha_bars(y.device)[t][:, None, None, None]
    residual = 2 * (clean - y_eps)
    output = network(y, bar.sqrt() * residual + (1 - bar).sqrt() * noise, t.float(), y_eps)
    difference = output - (noise if prediction == "epsilon" else residual)
    expected = difference.abs().mean() if norm == "l1" else difference.square().mean()
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


def test_stage_one_learns_the_texture_that_smoothing_takes() -> None:
    """Without a predictor the residual is that of the photo and its smooth form. (Eq. 4.)"""
    network = tiny_dtpm(DTPMSampling(prediction="sample"))
    given = batch(network)
    perfect: Any = lambda y, noise, t, gamma, clean: (clean - y, y)  # noqa: E731
    found = Prior().losses(network, perfect, given, torch.Generator().manual_seed(0), {})
    assert float(found["loss"]) == 0


def test_a_continuous_gamma_lies_between_two_steps() -> None:
    network = tiny_dtpm(DTPMSampling(gamma="continuous"))
    seen: list[tuple[Tensor, Tensor]] = []

    def call(y: Tensor, noise: Tensor, told: Tensor, gamma: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        seen.append((told, gamma.flatten()))
        return noise, y

    given = Batch(torch.rand(64, 3, 4, 4), torch.rand(64, 3, 4, 4), slice(0, 64), 64)
    Prior().losses(network, call, given, torch.Generator().manual_seed(0), {})
    told, gamma = seen[0]
    bars = network.alpha_bars(gamma.device)
    t = torch.randint(1000, (64,), generator=_after_noise(given))
    before = torch.cat([torch.ones(1), bars])[t]
    assert bool(((gamma >= bars[t]) & (gamma <= before)).all())
    assert torch.allclose(told, 1000 * gamma.sqrt())
    assert len(gamma.unique()) == 64


def _after_noise(given: Batch) -> torch.Generator:
    draw = torch.Generator().manual_seed(0)
    torch.randn((given.size, *given.clean.shape[1:]), generator=draw)
    return draw


def test_few_step_training_compares_the_samplers_clean_estimate() -> None:
    network = tiny_dtpm(DTPMSampling(prediction="sample"), **TASK)
    given = batch(network)
    found = losses(Adapt(objective="result", steps=(1,), loss="l1"), network, given)["loss"]
    y, clean = given.degraded * 2 - 1, given.clean * 2 - 1
    draw = torch.Generator().manual_seed(3)
    noise = torch.randn(clean.shape, generator=draw)
    y_eps = network.predictor(y)
    restored = y_eps + network(y, noise, torch.full((4,), 999.0), y_eps).clamp(-2, 2)
    assert float(found) == pytest.approx(float((restored - clean).abs().mean()), rel=1e-4)


def test_parts_of_a_batch_draw_what_the_whole_batch_draws() -> None:
    network = tiny_dtpm(**TASK)
    given = batch(network)
    parts = [
        replace(given, clean=given.clean[s], degraded=given.degraded[s], part=s) for s in (slice(0, 1), slice(1, 4))
    ]
    whole = float(losses(Adapt(), network, given)["loss"])
    apart = [float(losses(Adapt(), network, part)["loss"]) for part in parts]
    assert (apart[0] + 3 * apart[1]) / 4 == pytest.approx(whole, rel=1e-4)


def test_the_predictors_psnr_is_logged_and_its_own_loss_is_optional() -> None:
    network = untrained(**TASK).requires_grad_(False)
    plain, helped = (losses(Adapt(aux_weight=weight), network) for weight in (0.0, 1.0))
    assert "auxiliary" not in plain
    given = batch(network)
    expected = -10 * torch.log10((given.degraded - given.clean).square().mean(dim=(1, 2, 3))).mean()
    assert float(plain["psnr_of_guess"]) == pytest.approx(float(expected), rel=1e-4)
    total = plain["loss"] + helped["auxiliary"]
    assert torch.allclose(helped["loss"], total)
