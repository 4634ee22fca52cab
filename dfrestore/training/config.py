"""The configuration of a training run: frozen dataclasses, and what their values must hold.

Presets and files become one in :mod:`.settings`; TOML is read and written in :mod:`.toml`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from dfrestore import windows
from dfrestore.errors import UsageError, did_you_mean
from dfrestore.methods import METHODS
from dfrestore.methods.method import Stage
from dfrestore.sizes import parse_bytes
from dfrestore.weights.spec import Base, ModelSpec

OptimizerName = Literal["adamw", "muon"]
Rate = Literal["cosine", "steps"]
Crops = Literal["independent", "shared-window"]


@dataclass(frozen=True)
class ModelConfig:
    """The network to train; ``network`` and ``sampling`` hold the method's own settings, plain JSON values.

    method: default: the first in ``METHODS``. window: where the network's attention takes its statistics from, in
    training too (see :mod:`dfrestore.windows`).

    base: the file whose tensors the network starts with, and which the result needs beside its own: a registered name,
    a path, or an ``hf://`` address; a run that has begun names it as headers do. base_sha256, base_file: what a run
    remembers of it: its content, and where it was.
    """

    method: str = field(default_factory=lambda: next(iter(METHODS)))
    default_steps: int = 1
    window: windows.WindowSetting = windows.GLOBAL
    base: str = ""
    base_sha256: str = ""
    base_file: str = ""
    network: dict[str, Any] = field(default_factory=dict)
    sampling: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            near = did_you_mean(self.method, METHODS)
            raise UsageError(f"model.method: unknown method '{self.method}'{near} (known: {', '.join(METHODS)})")
        windows.requested_window(self.window, "model.window")
        if self.base_sha256 and not (self.base and re.fullmatch("[0-9a-f]{64}", self.base_sha256)):
            raise UsageError("model.base_sha256: goes with a base, and is 64 hexadecimal digits in small letters")


@dataclass(frozen=True)
class DataConfig:
    """What is trained on: folders of clean photos, degraded on the fly, or pairs.

    clean: folders of clean photos. pairs: data sets with input/ and target/ (or another usual layout) in them.
    input, target: two folders of pairs, named one by one. memory: decoded photos are held in memory up to this
    ("4G"; "auto": a quarter of what is free), more of them in a file of the user's cache folder. cache: what that
    folder may hold.

    crops: "independent", or "shared-window" as the authors': crops of the largest size, of which one window of the
    current size, the same for the whole batch, is taken. flip: half of the crops mirrored left to right.
    quarter_turn: part of the crops turned by 90 degrees together with what fell on them, for photos stored sideways;
    upside_down: part of them turned upside down. eighth_turn: part of them turned by 45 degrees, bilinearly, before the
    degradation (pairs: both pictures alike), where the photo is large enough.
    mixup: half of the batches mixed with their permutation, one weight from Beta(1.2, 1.2) a batch; not with masks.

    clean_fraction: part of the inputs that is the clean crop itself, so that the network learns to leave clean photos
    alone. For clean photos only (pairs are taken as they are): preset: kind of degradation. jpeg_fraction: part of the
    inputs compressed as JPEG at a quality drawn from jpeg_quality. half_scale: part of the crops taken from the photo
    reduced by two. enlarged: part of the crops enlarged by up to two before the degradation; many photos are soft like
    that, and should stay so. defocused: part of the crops put out of focus, in part or altogether, before the
    degradation: backgrounds that are meant to be soft, and should stay so.

    validation: how many photos (or pairs) are held out, at most, and no more than a fifth. least_validation: how many
    are held out even where that is more than a fifth, as long as one is left to train on. mix: folders of clean photos;
    pairs made from them on the fly are a share of mix_share in each batch of pairs.
    """

    clean: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    input: str = ""
    target: str = ""
    memory: str = "auto"
    cache: str = "50G"
    crops: Crops = "independent"
    mixup: bool = False
    preset: str = "mixed"
    clean_fraction: float = 0.1
    jpeg_fraction: float = 0.3
    jpeg_quality: tuple[int, int] = (60, 95)
    half_scale: float = 0.4
    enlarged: float = 0.0
    defocused: float = 0.0
    flip: bool = True
    quarter_turn: float = 0.0
    upside_down: float = 0.0
    eighth_turn: float = 0.0
    validation: int = 12
    validation_size: int = 256
    least_validation: int = 0
    mix: tuple[str, ...] = ()
    mix_share: float = 0.5

    def __post_init__(self) -> None:
        if bool(self.input) != bool(self.target):
            raise UsageError("data: input and target are given together: --input FOLDER --target FOLDER")
        if self.clean and self.paired:
            raise UsageError("data: clean photos and pairs exclude each other; leave out --clean or the pairs")
        if self.mix and not self.paired:
            raise UsageError("data.mix: clean photos are mixed into pairs, and no pairs are named")
        if min(self.half_scale, self.enlarged) < 0 or self.half_scale + self.enlarged > 1:
            raise UsageError(
                f"data: half_scale {self.half_scale:g} and enlarged {self.enlarged:g} are shares of the crops; "
                "neither may be negative, and their sum is at most 1"
            )
        for name in ("mix_share", "defocused"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"data.{name} {getattr(self, name):g} is not from 0 to 1")
        if self.memory != "auto":
            parse_bytes(self.memory, "data.memory")
        parse_bytes(self.cache, "data.cache")

    @property
    def paired(self) -> bool:
        """Whether pairs are trained on, not clean photos."""
        return bool(self.pairs or self.input)

    @property
    def named(self) -> bool:
        """Whether there is anything to train on."""
        return bool(self.clean) or self.paired


@dataclass(frozen=True)
class StageConfig:
    """One stage: the settings that all stages have, and ``own``, those of the method's stage.

    iterations: 0 leaves the stage out. lr: base rate. rate: how it falls: ``cosine`` in cycles, each from the base rate
    to its minimum (``periods``, ``minima``; a minimum equal to the base rate makes a constant period); ``steps`` by the
    factor ``gamma`` at each of the ``milestones``. Periods and milestones of at most 1 are shares of the stage's
    iterations, larger ones are iterations. warmup: iterations in which the rate rises linearly from 0.

    patches, batches: the patch cycle, each entry held for patch_period iterations (0: iterations / (3 * len)), the
    list patch_cycles times (0: as often as it fits), its last entry to the end. patch_lengths: instead of a cycle, each
    entry is held for so many iterations, once. fresh_optimizer: begin without the moments of the previous stage.
    betas: the optimiser's in this stage; empty: the run's.
    """

    iterations: int = 1000
    lr: float = 3e-4
    rate: Rate = "cosine"
    periods: tuple[float, ...] = (0.2, 0.8)
    minima: tuple[float, ...] = (3e-4, 1e-5)
    milestones: tuple[float, ...] = ()
    gamma: float = 0.5
    patches: tuple[int, ...] = (64,)
    batches: tuple[int, ...] = (16,)
    patch_period: int = 0
    patch_cycles: int = 0
    patch_lengths: tuple[int, ...] = ()
    warmup: int = 0
    fresh_optimizer: bool = False
    betas: tuple[float, ...] = ()
    own: Stage = field(kw_only=True)

    def check(self, name: str) -> None:
        """Raise :class:`UsageError` where settings of the stage ``name`` do not fit together."""
        if len(self.patches) != len(self.batches) or not self.patches:
            raise UsageError(f"{name}: patches {list(self.patches)} and batches {list(self.batches)} do not pair")
        if self.patch_lengths and len(self.patch_lengths) != len(self.patches):
            raise UsageError(f"{name}: patches {list(self.patches)} and lengths {list(self.patch_lengths)} do not pair")
        if min(self.patch_lengths, default=1) < 1:
            raise UsageError(f"{name}: patch_lengths {list(self.patch_lengths)} must be positive")
        if self.betas and (len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas)):
            raise UsageError(f"{name}: betas {list(self.betas)} are not two numbers from 0 to below 1")
        if len(self.periods) != len(self.minima):
            raise UsageError(f"{name}: periods {list(self.periods)} and minima {list(self.minima)} do not pair")
        if self.rate == "cosine" and not self.periods:
            raise UsageError(f"{name}: periods are empty; the rate 'cosine' needs one at least")
        if self.iterations < 0 or any(n < 1 for n in (*self.patches, *self.batches)):
            raise UsageError(f"{name}: iterations, patches and batches must be positive")
        if list(self.milestones) != sorted(self.milestones):
            raise UsageError(f"{name}: milestones {list(self.milestones)} do not rise")


@dataclass(frozen=True)
class OptimConfig:
    """One rate for all parameters, EMA after every step. clip: largest gradient norm, 0 switches it off.

    name: ``adamw`` (the paper's), or ``muon`` for matrices with AdamW for the rest. betas: AdamW's.

    accumulate: number of parts in which a batch (with several processes, each one's share) goes through the network, to
    save memory. compile: backend of torch.compile (inductor, which needs a C++ compiler); it compiles the network once
    for each size and number of crops. Empty: none.
    """

    name: OptimizerName = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-4
    ema: float = 0.999
    clip: float = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    accumulate: int = 1
    compile: str = ""

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise UsageError(f"optim: accumulate is the number of parts of a batch, at least 1, not {self.accumulate}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UsageError(f"optim: betas {list(self.betas)} are not from 0 to below 1")


@dataclass(frozen=True)
class TrainConfig:
    """A whole run. licence, trained_on, source: stored in the resulting model.

    stages: by name, in the method's order; one that is not named here is left out (0 iterations). keep_checkpoints:
    how many of the last ones stay (and the best).
    """

    task: str = "derain"
    licence: str = ""
    trained_on: str = ""
    source: str = "dfrestore train"
    seed: int = 100
    log_every: int = 20
    validate_every: int = 500
    keep_checkpoints: int = 2
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    stages: Mapping[str, StageConfig] = field(default_factory=dict)
    optim: OptimConfig = field(default_factory=OptimConfig)

    def __post_init__(self) -> None:
        kinds = stage_kinds(self.model.method)
        for name in self.stages:
            require_stage(name, self.model.method)
        stages = {name: self.stages.get(name) or StageConfig(0, own=kind()) for name, kind in kinds.items()}
        object.__setattr__(self, "stages", stages)
        for name, stage in stages.items():
            stage.check(name)
        if min(self.log_every, self.validate_every, self.keep_checkpoints) < 1:
            raise UsageError("log_every, validate_every and keep_checkpoints must be positive")

    @property
    def running(self) -> dict[str, StageConfig]:
        """The stages that have iterations."""
        return {name: stage for name, stage in self.stages.items() if stage.iterations}

    @property
    def iterations(self) -> int:
        """Of all stages together."""
        return sum(stage.iterations for stage in self.stages.values())

    @property
    def step_counts(self) -> list[int]:
        """Sampler steps that validation looks at: the model's default, and those that stages train."""
        steps = self.model.default_steps
        trained = [stage.own.resolved(steps).step_counts() for stage in self.stages.values()]
        return sorted({steps, *(count for counts in trained for count in counts)})

    @property
    def remarks(self) -> list[str]:
        """What a user should know about the stages that train, one line each."""
        return list(dict.fromkeys(line for stage in self.running.values() for line in stage.own.remarks()))

    def described_iterations(self) -> str:
        """``2000 NAME + 11000 NAME iterations``."""
        return " + ".join(f"{stage.iterations} {name}" for name, stage in self.running.items()) + " iterations"


def stage_kinds(method: str) -> dict[str, type[Stage]]:
    """The stages of a known method by name, in their order."""
    return {kind.name: kind for kind in METHODS[method].stages}


def require_stage(name: str, method: str) -> None:
    """Raise :class:`UsageError` where the method has no stage of this name."""
    known = stage_kinds(method)
    if name not in known:
        near = did_you_mean(name, known)
        raise UsageError(f"stages: {method} has no stage '{name}'{near} (known: {', '.join(known)})")


def spec_of(config: TrainConfig) -> ModelSpec:
    """The header of the resulting model."""
    return ModelSpec(
        task=config.task,
        method=config.model.method,
        network=config.model.network,
        sampling=config.model.sampling,
        window=config.model.window,
        patch=max(patch for stage in (config.running or config.stages).values() for patch in stage.patches),
        default_steps=config.model.default_steps,
        base=Base(config.model.base, config.model.base_sha256) if config.model.base_sha256 else None,
        licence=config.licence,
        trained_on=config.trained_on,
        source="; ".join([config.source, *config.remarks]),
    )


def with_stage(config: TrainConfig, name: str, **changes: Any) -> TrainConfig:
    """The same run with other settings of one stage, common ones or its own."""
    stage = config.stages[name]
    common = {f.name for f in fields(StageConfig)}
    own = replace(stage.own, **{key: value for key, value in changes.items() if key not in common})  # type: ignore[type-var]
    new = replace(stage, **{"own": own} | {key: value for key, value in changes.items() if key in common})
    return replace(config, stages={**config.stages, name: new})


def scaled(config: TrainConfig, iterations: Mapping[str, int]) -> TrainConfig:
    """The same run with other iteration counts; what is counted in iterations within a stage follows."""
    new = {name: _scaled(config.stages[name], count) for name, count in iterations.items()}
    return replace(config, stages={**config.stages, **new})


def _scaled(stage: StageConfig, iterations: int) -> StageConfig:
    factor = iterations / max(1, stage.iterations)
    return replace(
        stage,
        iterations=iterations,
        periods=tuple(n if n <= 1 else max(1.5, n * factor) for n in stage.periods),
        milestones=tuple(n if n <= 1 else max(1.5, n * factor) for n in stage.milestones),
        patch_period=max(1, round(stage.patch_period * factor)) if stage.patch_period else 0,
        patch_lengths=tuple(max(1, round(length * factor)) for length in stage.patch_lengths),
        warmup=math.ceil(stage.warmup * min(1.0, factor)),
    )
