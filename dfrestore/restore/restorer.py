"""A model on a device, ready for pictures: the Python API, and what the batch runs each file through."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from dfrestore.engine import (
    Device,
    Plan,
    Precision,
    Progress,
    choose_device,
    choose_precision,
    make_plan,
    restore_array,
    smaller_plan,
    with_precision,
)
from dfrestore.errors import BadResultError, OutOfMemoryFailure, UsageError
from dfrestore.methods import Network, load_network
from dfrestore.restore.checks import fault
from dfrestore.restore.images import Picture, Rgb, open_picture
from dfrestore.weights import ModelSpec, Resolved, resolve

Window = int | Literal["global"]
LEAST_WINDOW = 8  # pixels


@dataclass(frozen=True)
class Outcome:
    """rgb: the result, float32 (H, W, 3) in [0, 1]. plan, precision: what made it. warnings: one line each."""

    rgb: Rgb
    plan: str
    precision: str
    warnings: tuple[str, ...]


class Restorer:
    """``Restorer.from_pretrained("derain")(image)`` -> the image without rain, of the same kind.

    network, spec: the model; label: what it is called; device, precision: each with the ``reason`` it was chosen.
    """

    def __init__(
        self,
        network: Network,
        spec: ModelSpec,
        *,
        label: str = "model",
        device: str = "auto",
        precision: str = "auto",
        window: Window | None = None,
        memory: int | None = None,
    ) -> None:
        """window: side in pixels of the attention's windows, or ``global``; None: the checkpoint's own.

        memory: budget in bytes of the device that computes. Raises DeviceError, UsageError, WeightsError.
        """
        self.device: Device = choose_device(device)
        self.precision: Precision = choose_precision(precision, self.device)
        self.spec = _with_window(spec, window)
        self.network = network.eval()  # the engine moves it to the device
        self.label = label
        self.memory = memory

    @classmethod
    def from_pretrained(
        cls,
        task: str = "derain",
        model: str | Path | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
        window: Window | None = None,
        memory: int | None = None,
    ) -> Restorer:
        """The ``model`` (a name, a file, ``hf://ORG/REPO/FILE@REV``; None: the default) of a task.

        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``. precision: ``auto``, ``fp32``, ``bf16``, ``fp16``.
        Raises WeightsError and DeviceError.
        """
        return cls.from_resolved(
            resolve(model, task=task), device=device, precision=precision, window=window, memory=memory
        )

    @classmethod
    def from_resolved(cls, resolved: Resolved, **options: Any) -> Restorer:
        """:meth:`from_pretrained` for a model that has been found already."""
        network, spec = load_network(resolved.path)
        return cls(network, spec, label=resolved.label, **options)

    def __call__(
        self,
        image: Picture,
        *,
        steps: int | None = None,
        seed: int = 0,
        tile: int | None = None,
        strength: float = 1.0,
        progress: Callable[[int, int], object] | None = None,
    ) -> Any:
        """The restored image: path -> PIL image, PIL -> PIL, array -> array of the same shape and dtype.

        PIL holds colour in 8 bits; for 16, give an array, or use :func:`dfrestore.photo.read` and ``write``.

        steps: evaluations, 1 to 1000 (None: the model's own). seed: of the noise. tile: side of the tiles (None: the
        whole picture, if it fits; 0: whole, whatever happens). strength: 0 (the input) to 1 (the result).
        progress(done, total) is called as it goes. Raises FileFailure and its kinds, TypeError, ValueError.
        """
        rgb, finish = open_picture(image)
        outcome = drain(
            self.restore_rgb(rgb, steps=steps, seed=seed, tile=tile, strength=strength, name=_name_of(image)), progress
        )
        return finish(outcome.rgb)

    def steps(
        self, image: Picture, *, steps: int | None = None, seed: int = 0, tile: int | None = None
    ) -> Iterator[Progress]:
        """The same work as it goes: ``done`` of ``total``, and after each step its clean estimate ``x0``, float32
        (H, W, 3) in [0, 1]; the last one carries ``result``.
        """
        rgb, _ = open_picture(image)
        yield from self.restore_rgb(rgb, steps=steps, seed=seed, tile=tile, name=_name_of(image))

    def plan(self, height: int, width: int, tile: int | None = None) -> Plan:
        """How a picture of this size will be worked through. Raises OutOfMemoryFailure, UsageError."""
        return make_plan(
            height,
            width,
            self.spec,
            self.network,
            tile=tile,
            memory=self.memory,
            precision=self.precision,
            device=self.device,
        )

    def restore_rgb(
        self,
        rgb: Rgb,
        *,
        steps: int | None = None,
        seed: int = 0,
        tile: int | None = None,
        plan: Plan | None = None,
        strength: float = 1.0,
        name: str = "picture",
    ) -> Generator[Progress, None, Outcome]:
        """Yield progress, return the :class:`Outcome`; rgb: float32 (H, W, 3) in [0, 1].

        A faulty result in half precision is redone in fp32; where memory runs out, tiles take over (not where
        ``tile`` was given). plan: of :meth:`plan`, in place of ``tile``. Raises BadResultError and OutOfMemoryFailure,
        which name ``name``.
        """
        steps = self.checked_steps(steps)
        if not 0 <= seed < 2**63:
            raise ValueError(f"seed is from 0 to 2**63 - 1, not {seed}")
        if not 0 <= strength <= 1:
            raise ValueError(f"strength is from 0 to 1, not {strength}")
        warnings: list[str] = []
        try:
            precision = self.precision
            plan = plan or self.plan(rgb.shape[0], rgb.shape[1], tile)
            result, plan = yield from self._fitting(rgb, steps, seed, plan, precision, warnings)
            wrong = fault(rgb, result)
            if wrong and precision.name != "fp32":
                warnings.append(f"{precision.name} gave {wrong}; redone in fp32")
                precision = choose_precision("fp32", self.device)
                # The same walk, so that fp32 differs in nothing else; where it does not fit, the next one is taken.
                plan = with_precision(plan, precision)
                result, plan = yield from self._fitting(rgb, steps, seed, plan, precision, warnings)
                wrong = fault(rgb, result)
        except OutOfMemoryFailure as error:
            raise OutOfMemoryFailure(f"{name}: {error}") from error
        if wrong:
            raise BadResultError(f"{name}: the model gave {wrong}; try other --steps or another --model")
        if strength != 1:
            result = blend(rgb, result, strength)
        return Outcome(result, plan.describe(), precision.name, tuple(warnings))

    def _fitting(
        self, rgb: Rgb, steps: int, seed: int, plan: Plan, precision: Precision, warnings: list[str]
    ) -> Generator[Progress, None, tuple[Rgb, Plan]]:
        """The result, and the first plan from ``plan`` on that memory suffices for; an explicit one is not left."""
        height, width = rgb.shape[:2]
        while True:
            try:
                return (yield from self._run(rgb, steps, seed, plan, precision)), plan
            except OutOfMemoryFailure:
                smaller = smaller_plan(plan, height, width, self.network, precision=precision, device=self.device)
                if plan.explicit or smaller is None:
                    raise
            # Outside the except clause: the traceback holds on to the tensors that have to go.
            gc.collect()
            if self.device.torch_device.type == "cuda":
                torch.cuda.empty_cache()
            plan = smaller
            warnings.append(f"out of memory; went on with {plan.describe()}")

    def _run(self, rgb: Rgb, steps: int, seed: int, plan: Plan, precision: Precision) -> Generator[Progress, None, Rgb]:
        result: Rgb | None = None
        for state in restore_array(
            self.network,
            self.spec,
            rgb,
            steps=steps,
            seed=seed,
            plan=plan,
            device=self.device,
            precision=precision,
        ):
            result = state.result
            yield state
        assert result is not None
        return result

    def checked_steps(self, steps: int | None) -> int:
        """``steps``, or the model's default. Raises :class:`UsageError` for what its schedule does not have."""
        steps = self.spec.default_steps if steps is None else steps
        if not 1 <= steps <= self.spec.train_timesteps:
            raise UsageError(f"--steps is from 1 to {self.spec.train_timesteps} for this model, not {steps}")
        return steps


def blend(rgb: Rgb, result: Rgb, strength: float) -> Rgb:
    """``strength`` of the result, the rest of the input; 1 gives the result itself, 0 the input."""
    return rgb + np.float32(strength) * (result - rgb)


def drain(work: Generator[Progress, None, Outcome], progress: Callable[[int, int], object] | None = None) -> Outcome:
    """Run the generator to its end, reporting (done, total)."""
    while True:
        try:
            state = next(work)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        if progress is not None:
            progress(state.done, state.total)


def _with_window(spec: ModelSpec, window: Window | None) -> ModelSpec:
    """The spec with another attention window, ``"global"`` or its side in pixels. Raises :class:`UsageError`."""
    if isinstance(window, int) and window < LEAST_WINDOW:
        raise UsageError(f"--window {window}: a window has {LEAST_WINDOW} pixels at least; or use 'global'")
    return spec if window is None else replace(spec, window=window)


def _name_of(image: Picture) -> str:
    return str(image) if isinstance(image, str | os.PathLike) else "picture"
