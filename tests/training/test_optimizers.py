"""Muon for the matrices, AdamW for all else: which is which, that both learn, and that a run goes on bit for bit."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from reference.random_network import random_network
from tiny_runs import darken, smooth_photos, tiny
from torch.utils._python_dispatch import TorchDispatchMode

from dfrestore.errors import UsageError
from dfrestore.training.config import OptimConfig, TrainConfig, with_stage
from dfrestore.training.optimizers import MuonAndAdamW, matrices, new_optimizer
from dfrestore.training.records import StepRecord, ValidationRecord
from dfrestore.training.settings import load_preset
from dfrestore.training.trainer import Trainer


def with_muon(config: TrainConfig) -> TrainConfig:
    return replace(config, optim=replace(config.optim, name="muon"))


def test_matrices_are_the_dense_convolutions_between_the_first_and_the_last() -> None:
    network = random_network(dim=8)[0]
    names = {id(p): name for name, p in network.named_parameters()}
    optimizer = new_optimizer(OptimConfig("muon"), network, list(network.parameters()))
    assert isinstance(optimizer, MuonAndAdamW)
    found = {names[id(p)] for p in optimizer.matrices}
    assert {"latent.0.attn.qkv.weight", "encoder_level1.0.ffn.project_out.weight", "down1_2.body.0.weight"} <= found
    others = set(names.values()) - found
    assert {"patch_embed.proj.weight", "output.weight", "latent.0.attn.temperature"} <= others
    assert all(name in others for name in names.values() if "dwconv" in name or "norm" in name)
    stepped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert len(stepped) == len(names)


@pytest.mark.parametrize("dual_pixel", [False, True])
def test_muon_takes_the_same_tensors_in_the_same_order_as_older_runs_have_in_their_checkpoints(
    dual_pixel: bool,
) -> None:
    network = random_network(dim=8, dual_pixel=dual_pixel)[0]
    dense = [m.weight for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.groups == 1]
    assert [id(p) for p in matrices(network)] == [id(p) for p in dense[1:-1]]  # the rule that there was


def test_a_frozen_parameter_is_no_optimizers() -> None:
    network = random_network(dim=8)[0]
    trained = [p for name, p in network.named_parameters() if name.startswith("latent")]
    optimizer = new_optimizer(OptimConfig("muon"), network, trained)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(trained)


def test_betas_are_a_setting() -> None:
    network = random_network(dim=8)[0]
    for name in ("adamw", "muon"):
        config = load_preset("smoke", None, {"optim": {"name": name, "betas": [0.9, 0.99]}}).optim
        groups = new_optimizer(config, network, list(network.parameters())).param_groups
        assert groups[-1]["betas"] == (0.9, 0.99)


def test_a_step_moves_a_matrix_by_an_orthogonal_one_and_the_rest_as_adamw_does() -> None:
    network = random_network(dim=8)[0]
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.requires_grad_().grad = torch.randn(parameter.shape, generator=generator)
    before = copy.deepcopy(network)
    twin = copy.deepcopy(network)
    for parameter, other in zip(twin.parameters(), network.parameters(), strict=True):
        parameter.grad = other.grad.clone() if other.grad is not None else None
    for name, each in (("muon", network), ("adamw", twin)):
        optimizer = new_optimizer(OptimConfig(name, weight_decay=0.0), each, list(each.parameters()))  # type: ignore[arg-type]
        for group in optimizer.param_groups:
            group["lr"] = 0.01
        optimizer.step()
    weight = network.latent[0].attn.qkv.weight
    moved = (before.latent[0].attn.qkv.weight - weight).flatten(1).detach()
    sizes = torch.linalg.svdvals(moved)
    assert sizes.max() / sizes.min() < 2.5  # of a random gradient's they are further apart
    assert moved.square().mean().sqrt() == pytest.approx(0.2 * 0.01, rel=0.2)  # as large as AdamW's are
    assert torch.equal(network.output.weight, twin.output.weight)
    assert torch.equal(network.latent[0].attn.temperature, twin.latent[0].attn.temperature)


def matrices_after(native_bf16: bool, steps: int = 3) -> tuple[list[torch.Tensor], MuonAndAdamW]:
    network = random_network(dim=8)[0]
    generator = torch.Generator().manual_seed(0)
    optimizer = new_optimizer(OptimConfig("muon"), network, list(network.parameters()), native_bf16=native_bf16)
    assert isinstance(optimizer, MuonAndAdamW)
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    for _ in range(steps):
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return [m.detach() for m in optimizer.matrices], optimizer


def test_without_native_bf16_the_updates_are_those_of_torch_within_its_rounding() -> None:
    start = [m.detach() for m in matrices(random_network(dim=8)[0])]
    (theirs, half), (ours, full) = matrices_after(True), matrices_after(False)
    for before, one, other in zip(start, theirs, ours, strict=True):
        assert (one - other).norm() < 0.05 * (one - before).norm()
    assert any(not torch.equal(one, other) for one, other in zip(theirs, ours, strict=True))
    first, second = half.state_dict()["muon"], full.state_dict()["muon"]
    assert first["param_groups"] == second["param_groups"]
    means = [[state["momentum_buffer"] for state in each["state"].values()] for each in (first, second)]
    assert all(torch.equal(one, other) for one, other in zip(*means, strict=True))


class Products(TorchDispatchMode):
    """The dtypes of the products of matrices that run under it."""

    def __init__(self) -> None:
        super().__init__()
        self.types: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm):
            self.types |= {tensor.dtype for tensor in args}
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("native_bf16", [True, False])
def test_a_device_without_native_bf16_multiplies_no_matrix_in_bf16(native_bf16: bool) -> None:
    with Products() as products:
        matrices_after(native_bf16, steps=1)
    assert products.types == {torch.bfloat16 if native_bf16 else torch.float32}


def test_a_trainer_asks_its_device_for_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    for native, kind in ((torch.bfloat16, "Muon"), (torch.float32, "MuonInFp32")):
        monkeypatch.setattr("dfrestore.training.trainer._dtype", lambda precision, device, native=native: native)
        trainer = Trainer(with_muon(tiny(coarse=1, fine=1)), smooth_photos(), darken)
        assert type(trainer.optimizer._parts[0]).__name__ == kind  # type: ignore[union-attr]


def test_training_with_muon_and_the_psnr_loss_beats_the_input() -> None:
    config = with_muon(tiny(coarse=0, fine=60))
    config = with_stage(replace(config, validate_every=60), "fine", loss="psnr")
    validations = [r for r in Trainer(config, smooth_photos(), darken).run() if isinstance(r, ValidationRecord)]
    assert validations[-1].psnr[1] > validations[-1].psnr_input + 1


def test_a_resumed_run_with_muon_goes_on_bit_for_bit() -> None:
    config = with_muon(tiny(coarse=2, fine=4))
    whole = Trainer(config, smooth_photos(), darken)
    losses = [r.loss for r in whole.run() if isinstance(r, StepRecord)]
    first = Trainer(config, smooth_photos(), darken)
    stream = first.run()
    part = []
    for record in stream:
        if isinstance(record, StepRecord):
            part.append(record.loss)
        if len(part) == 3:
            break
    state = copy.deepcopy(first.state_dict())
    stream.close()
    second = Trainer(config, smooth_photos(), darken)
    second.load_state_dict(state)
    part += [r.loss for r in second.run() if isinstance(r, StepRecord)]
    assert part == losses
    assert all(torch.equal(a, b) for a, b in zip(whole.ema.parameters(), second.ema.parameters(), strict=True))


def test_an_unknown_optimizer_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="muon"):
        load_preset("smoke", "derain", {"optim": {"name": "moun"}})
