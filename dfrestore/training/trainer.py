"""The one trainer: a generator of records that a caller prints, logs, or stops listening to.

It knows stages only as the method's :class:`~dfrestore.methods.method.Stage`. Everything random follows from (seed,
stage, iteration), so a resumed run continues bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from dfrestore import windows
from dfrestore.engine import Device, choose_precision
from dfrestore.errors import StartError, UsageError, did_you_mean
from dfrestore.methods import Network, build_network
from dfrestore.methods.method import Batch, Stage, restored_at_once
from dfrestore.nn import Whole
from dfrestore.training.average import Average
from dfrestore.training.batches import draw_batch
from dfrestore.training.config import StageConfig, TrainConfig, spec_of
from dfrestore.training.data import Degrade, generator_for
from dfrestore.training.distributed import SOLO, World, from_bytes, slices, to_bytes
from dfrestore.training.optimizers import new_optimizer
from dfrestore.training.photos import Photos
from dfrestore.training.records import Diverged, StepRecord, ValidationRecord
from dfrestore.training.schedules import learning_rate
from dfrestore.training.validation import psnr, validation_pairs

MAX_BAD_STEPS = 20
Pictures = tuple[Tensor, Tensor]  # clean, degraded
Call = Callable[..., Tensor]  # call(*pictures): the network in the form that training takes


class Trainer:
    """Holds network, EMA copy and optimiser; :meth:`run` trains. degrade: not needed for pairs.

    world: the processes that train together; each has a trainer, and all of them take the same steps. Raises
    :class:`UsageError` where a stage cannot train this network.
    """

    def __init__(
        self,
        config: TrainConfig,
        photos: Photos,
        degrade: Degrade | None,
        *,
        device: str = "cpu",
        world: World = SOLO,
    ) -> None:
        self.config = config
        self.world = world
        self.device = torch.device(device)
        self.train_photos, self.validation_photos = photos.split(config.data.validation, config.data.least_validation)
        self.degrade = degrade
        self.spec = spec_of(config)
        self.windows = windows.parse(self.spec.window)
        torch.manual_seed(config.seed)
        self.network: Network = build_network(self.spec).to(self.device)
        self.average = Average(self.network, self._all_trained())
        self.dtype = _dtype(config.optim.precision, self.device)
        # Bound to the trained network; validation, which sees other sizes, stays as it is.
        self._forward: Call = self.network.walk
        if config.optim.compile:
            _check_compiler(config.optim.compile)
            self._forward = torch.compile(self._forward, backend=config.optim.compile, dynamic=False)
        self.stage, self.iteration = 0, 0  # iterations of that stage that are done
        self.torn = False  # inside an update: an exception that comes now leaves a state that must not be saved
        self.best = -math.inf  # validation PSNR at the default steps, in the last stage that trains
        self._judged = list(config.running or config.stages)[-1]
        self._validation: tuple[list[Tensor], list[Tensor]] | None = None
        self.extras: Mapping[str, nn.Module] = {}
        self._taken = -1  # the stage whose parameters and optimiser these are
        self._trained: list[nn.Parameter] = []
        self._take_stage(self._first)

    @property
    def ema(self) -> Network:
        """The averaged network, which is validated and saved."""
        return self.average.network

    # -- state --------------------------------------------------------------------------------------------------

    def load_weights(self, tensors: dict[str, Tensor]) -> None:
        """Start from weights alone (``--init-from``); the EMA copy too."""
        try:
            self.network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})
        except RuntimeError as error:
            raise StartError(f"the start weights do not fit the configured network: {error}") from error
        self.average.start_over()

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs, tensors and plain values."""
        extras = {name: module.state_dict() for name, module in self.extras.items()}
        return {
            "network": self.network.state_dict(),
            "ema": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "optimizer_stage": self._taken,
            "stage": self.stage,
            "iteration": self.iteration,
            "best": self.best,
            **({"extras": extras} if extras else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What :meth:`state_dict` gave, here or in an earlier version."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["ema"])
        last = len(self.config.stages) - 1
        self._take_stage(state.get("optimizer_stage", min(state["stage"], last)))
        self.optimizer.load_state_dict(state["optimizer"])
        for name, tensors in state.get("extras", {}).items():
            self.extras[name].load_state_dict(tensors)
        self.stage, self.iteration, self.best = state["stage"], state["iteration"], state["best"]

    def take_state_of_first(self) -> None:
        """Go on from where the first process is."""
        state = self.world.from_first(lambda: to_bytes(self.state_dict()) if self.world.size > 1 else b"")
        if not self.world.first:
            self.load_state_dict(from_bytes(state))

    @property
    def done(self) -> int:
        """Iterations of all stages that are done."""
        return sum(stage.iterations for stage in list(self.config.stages.values())[: self.stage]) + self.iteration

    def describe(self) -> str:
        """One phrase for the start line: size, device, precision, iterations."""
        millions = sum(p.numel() for p in self.network.parameters()) / 1e6
        held = f"{len(self.train_photos.names)} to train on, {len(self.validation_photos.names)} held out"
        precision = "bf16" if self.dtype == torch.bfloat16 else "fp32"
        processes = f"{self.world.size} processes, " if self.world.size > 1 else ""
        counts = self.config.described_iterations()
        return f"{held}, {millions:.2f} M parameters, {processes}{self.device}, {precision}, {counts}"

    # -- training -----------------------------------------------------------------------------------------------

    def run(self) -> Generator[StepRecord | ValidationRecord, None, None]:
        """Train what is left of the stages, one after the other. Close the generator to stop after a step."""
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
            while self.stage < len(self.config.stages):
                yield from self._run_stage(pool)
                self.stage, self.iteration = self.stage + 1, 0

    def begin_stage(self) -> None:
        """Make optimiser and extras for the stage that comes next, unless it continues with those at hand."""
        _, stage = self._current()
        trained = self._own(stage).trains(self.network)
        same = [id(p) for p in trained] == [id(p) for p in self._trained]
        if self.iteration == 0 and (stage.fresh_optimizer or not same):
            self._take_stage(self.stage)
        elif self._taken != self.stage:
            self._taken, self.extras = self.stage, self._new_extras(stage)

    def draw(self, iteration: int) -> Pictures:
        """(clean, degraded) of an iteration (from 0) of the current stage, (B, 3, P, P) in [0, 1] on the CPU."""
        return draw_batch(self.train_photos, self.config, self.stage, iteration, self.degrade)

    def call(self, network: Network | None = None) -> Call:
        """The training form of a network (the trained one), in this run's precision and with its windows."""
        forward: Call = self._forward if network is None else network.walk
        how = self.how()
        return lambda *tensors: forward(how, *tensors)

    def how(self) -> Whole:
        """How training computes the network: on whole pictures, in this run's precision and with its windows."""
        return Whole(self.dtype, self.windows)

    def backward(self, call: Call, clean: Tensor, degraded: Tensor) -> dict[str, float]:
        """This process's part of the losses of a batch; the gradients of ``loss`` are left in the network.

        call: how the network is evaluated.
        """
        own, total = self._own(self._current()[1]), len(clean)
        self.network.zero_grad(set_to_none=True)
        values: dict[str, float] = {"loss": 0.0}
        for part in slices(*self.world.share(total), self.config.optim.accumulate):
            batch = Batch(clean[part].to(self.device), degraded[part].to(self.device), part, total)
            draw = generator_for(self.config.seed, self.stage, self.iteration, 1)
            losses = own.losses(self.network, call, batch, draw, self.extras)
            share = len(batch.clean) / total
            loss = losses["loss"] * share
            loss.backward()  # type: ignore[no-untyped-call]
            values["loss"] += loss.item()
            for name, value in losses.items():
                if name != "loss":
                    values[name] = values.get(name, 0.0) + value.item() * share * self.world.size
        return values

    def update(self, loss: float) -> tuple[float, float, float]:
        """(loss, gradient norm, rate) of one update by the gradients that all processes have left.

        loss: this process's part. Where loss or gradient are not finite the weights stay as they are.
        """
        (value,) = self.world.sum([loss])
        self.world.sum_gradients(self._trained)
        norm = nn.utils.clip_grad_norm_(self._trained, self.config.optim.clip or math.inf)
        lr = learning_rate(self._current()[1], self.iteration)
        size = norm.item()
        self.torn = True
        if math.isfinite(value) and math.isfinite(size):
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            self.optimizer.step()
            self.average.update(self.config.optim.ema)
        self.iteration += 1
        self.torn = False
        return value, size, lr

    def _run_stage(self, pool: ThreadPoolExecutor) -> Generator[StepRecord | ValidationRecord, None, None]:
        name, stage = self._current()
        if self.iteration >= stage.iterations:
            return
        self.begin_stage()
        pending: Future[Pictures] | None = None
        bad, started = 0, time.perf_counter()
        while self.iteration < stage.iterations:
            clean, degraded = pending.result() if pending else self.draw(self.iteration)
            if self.iteration + 1 < stage.iterations:
                pending = pool.submit(self.draw, self.iteration + 1)
            losses = self.backward(self.call(), clean, degraded)
            loss, norm, lr = self.update(losses.pop("loss"))
            seconds = time.perf_counter() - started
            record = StepRecord(name, self.iteration, loss, lr, norm, clean.shape[-1], clean.shape[0], seconds, losses)
            yield record
            bad = bad + 1 if record.skipped else 0
            if bad >= MAX_BAD_STEPS:
                message = f"{name} iteration {self.iteration}: {bad} steps without a finite loss; lower the rate"
                raise Diverged(message, clean, degraded)
            started = time.perf_counter()
            last = self.iteration == stage.iterations
            if self.validation_photos.names and (last or self.iteration % self.config.validate_every == 0):
                yield self._validated(name)
                started = time.perf_counter()

    def _current(self) -> tuple[str, StageConfig]:
        return list(self.config.stages.items())[self.stage]

    def _own(self, stage: StageConfig) -> Stage:
        return stage.own.resolved(self.config.model.default_steps)

    @property
    def _first(self) -> int:
        """The first stage that has iterations."""
        return next((i for i, stage in enumerate(self.config.stages.values()) if stage.iterations), 0)

    def _all_trained(self) -> list[nn.Parameter]:
        """The parameters that some stage of this run trains."""
        try:
            return [p for stage in self.config.running.values() for p in self._own(stage).trains(self.network)]
        except ValueError as error:
            raise UsageError(f"model: {error}") from error

    def _take_stage(self, index: int) -> None:
        """Parameters, a new optimiser, and the extras of this stage."""
        stage = list(self.config.stages.values())[index]
        self._taken = index
        self._trained = self._own(stage).trains(self.network)
        ids = {id(p) for p in self._trained}
        for parameter in self.network.parameters():
            parameter.requires_grad_(id(parameter) in ids)
        self.optimizer = new_optimizer(self.config.optim, self.network, self._trained)
        self.extras = self._new_extras(stage)

    def _new_extras(self, stage: StageConfig) -> Mapping[str, nn.Module]:
        extras = self._own(stage).extras(self.network)
        return {name: module.to(self.device) for name, module in extras.items()}

    # -- validation ---------------------------------------------------------------------------------------------

    def validate(self, network: Network | None = None) -> tuple[dict[int, float], float]:
        """({steps: mean PSNR}, mean PSNR of the inputs) on the held-out photos, of a network (the averaged one)."""
        network = network or self.ema
        scores = {n: self._score(network, n) for n in self.config.step_counts}
        clean, degraded = self.validation_pairs()
        inputs = [psnr(d, c) for c, d in zip(clean, degraded, strict=True)]
        return scores, sum(inputs) / max(1, len(inputs))

    def restore(self, degraded: Tensor, steps: int, seed: int = 0, network: Network | None = None) -> Tensor:
        """(3, H, W) in [0, 1] through a network (the averaged one)."""
        with torch.no_grad():
            restored = restored_at_once(network or self.ema, degraded.to(self.device), steps, seed, self.how())
        return restored.clamp(0, 1).cpu()

    def validation_pairs(self) -> tuple[list[Tensor], list[Tensor]]:
        """(clean, degraded) middles of the held-out photos, each (3, H, W) in [0, 1], the same in every call."""
        if self._validation is None:
            photos, multiple = self.validation_photos, self.network.multiple
            self._validation = validation_pairs(photos, self.config, multiple, self.degrade)
        return self._validation

    def _validated(self, name: str) -> ValidationRecord:
        scores, inputs = self.validate()
        score = scores[self.config.model.default_steps]
        better = name == self._judged and score > self.best
        self.best = score if better else self.best
        return ValidationRecord(name, self.iteration, scores, inputs, better)

    def _score(self, network: Network, steps: int) -> float:
        clean, degraded = self.validation_pairs()
        own = range(self.world.rank, len(clean), self.world.size)
        scores = [0.0] * len(clean)
        for i in own:
            scores[i] = psnr(self.restore(degraded[i], steps, i, network), clean[i])
        scores = self.world.sum(scores)
        return sum(scores) / max(1, len(scores))


def _check_compiler(name: str) -> None:
    known = torch.compiler.list_backends(())
    if name not in known:
        raise UsageError(f"optim.compile: no backend '{name}'{did_you_mean(name, known)} (known: {', '.join(known)})")


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    """bf16 where that is asked for or native here."""
    if precision == "auto":
        return choose_precision("auto", Device(device, str(device), "")).dtype
    return torch.bfloat16 if precision == "bf16" else torch.float32


__all__ = ["Diverged", "StepRecord", "Trainer", "ValidationRecord"]
