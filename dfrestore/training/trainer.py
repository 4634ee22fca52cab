"""The one trainer: a generator of records that a caller prints, logs, or stops listening to.

It knows stages only as the method's :class:`~dfrestore.methods.method.Stage`. Everything random follows from (seed,
stage, iteration), so a resumed run continues bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from dfrestore import windows
from dfrestore.engine import Device, choose_precision
from dfrestore.errors import StartError, UsageError, did_you_mean
from dfrestore.methods import Network, build_for_training, stored_names
from dfrestore.methods.differences import compare_tensors, in_short
from dfrestore.methods.method import MADE, Batch, Call, Stage
from dfrestore.nn import Whole
from dfrestore.training.average import Average
from dfrestore.training.base import own_part
from dfrestore.training.batches import draw_batch
from dfrestore.training.config import StageConfig, TrainConfig, spec_of
from dfrestore.training.critic import Critic, load_extras
from dfrestore.training.data import Degrade, generator_for
from dfrestore.training.distributed import SOLO, World, from_bytes, slices, to_bytes
from dfrestore.training.optimizers import new_optimizer
from dfrestore.training.photos import Photos
from dfrestore.training.records import Diverged, StepRecord, Validation, ValidationRecord, VerdictRecord
from dfrestore.training.schedules import learning_rate
from dfrestore.training.validation import HeldOut
from dfrestore.weights.checkpoint import as_float32

MAX_BAD_STEPS = 20
Pictures = tuple[Tensor, Tensor]  # clean, degraded


class Trainer:
    """Holds network, EMA copy and optimiser; :meth:`run` trains. degrade: not needed for pairs.

    world: the processes that train together; each has a trainer, and all take the same steps. base: the tensors that
    the run builds on (see :mod:`.base`). Raises :class:`UsageError` if a stage cannot train this network.
    """

    def __init__(
        self,
        config: TrainConfig,
        photos: Photos,
        degrade: Degrade | None,
        *,
        device: str = "cpu",
        world: World = SOLO,
        base: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.config = config
        self.world = world
        self.base = base or {}
        self.device = torch.device(device)
        self.train_photos, held_out = photos.split(config.data.validation, config.data.least_validation)
        self.degrade = degrade
        self.spec = spec_of(config)
        self.windows = windows.parse(self.spec.window)
        torch.manual_seed(config.seed)
        self.network: Network = build_for_training(self.spec).to(self.device)
        if (self.spec.base is not None) != bool(self.base):
            raise ValueError("the tensors of a base are needed where the configuration names one, and only there")
        if self.base:
            self.network.load_state_dict({**self.network.state_dict(), **as_float32(self.base)})
        self.average = Average(self.network, self._all_trained())
        self.dtype = _dtype(config.optim.precision, self.device)
        # The first process's answer, since all make the same updates.
        self._native_bf16: bool = world.from_first(lambda: _dtype("auto", self.device) == torch.bfloat16)
        # Of the trained network; validation sees other sizes and is not compiled.
        self._form: Call = self.network.training_form
        if config.optim.compile:
            _check_compiler(config.optim.compile)
            self._form = torch.compile(self._form, backend=config.optim.compile, dynamic=False)
        self.loaded = set(self.base)  # names of the base's and the start model's tensors
        self.stage, self.iteration = 0, 0  # iterations of that stage that are done
        self.torn = False  # within an update: after an exception there, the state must not be saved
        self.best = -math.inf  # validation PSNR at the default steps, or score, in the present stage
        self.held_out = HeldOut(held_out, config, self.network, degrade, self.device, world)
        self.extras: Mapping[str, nn.Module] = {}
        self.critic: Critic | None = None
        self._optimizer_stage = -1  # which ``_trained``, optimiser and extras belong to
        self._trained: list[nn.Parameter] = []
        self._take_stage(self._first_stage)

    @property
    def ema(self) -> Network:
        """The averaged network, which is validated and saved."""
        return self.average.network

    # -- state --------------------------------------------------------------------------------------------------

    def load_weights(self, tensors: Mapping[str, Tensor], stage: str = "") -> None:
        """Start from weights alone (``--init-from``); the EMA copy too. stage: what their file's header says.

        Parameters that such a file does not hold stay as they are. Raises :class:`StartError`.
        """
        own, tensors = self.network.state_dict(), self.network.begun_from(tensors)
        expected = {name: own[name] for name in stored_names(replace(self.spec, stage=stage))}
        if differences := compare_tensors(tensors, expected):
            raise StartError(f"the start weights do not fit the configured network: {in_short(differences)}")
        self.network.load_state_dict({**own, **as_float32(tensors)})
        self.loaded.update(tensors)
        self.average.start_over()

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs beside its base, tensors and plain values."""
        extras = {name: module.state_dict() for name, module in self.extras.items()}
        return {
            "network": self.own_part(self.network.state_dict()),
            "ema": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "optimizer_stage": self._optimizer_stage,
            "stage": self.stage,
            "iteration": self.iteration,
            "best": self.best,
            **({"extras": extras} if extras else {}),
            **({"critic": self.critic.state_dict()} if self.critic else {}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What :meth:`state_dict` gave, here or in an earlier version."""
        self.network.load_state_dict({**as_float32(self.base), **state["network"]})
        self.average.load_state_dict(state["ema"])
        last = len(self.config.stages) - 1
        self._take_stage(state.get("optimizer_stage", min(state["stage"], last)))
        self.optimizer.load_state_dict(state["optimizer"])
        load_extras(state, self.extras, self.critic)
        self.stage, self.iteration, self.best = state["stage"], state["iteration"], state["best"]

    def own_part(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Those of these tensors of the network that a file must hold beside the base."""
        return own_part(state, self.base, self.average.state_dict())

    def take_state_of_first(self) -> None:
        """Go on from where the first process is."""
        state = self.world.from_first(lambda: to_bytes(self.state_dict()) if self.world.size > 1 else b"")
        if not self.world.first:
            self.load_state_dict(from_bytes(state))

    @property
    def done(self) -> int:
        """Iterations of all stages that are done."""
        return sum(stage.iterations for stage in list(self.config.stages.values())[: self.stage]) + self.iteration

    @property
    def parameters(self) -> int:
        """Of the model that the run makes: without what only training needs."""
        last = list((self.config.running or self.config.stages).values())[-1]
        stored = set(stored_names(replace(self.spec, stage=last.own.made)))
        return sum(p.numel() for name, p in self.network.named_parameters() if name in stored)

    def describe(self) -> str:
        """One phrase for the start line: size, device, precision, iterations."""
        millions = self.parameters / 1e6
        held = f"{len(self.train_photos.names)} to train on, {len(self.held_out.photos.names)} held out"
        precision = "bf16" if self.dtype == torch.bfloat16 else "fp32"
        processes = f"{self.world.size} processes, " if self.world.size > 1 else ""
        counts = self.config.described_iterations()
        base = f" on {self.config.model.base}" if self.base else ""
        return f"{held}, {millions:.2f} M parameters{base}, {processes}{self.device}, {precision}, {counts}"

    # -- training -----------------------------------------------------------------------------------------------

    def run(self) -> Generator[StepRecord | Validation, None, None]:
        """Train the remaining stages, one after the other. Close the generator to stop after a step."""
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
            while self.stage < len(self.config.stages):
                yield from self._run_stage(pool)
                self.stage, self.iteration = self.stage + 1, 0

    def begin_stage(self) -> None:
        """Make optimiser and extras for the current stage, unless it goes on with those of the previous one."""
        _, stage = self._current()
        before = self._stage_before()
        restarted = self.iteration == 0 and before is not None and before in stage.own.averages_of
        if self.iteration == 0 and before is not None:
            self.best = -math.inf
        if restarted:
            self.network.load_state_dict(self.ema.state_dict())
        trained = self._resolved(stage).trains(self.network)
        same = [id(p) for p in trained] == [id(p) for p in self._trained]
        if self.iteration == 0 and (stage.fresh_optimizer or restarted or not same):
            self._take_stage(self.stage)
        elif self._optimizer_stage != self.stage:
            self._optimizer_stage = self.stage
            self._take_extras(stage)

    def draw(self, iteration: int) -> Pictures:
        """(clean, degraded) of an iteration (from 0) of the current stage, on the CPU; see ``batches.draw_batch``."""
        return draw_batch(self.train_photos, self.config, self.stage, iteration, self.degrade, self.network.scale)

    def call(self) -> Call:
        """The training form of the trained network, in this run's precision and with its windows."""
        how = self.how()
        return lambda *arguments, **options: self._form(how, *arguments, **options)

    def how(self) -> Whole:
        """How training computes the network: on whole pictures, in this run's precision and with its windows."""
        return Whole(self.dtype, self.windows)

    def backward(self, call: Call, clean: Tensor, degraded: Tensor) -> dict[str, float]:
        """This process's part of the losses of a batch; the network then holds the gradients of ``loss``.

        call: evaluates the network.
        """
        own, total = self._resolved(self._current()[1]), len(clean)
        if self.critic is not None:
            self.critic.forget()
        self.network.zero_grad(set_to_none=True)
        values: dict[str, float] = {"loss": 0.0}
        for part in slices(*self.world.share(total), self.config.optim.accumulate):
            batch = Batch(clean[part].to(self.device), degraded[part].to(self.device), part, total)
            draw = generator_for(self.config.seed, self.stage, self.iteration, 1)
            losses = own.losses(self.network, call, batch, draw, self.extras)
            if MADE in losses:
                assert self.critic is not None
                self.critic.show(batch, losses.pop(MADE))
            share = len(batch.clean) / total
            loss = losses["loss"] * share
            loss.backward()  # type: ignore[no-untyped-call]
            values["loss"] += loss.item()
            for name, value in losses.items():
                if name != "loss":
                    values[name] = values.get(name, 0.0) + value.item() * share * self.world.size
        return values

    def update(self, loss: float) -> tuple[float, float, float]:
        """(loss, gradient norm, rate) of one update, from the gradients of all processes.

        loss: this process's part. If loss or gradient are not finite, the weights stay as they are.
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
            if self.critic is not None:
                base = self._current()[1].lr
                self.critic.step(lr / base if base else 1.0, self.config.optim.clip, self.world)
            self.average.update(self.config.optim.ema)
        self.iteration += 1
        self.torn = False
        return value, size, lr

    def _run_stage(self, pool: ThreadPoolExecutor) -> Generator[StepRecord | Validation, None, None]:
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
            if self.critic is not None:
                losses["critic"] = self.critic.loss
            seconds = time.perf_counter() - started
            record = StepRecord(name, self.iteration, loss, lr, norm, clean.shape[-1], clean.shape[0], seconds, losses)
            yield record
            bad = bad + 1 if record.skipped else 0
            if bad >= MAX_BAD_STEPS:
                message = f"{name} iteration {self.iteration}: {bad} steps without a finite loss; lower the rate"
                raise Diverged(message, clean, degraded)
            started = time.perf_counter()
            last = self.iteration == stage.iterations
            if self.held_out.photos.names and (last or self.iteration % self.config.validate_every == 0):
                yield self.validated(name)
                started = time.perf_counter()

    def _current(self) -> tuple[str, StageConfig]:
        return list(self.config.stages.items())[self.stage]

    def _resolved(self, stage: StageConfig) -> Stage:
        return stage.own.resolved(self.config.model.default_steps)

    def _stage_before(self) -> str | None:
        """The name of the stage that trained before the present one."""
        earlier = list(self.config.stages.items())[: self.stage]
        return next((name for name, stage in reversed(earlier) if stage.iterations), None)

    @property
    def _first_stage(self) -> int:
        """The first stage that has iterations."""
        return next((i for i, stage in enumerate(self.config.stages.values()) if stage.iterations), 0)

    def _all_trained(self) -> list[nn.Parameter]:
        """The parameters that some stage of this run trains."""
        try:
            return [p for stage in self.config.running.values() for p in self._resolved(stage).trains(self.network)]
        except ValueError as error:
            raise UsageError(f"model: {error}") from error

    def _take_stage(self, index: int) -> None:
        """Parameters, a new optimiser, and the extras of this stage."""
        stage = list(self.config.stages.values())[index]
        self._optimizer_stage = index
        self._trained = self._resolved(stage).trains(self.network)
        ids = {id(p) for p in self._trained}
        for parameter in self.network.parameters():
            parameter.requires_grad_(id(parameter) in ids)
        optim = replace(self.config.optim, betas=self._betas(stage))
        self.optimizer = new_optimizer(optim, self.network, self._trained, native_bf16=self._native_bf16)
        self._take_extras(stage)

    def _take_extras(self, stage: StageConfig) -> None:
        """The modules beside the network that the stage needs, and an optimiser of its discriminator."""
        own = self._resolved(stage)
        seed = generator_for(self.config.seed, self._optimizer_stage, 0, 3).initial_seed()
        with torch.random.fork_rng(devices=[]):  # a resumed run, and every process, draws the same
            torch.manual_seed(seed)
            made = own.extras(self.network)
        self.extras = {name: module.to(self.device) for name, module in made.items()}
        self.critic = Critic.of(own, self.extras, self._betas(stage), self.config.optim.weight_decay)

    def _betas(self, stage: StageConfig) -> tuple[float, float]:
        return (stage.betas[0], stage.betas[1]) if stage.betas else self.config.optim.betas

    # -- validation ---------------------------------------------------------------------------------------------

    def validate(self, network: Network | None = None) -> tuple[dict[int, float], float]:
        """({steps: mean PSNR}, mean PSNR of the inputs) on the held-out photos. network: None for the averaged one."""
        return self.held_out.scores(self._resolved(self.judged), network or self.ema, self.how())

    def restore(self, index: int, steps: int) -> Tensor:
        """The held-out picture of this index as the present stage makes it, (3, H, W) in [0, 1], on the CPU."""
        return self.held_out.restored(self._resolved(self.judged), self.ema, index, steps, self.how())

    @property
    def judged(self) -> StageConfig:
        """The stage whose result a validation looks at: the present one, after the end the last one that trained."""
        stages = list(self.config.stages.values())
        running = [stage for stage in stages[self.stage :] if stage.iterations]
        return running[0] if running else list((self.config.running or self.config.stages).values())[-1]

    def validated(self, name: str) -> Validation:
        """A validation in the stage ``name``; later ones are compared with the best so far."""
        own = self._resolved(self.judged)
        if not own.restores:
            found = self.held_out.verdict(own, self.ema, self.how())
            return VerdictRecord(name, self.iteration, found.score, found.rows, self._is_better(found.score))
        scores, inputs = self.validate()
        better = self._is_better(scores[self.config.model.default_steps])
        return ValidationRecord(name, self.iteration, scores, inputs, better)

    def _is_better(self, score: float) -> bool:
        better = self._resolved(self.judged).improved(score, self.best)
        self.best = score if better else self.best
        return better


def _check_compiler(name: str) -> None:
    known = torch.compiler.list_backends(())
    if name not in known:
        raise UsageError(f"optim.compile: no backend '{name}'{did_you_mean(name, known)} (known: {', '.join(known)})")


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    """bf16 where that is set, or with ``auto`` where it is native."""
    if precision == "auto":
        return choose_precision("auto", Device(device, str(device), "")).dtype
    return torch.bfloat16 if precision == "bf16" else torch.float32
