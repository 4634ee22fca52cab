"""The trainer with a method that it has never seen: three stages, frozen parts, buffers, a module beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from tiny_runs import smooth_pairs
from torch import Tensor, nn

from dfrestore.methods import METHODS
from dfrestore.methods.method import Batch, Extras, Method, Network, Stage
from dfrestore.training.budget import all_shares, fit, measure
from dfrestore.training.config import TrainConfig
from dfrestore.training.records import StepRecord
from dfrestore.training.run import open_run, save_model, train
from dfrestore.training.settings import configure
from dfrestore.training.trainer import Trainer


class Toy(Network):
    """A picture through two convolutions; it counts how often."""

    multiple = 8

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.frozen = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 1), nn.Conv2d(3, 3, 1)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(()))

    def ends(self) -> tuple[nn.Module, ...]:
        return ()

    def walk(self, how: object, y: Tensor) -> Tensor:
        self.count += 1
        self.mean.lerp_(y.mean(), 0.5)
        return y + self.second(self.first(y).relu())


@dataclass(frozen=True)
class One(Stage):
    name: ClassVar[str] = "one"
    part: ClassVar[str] = "first"
    weight: float = 1.0

    def trains(self, network: Toy) -> list[nn.Parameter]:
        return list(getattr(network, self.part).parameters())

    def losses(self, network: Toy, call: Any, batch: Batch, draw: torch.Generator, extras: Extras) -> dict[str, Tensor]:
        noise = torch.randn(batch.size, generator=draw)[batch.part, None, None, None]
        error = (call(batch.degraded) - batch.clean + 0.01 * noise).abs().mean()
        return {"loss": self.weight * error, "brightness": batch.clean.mean()}


@dataclass(frozen=True)
class Two(One):
    name: ClassVar[str] = "two"
    part: ClassVar[str] = "second"


@dataclass(frozen=True)
class Three(Two):
    name: ClassVar[str] = "three"

    def extras(self, network: Toy) -> dict[str, nn.Module]:
        return {"teacher": nn.Linear(2, 2)}


@pytest.fixture(autouse=True)
def toy_method(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Method("toy", lambda spec: Toy(), lambda shapes, name: None, (One, Two, Three), finetunes="three")
    monkeypatch.setitem(METHODS, "toy", toy)


def toy_run(**settings: Any) -> TrainConfig:
    stage = {"iterations": 3, "patches": [16], "batches": [4], "lr": 0.01, "minima": [0.01, 0.01]}
    stages = {"three": stage, "one": {**stage, "weight": 2.0}, "two": stage}
    fixed = {"model": {"method": "toy"}, "stages": stages, "optim": {"precision": "fp32"}, "data": {"validation": 0}}
    return configure("settings", {**fixed, "log_every": 1}, settings)


def trained(config: TrainConfig, steps: int | None = None) -> tuple[Trainer, list[StepRecord]]:
    trainer, records = Trainer(config, smooth_pairs(), None), []
    stream = trainer.run()
    for record in stream:
        assert isinstance(record, StepRecord)
        records.append(record)
        if len(records) == steps:
            break
    stream.close()
    return trainer, records


def test_stages_run_in_the_methods_order() -> None:
    _, records = trained(toy_run())
    assert [(r.stage, r.iteration) for r in records] == [(s, i) for s in ("one", "two", "three") for i in (1, 2, 3)]


def test_a_stage_moves_its_own_parameters_alone() -> None:
    torch.manual_seed(0)
    trainer, _ = trained(toy_run(), steps=3)
    before = {name: p.clone() for name, p in Trainer(toy_run(), smooth_pairs(), None).network.named_parameters()}
    moved = {name for name, p in trainer.network.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"first.weight", "first.bias"}


def test_trained_parameters_are_averaged_buffers_follow_and_frozen_ones_are_not_held_twice() -> None:
    trainer, _ = trained(toy_run())
    network, ema = trainer.network, trainer.ema
    assert not torch.equal(ema.first.weight, network.first.weight)
    assert torch.equal(ema.count, network.count)
    assert torch.equal(ema.mean, network.mean)
    assert ema.frozen.weight is network.frozen.weight
    assert set(trainer.state_dict()["ema"]) == {"first.weight", "first.bias", "second.weight", "second.bias"}


def test_buffers_are_stored_as_they_are(tmp_path: Path) -> None:
    trainer, _ = trained(toy_run(), steps=2)
    saved: dict[str, Tensor] = {}

    def keep(path: Path, tensors: dict[str, Tensor], spec: object) -> None:
        saved.update(tensors)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dfrestore.training.run.save_checkpoint", keep)
        save_model(trainer, tmp_path / "model.safetensors")
    assert saved["count"].dtype == torch.int64
    assert saved["first.weight"].dtype == saved["mean"].dtype == torch.bfloat16


def test_a_module_beside_the_network_is_saved_for_resuming_and_not_in_the_model() -> None:
    trainer, _ = trained(toy_run(), steps=7)
    state = trainer.state_dict()
    again = Trainer(toy_run(), smooth_pairs(), None)
    again.load_state_dict(state)
    assert torch.equal(again.extras["teacher"].weight, trainer.extras["teacher"].weight)  # type: ignore[arg-type]
    assert not any("teacher" in name for name in (*state["network"], *state["ema"]))


@pytest.mark.parametrize("stopped_after", [2, 3, 5, 7])
def test_a_stopped_run_goes_on_bit_for_bit(stopped_after: int) -> None:
    whole, records = trained(toy_run())
    first, part = trained(toy_run(), steps=stopped_after)
    second = Trainer(toy_run(), smooth_pairs(), None)
    second.load_state_dict(first.state_dict())
    part += [r for r in second.run() if isinstance(r, StepRecord)]
    assert [r.loss for r in part] == [r.loss for r in records]
    for a, b in zip(whole.ema.state_dict().values(), second.ema.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_batch_in_parts_has_the_draws_of_the_whole() -> None:
    once, parts = trained(toy_run())[1], trained(toy_run(optim={"accumulate": 3}))[1]
    assert [r.loss for r in parts] == pytest.approx([r.loss for r in once], rel=1e-5)
    assert [r.parts["brightness"] for r in parts] == pytest.approx([r.parts["brightness"] for r in once], rel=1e-5)


def test_what_a_stage_tells_beside_its_loss_stands_in_the_log_and_the_result_is_json(tmp_path: Path) -> None:
    config = toy_run()
    open_run(tmp_path, config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dfrestore.training.run.save_model", lambda trainer, path: None)
        list(train(Trainer(config, smooth_pairs(), None), tmp_path))
    first = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])
    assert 0 < first["brightness"] < 1

    def refuse(name: str) -> float:
        raise ValueError(f"{name} is not JSON")

    result = json.loads((tmp_path / "RESULT.json").read_text(), parse_constant=refuse)
    assert result["best_psnr"] is None  # nothing is held out


def test_every_stage_is_measured_and_shares_the_time() -> None:
    config = toy_run()
    speed = measure(config, smooth_pairs(), None, "cpu", 1.0)
    assert list(speed.steps) == [("one", 16, 4), ("two", 16, 4), ("three", 16, 4)]
    fitted = fit(config, replace(speed, steps=dict.fromkeys(speed.steps, 0.01)), 60, {"two": 0.5})
    counts = [stage.iterations for stage in fitted.stages.values()]
    assert counts[1] == pytest.approx(sum(counts) / 2, abs=1)
    assert counts[0] == pytest.approx(counts[2], abs=1)
    assert all_shares(config, {"one": 1.0}) == {"one": 1.0, "two": 0.0, "three": 0.0}
