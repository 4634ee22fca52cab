"""The one trainer: a generator of records that a caller prints, logs, or stops listening to.

Everything random follows from (seed, stage, iteration), so a resumed run continues bit for bit.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dfrestore import windows
from dfrestore.diffusion import alpha_bars, ddim, timesteps
from dfrestore.errors import DfrestoreError, StartError, UsageError, did_you_mean
from dfrestore.losses import picture_loss
from dfrestore.methods import Network, build_network
from dfrestore.methods.c2f_dft import Sampling
from dfrestore.training.batches import draw_batch
from dfrestore.training.config import StageConfig, TrainConfig
from dfrestore.training.data import Degrade, generator_for
from dfrestore.training.distributed import SOLO, World, from_bytes, slices, to_bytes
from dfrestore.training.optimizers import MuonAndAdamW, new_optimizer
from dfrestore.training.photos import Photos
from dfrestore.training.schedules import learning_rate
from dfrestore.training.stages import antithetic_timesteps, coarse_loss, fine_stage_loss
from dfrestore.weights.spec import ModelSpec

STAGES = ("coarse", "fine")
MAX_BAD_STEPS = 20


@dataclass(frozen=True)
class StepRecord:
    """One iteration: its number in the stage (from 1), loss, learning rate, gradient norm, crops, seconds it took."""

    stage: str
    iteration: int
    loss: float
    lr: float
    grad_norm: float
    patch: int
    batch: int
    seconds: float

    @property
    def skipped(self) -> bool:
        """Loss or gradient were not finite, so the weights stayed as they were."""
        return not (math.isfinite(self.loss) and math.isfinite(self.grad_norm))


class Diverged(DfrestoreError):
    """Too many steps in a row without a finite loss. clean, degraded: the last one's batch."""

    def __init__(self, message: str, clean: Tensor, degraded: Tensor) -> None:
        super().__init__(message)
        self.clean, self.degraded = clean, degraded


@dataclass(frozen=True)
class ValidationRecord:
    """Mean PSNR (dB, RGB, 8 bit) of the EMA network's restorations by step count, and of the inputs."""

    stage: str
    iteration: int
    psnr: dict[int, float]
    psnr_input: float
    best: bool


class Trainer:
    """Holds network, EMA copy and optimiser; :meth:`run` trains. degrade: not needed for pairs.

    world: the processes that train together; each has a trainer, and all of them take the same steps.
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
        self.spec = ModelSpec(
            task=config.task,
            method=config.model.method,
            network=config.model.network,
            sampling=Sampling(prediction=config.model.prediction).to_mapping(),
            window=config.model.window,
            patch=max((*config.coarse.patches, *config.fine.patches)),
            default_steps=config.model.default_steps,
            licence=config.licence,
            trained_on=config.trained_on,
            source=config.source,
        )
        self.windows = windows.parse(self.spec.window)
        torch.manual_seed(config.seed)
        self.network: Network = build_network(self.spec).to(self.device)
        self.ema: Network = copy.deepcopy(self.network).requires_grad_(False)
        # Bound to the trained network; validation, which sees other sizes, stays as it is.
        self._forward = self.network.forward_fast
        if config.optim.compile:
            _check_compiler(config.optim.compile)
            self._forward = torch.compile(self._forward, backend=config.optim.compile, dynamic=False)
        self.optimizer = self._new_optimizer()
        self.dtype = _dtype(config.optim.precision, self.device)
        self.sampling = Sampling.from_mapping(self.spec.sampling)
        self.alpha_bars = alpha_bars(self.sampling.train_timesteps, self.sampling.betas).to(self.device)
        self.stage, self.iteration = 0, 0  # iterations of that stage that are done
        self.torn = False  # inside an update: an exception that comes now leaves a state that must not be saved
        self.best = -math.inf  # validation PSNR at the default steps, in the last stage that trains
        self._judged = "fine" if config.fine.iterations else "coarse"
        self._validation: tuple[list[Tensor], list[Tensor]] | None = None

    def load_weights(self, tensors: dict[str, Tensor]) -> None:
        """Start from weights alone (``--init-from``); the EMA copy too."""
        try:
            self.network.load_state_dict({k: v.float() for k, v in tensors.items()})
        except RuntimeError as error:
            raise StartError(f"the start weights do not fit the configured network: {error}") from error
        self.ema.load_state_dict(self.network.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs, tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "stage": self.stage,
            "iteration": self.iteration,
            "best": self.best,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.stage, self.iteration, self.best = state["stage"], state["iteration"], state["best"]

    def take_state_of_first(self) -> None:
        """Go on from where the first process is."""
        state = self.world.from_first(lambda: to_bytes(self.state_dict()) if self.world.size > 1 else b"")
        if not self.world.first:
            self.load_state_dict(from_bytes(state))

    @property
    def done(self) -> int:
        """Iterations of both stages that are done."""
        return sum(self._stage_config(name).iterations for name in STAGES[: self.stage]) + self.iteration

    def describe(self) -> str:
        """One phrase for the start line: size, device, precision, iterations."""
        millions = sum(p.numel() for p in self.network.parameters()) / 1e6
        held = f"{len(self.train_photos.names)} to train on, {len(self.validation_photos.names)} held out"
        counts = f"{self.config.coarse.iterations} coarse + {self.config.fine.iterations} fine iterations"
        precision = "bf16" if self.dtype == torch.bfloat16 else "fp32"
        processes = f"{self.world.size} processes, " if self.world.size > 1 else ""
        return f"{held}, {millions:.2f} M parameters, {processes}{self.device}, {precision}, {counts}"

    def run(self) -> Generator[StepRecord | ValidationRecord, None, None]:
        """Train what is left of the coarse, then of the fine stage. Close the generator to stop after a step."""
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
            while self.stage < len(STAGES):
                yield from self._run_stage(pool)
                self.stage, self.iteration = self.stage + 1, 0

    def validate(self) -> tuple[dict[int, float], float]:
        """({steps: mean PSNR of the EMA network}, mean PSNR of the inputs) on the held-out photos."""
        clean, degraded = self.validation_pairs()
        counts = sorted({*self.config.fine_steps, self.config.model.default_steps})
        scores = {n: self._score(clean, degraded, n) for n in counts}
        inputs = [_psnr(d, c) for c, d in zip(clean, degraded, strict=True)]
        return scores, sum(inputs) / max(1, len(inputs))

    def restore(self, degraded: Tensor, steps: int, seed: int = 0) -> Tensor:
        """(3, H, W) in [0, 1] through the EMA network; sides are multiples of its ``multiple``."""
        y = degraded[None].to(self.device) * 2 - 1
        noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed)).to(self.device)
        with torch.no_grad():
            call = self._call(self.ema)
            points = timesteps(self.sampling.train_timesteps, steps, self.sampling.timesteps)
            states = ddim(lambda x, t: call(y, x, t), noise, points, self.alpha_bars, self.sampling.prediction)
            *_, last = states
        return ((last.x0[0] + 1) / 2).clamp(0, 1).cpu()

    def _stage_config(self, name: str) -> StageConfig:
        return self.config.coarse if name == "coarse" else self.config.fine

    def _new_optimizer(self) -> torch.optim.AdamW | MuonAndAdamW:
        return new_optimizer(self.config.optim.name, self.network, self.config.optim.weight_decay)

    # -- one stage ----------------------------------------------------------------------------------------------

    def _run_stage(self, pool: ThreadPoolExecutor) -> Generator[StepRecord | ValidationRecord, None, None]:
        name = STAGES[self.stage]
        stage = self._stage_config(name)
        pending: Future[tuple[Tensor, Tensor]] | None = None
        if stage.fresh_optimizer and self.iteration == 0:
            self.optimizer = self._new_optimizer()
        bad, started = 0, time.perf_counter()
        while self.iteration < stage.iterations:
            clean, degraded = pending.result() if pending else self._batch(self.iteration)
            if self.iteration + 1 < stage.iterations:
                pending = pool.submit(self._batch, self.iteration + 1)
            loss, norm, lr = self._step(name, stage, clean, degraded)
            seconds = time.perf_counter() - started
            record = StepRecord(name, self.iteration, loss, lr, norm, clean.shape[-1], clean.shape[0], seconds)
            yield record
            bad = bad + 1 if record.skipped else 0
            if bad >= MAX_BAD_STEPS:
                message = f"{name} iteration {self.iteration}: {bad} steps without a finite loss; lower the rate"
                raise Diverged(message, clean, degraded)
            started = time.perf_counter()
            last = self.iteration == stage.iterations
            if self.validation_photos.names and (last or self.iteration % self.config.validate_every == 0):
                scores, inputs = self.validate()
                score = scores[self.config.model.default_steps]
                better = name == self._judged and score > self.best
                self.best = score if better else self.best
                yield ValidationRecord(name, self.iteration, scores, inputs, better)
                started = time.perf_counter()

    def _batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        return draw_batch(self.train_photos, self.config, self.stage, iteration, self.degrade)

    def _step(self, name: str, stage: StageConfig, clean: Tensor, degraded: Tensor) -> tuple[float, float, float]:
        """(loss, gradient norm, rate) of one update on this batch, of which this process computes its share."""
        loss = self._backward(name, stage, clean, degraded)
        (value,) = self.world.sum([loss])
        self.world.sum_gradients(list(self.network.parameters()))
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.optim.clip or math.inf)
        lr = learning_rate(stage, self.iteration)
        size = norm.item()
        self.torn = True
        if math.isfinite(value) and math.isfinite(size):
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            self.optimizer.step()
            self._update_ema()
        self.iteration += 1
        self.torn = False
        return value, size, lr

    def _backward(self, name: str, stage: StageConfig, clean: Tensor, degraded: Tensor) -> float:
        """This process's part of the loss of a batch; its gradients are left in the network."""
        loss_of = self._loss_of(name, stage, clean.shape)
        self.network.zero_grad(set_to_none=True)
        value = 0.0
        for part in slices(*self.world.share(len(clean)), self.config.optim.accumulate):
            target = clean[part].to(self.device) * 2 - 1
            y = degraded[part].to(self.device) * 2 - 1
            loss = loss_of(y, target, part) * (len(target) / len(clean))
            loss.backward()  # type: ignore[no-untyped-call]
            value += loss.item()
        return value

    def _loss_of(self, name: str, stage: StageConfig, shape: torch.Size) -> Callable[[Tensor, Tensor, slice], Tensor]:
        """(degraded, clean, part) -> mean loss of this part of the iteration's batch; all of it shares the draws."""
        generator = generator_for(self.config.seed, self.stage, self.iteration, 1)
        noise = torch.randn(shape, generator=generator)
        call, prediction = self._call(self.network), self.sampling.prediction
        if name == "coarse":
            t = antithetic_timesteps(len(noise), self.sampling.train_timesteps, generator)

            def coarse(y: Tensor, target: Tensor, part: slice) -> Tensor:
                own, times = noise[part].to(self.device), t[part].to(self.device)
                return coarse_loss(call, y, target, own, times, self.alpha_bars, prediction)

            return coarse
        steps = self.config.fine_steps
        count = steps[int(torch.randint(len(steps), (1,), generator=generator))]
        unrolled = timesteps(self.sampling.train_timesteps, count, self.sampling.timesteps)
        if stage.unroll == "one":
            unrolled = unrolled[: 1 + int(torch.randint(len(unrolled), (1,), generator=generator))]
        judge = partial(picture_loss, stage.loss, ssim_weight=stage.ssim_weight, psnr_level=stage.psnr_level)

        def fine(y: Tensor, target: Tensor, part: slice) -> Tensor:
            own = noise[part].to(self.device)
            return fine_stage_loss(call, y, target, own, unrolled, self.alpha_bars, prediction, judge, stage.unroll)

        return fine

    def _update_ema(self) -> None:
        decay = self.config.optim.ema
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.network.parameters()), 1 - decay)

    def _call(self, network: Network) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        forward = self._forward if network is self.network else network.forward_fast
        return lambda y, x, t: forward(y, x, t, self.dtype, self.windows)

    # -- validation ---------------------------------------------------------------------------------------------

    def validation_pairs(self) -> tuple[list[Tensor], list[Tensor]]:
        """(clean, degraded) middles of the held-out photos, each (3, H, W) in [0, 1], the same in every call."""
        if self._validation is None:
            side, multiple = self.config.data.validation_size, self.network.multiple
            photos = self.validation_photos
            clean = [_centre(pixels, side, multiple).float() / 255 for pixels in photos.pixels]
            degraded = [_centre(pixels, side, multiple).float() / 255 for pixels in photos.inputs]
            if not photos.paired:
                degraded = [self._degraded(crop, i) for i, crop in enumerate(clean)]
            self._validation = clean, degraded
        return self._validation

    def _degraded(self, clean: Tensor, index: int) -> Tensor:
        if self.degrade is None:
            raise ValueError("clean photos need a degradation")
        generator = generator_for(self.config.seed, 1000, index)
        return (self.degrade(clean[None], self.config.data.preset, generator)[0] * 255).round() / 255

    def _score(self, clean: list[Tensor], degraded: list[Tensor], steps: int) -> float:
        own = range(self.world.rank, len(clean), self.world.size)
        scores = [0.0] * len(clean)
        for i in own:
            scores[i] = _psnr(self.restore(degraded[i], steps, seed=i), clean[i])
        scores = self.world.sum(scores)
        return sum(scores) / max(1, len(scores))


def _check_compiler(name: str) -> None:
    known = torch.compiler.list_backends(())
    if name not in known:
        raise UsageError(f"optim.compile: no backend '{name}'{did_you_mean(name, known)} (known: {', '.join(known)})")


def _centre(pixels: Tensor, side: int, multiple: int) -> Tensor:
    height, width = (min(side, n) // multiple * multiple for n in pixels.shape[1:])
    top, left = (pixels.shape[1] - height) // 2, (pixels.shape[2] - width) // 2
    return pixels[:, top : top + height, left : left + width].contiguous()


def _psnr(a: Tensor, b: Tensor) -> float:
    error = ((a * 255).round() - (b * 255).round()).square().mean().item()
    return 10 * math.log10(255**2 / max(error, 1e-10))


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" or _native_bf16() else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _native_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


__all__ = ["Diverged", "StepRecord", "Trainer", "ValidationRecord"]
