"""The configuration of a training run: frozen dataclasses, presets in TOML, unknown keys are errors."""

from __future__ import annotations

import json
import math
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from importlib import resources
from typing import Any, Literal, TypeVar

from dfrestore import windows
from dfrestore.errors import UsageError, did_you_mean
from dfrestore.losses import PSNR_LEVEL, SSIM_WEIGHT, PictureLoss
from dfrestore.weights.spec import ModelSpec

T = TypeVar("T")
Prediction = Literal["epsilon", "sample"]
Unroll = Literal["all", "one"]
OptimizerName = Literal["adamw", "muon"]
Crops = Literal["independent", "shared-window"]


@dataclass(frozen=True)
class ModelConfig:
    """The network to train; ``network`` holds the method's own settings (dim, blocks, heads, stem, ...).

    window: what its attention's statistics are taken from, in training too (see :mod:`dfrestore.windows`).
    """

    method: str = "c2f-dft"
    prediction: Prediction = "sample"
    default_steps: int = 1
    window: windows.Words = windows.GLOBAL
    network: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        windows.asked_for(self.window, "model.window")


@dataclass(frozen=True)
class DataConfig:
    """What is trained on: folders of clean photos, degraded on the fly, or pairs.

    clean: folders of clean photos. pairs: data sets with input/ and target/ (or another usual layout) in them.
    input, target: two folders of pairs, named one by one. memory: decoded photos are held in memory up to this
    ("4G"; "auto": a quarter of what is free), more of them in a file of the user's cache folder. cache: what that
    folder may hold.

    crops: "independent", or "shared-window" as the authors': crops of the largest size, of which one window of the
    current size, the same for the whole batch, is taken. flip: half of the crops mirrored left to right.
    quarter_turn: part of the crops turned by 90 degrees together with what fell on them, for photos stored sideways.
    mixup: half of the batches mixed with their permutation, one weight from Beta(1.2, 1.2) a batch.

    clean_fraction: part of the inputs that is the clean crop itself, so that clean photos are left alone. For clean
    photos only (pairs are taken as they are): preset: kind of degradation. jpeg_fraction: part of the inputs
    compressed as JPEG at a quality drawn from jpeg_quality. half_scale: part of the crops taken from the photo
    reduced by two. enlarged: part of them enlarged by up to two before the degradation, soft as many photos are, so
    that softness is left as it is. validation: photos (or pairs) held out, at most, and no more than a fifth; but
    where there are two or more, least_validation of them.

    mix: folders of clean photos, pairs of which, made on the fly, take a part of mix_share in each batch of pairs.
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
    flip: bool = True
    quarter_turn: float = 0.0
    validation: int = 12
    validation_size: int = 256
    least_validation: int = 0
    mix: tuple[str, ...] = ()
    mix_share: float = 0.5

    def __post_init__(self) -> None:
        if bool(self.input) != bool(self.target):
            raise UsageError("data: input and target are given together: --input FOLDER --target FOLDER")
        if self.clean and self.paired:
            raise UsageError("data: either clean photos or pairs, not both; leave out --clean or the pairs")
        if self.mix and not self.paired:
            raise UsageError("data.mix: clean photos are mixed into pairs; there are none")
        if min(self.half_scale, self.enlarged) < 0 or self.half_scale + self.enlarged > 1:
            raise UsageError(
                f"data: half_scale {self.half_scale:g} and enlarged {self.enlarged:g} are parts of the crops, "
                "from 0 to 1 together"
            )
        if not 0 <= self.mix_share <= 1:
            raise UsageError(f"data.mix_share {self.mix_share:g} is not from 0 to 1")
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
    """One stage. lr: base rate; periods/minima: cosine cycles (restart at the base rate each; a minimum equal to
    the base rate makes a constant period). patches/batches: the patch cycle, each held for patch_period iterations
    (0: iterations / (3 * len)), patch_cycles times (0: as often as they fit), the last one to the end. steps: sampler
    steps unrolled in the fine stage, drawn at random from the list (empty: the model's default). unroll: ``all``: the
    loss of the sampler's result, with gradient through all of its evaluations (the paper's); ``one``: of the clean
    estimate of one of them, drawn at random, with gradient through that one alone, in half the time or less.
    psnr_level: dB around which the loss ``psnr`` levels off. fresh_optimizer: begins without the moments of the stage
    before.
    """

    iterations: int = 1000
    lr: float = 3e-4
    periods: tuple[float, ...] = (0.2, 0.8)
    minima: tuple[float, ...] = (3e-4, 1e-5)
    patches: tuple[int, ...] = (64,)
    batches: tuple[int, ...] = (16,)
    patch_period: int = 0
    patch_cycles: int = 0
    warmup: int = 0
    fresh_optimizer: bool = False
    steps: tuple[int, ...] = (1,)
    unroll: Unroll = "all"
    loss: PictureLoss = "l1"
    ssim_weight: float = SSIM_WEIGHT
    psnr_level: float = PSNR_LEVEL


@dataclass(frozen=True)
class OptimConfig:
    """One rate for all parameters, EMA after every step. clip: largest gradient norm, 0 switches it off.

    name: ``adamw`` (the paper's) or ``muon``, which takes AdamW for what is no matrix; it needs native bf16 to be fast.

    accumulate: a batch goes through the network in so many parts, for less memory; of several processes, each one's.
    compile: a backend of torch.compile (inductor, which needs a C++ compiler) translates the network first, once for
    each size of crops and number of them; empty: none.
    """

    name: OptimizerName = "adamw"
    weight_decay: float = 1e-4
    ema: float = 0.999
    clip: float = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    accumulate: int = 1
    compile: str = ""

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise UsageError(f"optim: accumulate is the number of parts of a batch, at least 1, not {self.accumulate}")


@dataclass(frozen=True)
class TrainConfig:
    """A whole run; a stage with 0 iterations is left out. licence, trained_on, source: stored in the resulting model.

    keep_checkpoints: how many of the last ones stay (and the best).
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
    coarse: StageConfig = field(default_factory=StageConfig)
    fine: StageConfig = field(default_factory=StageConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)

    def __post_init__(self) -> None:
        for name in ("coarse", "fine"):
            stage: StageConfig = getattr(self, name)
            if len(stage.patches) != len(stage.batches) or not stage.patches:
                raise UsageError(f"{name}: patches {list(stage.patches)} and batches {list(stage.batches)} do not pair")
            if len(stage.periods) != len(stage.minima):
                raise UsageError(f"{name}: periods {list(stage.periods)} and minima {list(stage.minima)} do not pair")
            if stage.iterations < 0 or any(n < 1 for n in (*stage.patches, *stage.batches, *stage.steps)):
                raise UsageError(f"{name}: iterations, patches, batches and steps must be positive")
        if min(self.log_every, self.validate_every, self.keep_checkpoints) < 1:
            raise UsageError("log_every, validate_every and keep_checkpoints must be positive")

    @property
    def fine_steps(self) -> tuple[int, ...]:
        """Sampler steps of the fine stage."""
        return self.fine.steps or (self.model.default_steps,)


def list_presets() -> dict[str, str]:
    """Preset name -> its first comment line."""
    folder = resources.files("dfrestore.training") / "presets"
    found = {}
    for item in sorted(folder.iterdir(), key=lambda i: i.name):
        if item.name.endswith(".toml"):
            found[item.name.removesuffix(".toml")] = item.read_text("utf-8").splitlines()[0].lstrip("# ")
    return found


def load_preset(name: str, task: str | None = None, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """The named preset for a task, with ``overrides`` (nested plain values) on top. Raises :class:`UsageError`.

    Without a task: the preset's own, else ``derain``.
    """
    known = list_presets()
    if name not in known:
        raise UsageError(f"unknown preset '{name}'{did_you_mean(name, known)} (known: {', '.join(known)})")
    text = (resources.files("dfrestore.training") / "presets" / f"{name}.toml").read_text("utf-8")
    values = tomllib.loads(text)
    if task and values.setdefault("task", task) != task:
        raise UsageError(f"preset {name} is for {values['task']}, not {task}")
    return from_mapping(merge(values, overrides or {}), f"preset {name}")


def from_mapping(values: Mapping[str, Any], where: str) -> TrainConfig:
    """A checked configuration from plain values; ``where`` is named in errors. Raises :class:`UsageError`."""
    return _build(TrainConfig, values, where)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` on top of ``base``, table by table."""
    out = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(out.get(key), Mapping):
            out[key] = merge(out[key], value)
        else:
            out[key] = value
    return out


def with_model(config: TrainConfig, spec: ModelSpec, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """The same run on the network of a trained model, for ``--init-from``; ``overrides`` of its table on top."""
    model = {
        "method": spec.method,
        "prediction": spec.sampling.get("prediction", "epsilon"),
        "default_steps": spec.default_steps,
        "window": spec.window,
        "network": dict(spec.network),
    }
    return replace(config, model=_build(ModelConfig, merge(model, overrides or {}), "model"))


def scaled(config: TrainConfig, coarse: int, fine: int) -> TrainConfig:
    """The same run with other iteration counts; what is counted in iterations within a stage follows."""
    return replace(config, coarse=_scaled(config.coarse, coarse), fine=_scaled(config.fine, fine))


def _scaled(stage: StageConfig, iterations: int) -> StageConfig:
    factor = iterations / max(1, stage.iterations)
    return replace(
        stage,
        iterations=iterations,
        periods=tuple(n if n <= 1 else max(1.5, n * factor) for n in stage.periods),
        patch_period=max(1, round(stage.patch_period * factor)) if stage.patch_period else 0,
        warmup=math.ceil(stage.warmup * min(1.0, factor)),
    )


_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)


def parse_bytes(text: str, where: str) -> int:
    """``"4G"``, ``"512M"`` -> bytes, in powers of 1024. Raises :class:`UsageError`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{where}: {text!r} is not a size like 4G or 512M")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


def to_toml(config: TrainConfig) -> str:
    """The resolved configuration as TOML that :func:`from_mapping` reads back to an equal one."""
    lines: list[str] = []
    _write_table(asdict(config), "", lines)
    return "\n".join(lines).lstrip("\n") + "\n"


def _write_table(table: Mapping[str, Any], prefix: str, lines: list[str]) -> None:
    for key, value in table.items():
        if not isinstance(value, Mapping):
            lines.append(f"{_toml_key(key)} = {_toml_value(value)}")
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines.append(f"\n[{prefix}{_toml_key(key)}]")
            _write_table(value, f"{prefix}{_toml_key(key)}.", lines)


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else str(_toml_value(key))


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):  # JSON's escapes are TOML's, except that TOML also escapes DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml_value(v) for v in value) + "]"
    return repr(value)


def _build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    assert is_dataclass(cls)
    hints = typing.get_type_hints(cls)
    known = [f.name for f in fields(cls)]
    built: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise UsageError(f"{where}: unknown key '{key}'{did_you_mean(key, known)} (known: {', '.join(known)})")
        built[key] = _convert(hints[key], value, f"{where}: {key}")
    return typing.cast(T, cls(**built))


def _convert(hint: Any, value: Any, where: str) -> Any:
    """``value`` as the field's type; numbers are not taken for booleans, nor text for numbers."""
    origin = typing.get_origin(hint)
    if is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise UsageError(f"{where} is a table, not {value!r}")
        return _build(typing.cast(type[Any], hint), value, where)
    if origin is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise UsageError(f"{where}: {value!r} is not one of {', '.join(map(repr, choices))}")
        return value
    if origin is tuple:
        inner = typing.get_args(hint)[0]
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_convert(inner, item, where) for item in items)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise UsageError(f"{where} is a table, not {value!r}")
        return dict(value)
    kinds: tuple[type, ...] = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kind = next((kind for kind in kinds if _is(value, kind)), None)
    if kind is None:
        raise UsageError(f"{where}: {value!r} is not of type {' or '.join(kind.__name__ for kind in kinds)}")
    if isinstance(value, int | float) and not abs(value) < 2**63:  # nor NaN
        raise UsageError(f"{where}: {value!r} is not a number that can be meant")
    return kind(value)


def _is(value: object, kind: type) -> bool:
    accepted = (int, float) if kind is float else kind
    return isinstance(value, bool) == (kind is bool) and isinstance(value, accepted)
