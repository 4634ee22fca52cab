"""A model on a device, ready for pictures: the Python API, and what the batch runs each file through."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfrestore import windows
from dfrestore.diffusion import initial_noise
from dfrestore.engine import (
    WORTH_MEASURING,
    Device,
    Plan,
    Precision,
    Progress,
    Speeds,
    Watch,
    amount,
    choose_device,
    choose_precision,
    make_plan,
    process_bytes,
)
from dfrestore.errors import BadResultError, OutOfMemoryFailure
from dfrestore.methods import Network, load_network
from dfrestore.photo.enlarged import resized
from dfrestore.photo.mask import in_size
from dfrestore.restore.ensemble import Tally, as_member, turn_of
from dfrestore.restore.finish import PLAIN, Finish
from dfrestore.restore.flow import drain
from dfrestore.restore.images import Mask, Picture, Rgb, enlarged_rgb, name_of, of_planes, open_picture
from dfrestore.restore.needs import Needs
from dfrestore.restore.possible import possible_steps, possible_window
from dfrestore.restore.results import StepResult
from dfrestore.restore.sound import Making
from dfrestore.restore.work import Work, checked_mask, counting, on_top, with_known
from dfrestore.weights import ModelSpec, Resolved, on_base, resolve


@dataclass(frozen=True)
class Outcome:
    """rgb: the result, float32 (H, W, 3) in [0, 1]. plan, precision: what made it. warnings: one line each.

    spread: where it was wanted, the standard deviation over the members of the ensemble (by n - 1), the largest of the
    three channels, float32 (H, W); before ``keep_color`` and ``strength``. chain: what each task did, where several
    followed one another.
    """

    rgb: Rgb
    plan: str
    precision: str
    warnings: tuple[str, ...]
    spread: NDArray[np.float32] | None = None
    chain: tuple[StepResult, ...] = ()


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
        window: windows.WindowSetting | None = None,
        memory: int | None = None,
    ) -> None:
        """window: of the attention (see :mod:`dfrestore.windows`); None: the checkpoint's own.

        memory: budget in bytes on the device that computes, on a CPU of the whole process; None: most of what is free.
        Raises DeviceError, UsageError, WeightsError.
        """
        self.device: Device = choose_device(device)
        self.precision: Precision = choose_precision(precision, self.device)
        self.spec = spec if window is None else replace(spec, window=possible_window(network, window))
        self.windows = windows.parse(self.spec.window)
        self.network = network.eval()  # the engine moves it to the device
        self.label = label
        self.memory = memory
        self._speeds = Speeds(self.network, self.device, self.precision, self.windows, memory)
        self._process = process_bytes()

    @property
    def restorers(self) -> tuple[Restorer, ...]:
        """Of each task in turn: here the one (see :class:`dfrestore.restore.chain.Chain`)."""
        return (self,)

    @classmethod
    def from_pretrained(
        cls,
        task: str = "derain",
        model: str | Path | None = None,
        *,
        base: str | Path | None = None,
        device: str = "auto",
        precision: str = "auto",
        window: windows.WindowSetting | None = None,
        memory: int | None = None,
    ) -> Restorer:
        """The ``model`` (a name, a file, ``hf://ORG/REPO/FILE@REV``; None: the default) of a task.

        base: the file that it builds on, if any; None: searched by its sha256. device: ``auto``, ``cpu``, ``cuda``,
        ``cuda:1``, ``mps``. precision: ``auto``, ``fp32``, ``bf16``, ``fp16``. Raises UsageError for what does not
        exist, WeightsError and DeviceError for what is not to be had here.
        """
        found = on_base(resolve(model, task=task), None if base is None else Path(base))
        return cls.from_resolved(found, device=device, precision=precision, window=window, memory=memory)

    @classmethod
    def from_resolved(cls, resolved: Resolved, **options: Any) -> Restorer:
        """:meth:`from_pretrained` for a model that has been found already."""
        network, spec = load_network(resolved.path, base=resolved.base)
        return cls(network, spec, label=resolved.label, **options)

    def __call__(
        self,
        image: Picture,
        *,
        steps: int | None = None,
        seed: int = 0,
        tile: int | None = None,
        strength: float = 1.0,
        ensemble: int = 1,
        keep_color: bool = False,
        mask: Mask | None = None,
        size: tuple[int, int] | None = None,
        finish: Finish = PLAIN,
        progress: Watch | None = None,
    ) -> Any:
        """The restored image: path -> PIL image, PIL -> PIL, array -> array of the same shape and dtype.

        PIL holds colour in 8 bits; for 16, give an array, or use :func:`dfrestore.photo.read` and ``write``.

        steps: of the sampler (None: the model's own). seed: of the noise. tile: side of the tiles (None: the whole
        picture, if it fits; 0: always whole). strength: 0 (the input) to 1 (the result). ensemble: number of
        restorations that are averaged; member k has seed + k, and its picture is turned as
        :func:`dfrestore.restore.ensemble.turn_of` says. keep_color: keep the input's broad colours. mask: (H, W), from
        0, where the input stays as it is, to 1; models that fill holes need one. size: (height, width) of the result;
        None: the model's own. finish: what else is done to the result, before ``strength`` and ``mask``.
        progress(done, total) is called during the work. Raises FileFailure and its kinds, UsageError for steps that the
        model cannot do, TypeError, ValueError.
        """
        rgb, as_given = open_picture(image, enlarges=self.network.scale > 1)
        work = self.restore_rgb(
            rgb,
            steps=steps,
            seed=seed,
            plan=tile,
            strength=strength,
            ensemble=ensemble,
            keep_color=keep_color,
            mask=checked_mask(mask, rgb),
            size=size,
            finish=finish,
            watch=progress,
            name=name_of(image),
        )
        return as_given(drain(work, counting(progress)).rgb)

    def with_spread(
        self,
        image: Picture,
        *,
        ensemble: int = 4,
        progress: Watch | None = None,
        **options: Any,
    ) -> tuple[Any, NDArray[np.float32]]:
        """(the restored image, where its members disagree): see :attr:`Outcome.spread`, float32 (H, W).

        options: ``steps``, ``seed``, ``tile``, ``strength``, ``keep_color``, ``mask``, ``size``, ``finish`` as for a
        call. Raises ValueError for an ensemble of less than 2, and what a call raises.
        """
        rgb, as_given = open_picture(image, enlarges=self.network.scale > 1)
        plan, mask = options.pop("tile", None), checked_mask(options.pop("mask", None), rgb)
        work = self.restore_rgb(
            rgb,
            plan=plan,
            ensemble=ensemble,
            spread=True,
            mask=mask,
            watch=progress,
            name=name_of(image),
            **options,
        )
        outcome = drain(work, counting(progress))
        assert outcome.spread is not None
        return as_given(outcome.rgb), outcome.spread

    def steps(
        self,
        image: Picture,
        *,
        steps: int | None = None,
        seed: int = 0,
        tile: int | None = None,
        mask: Mask | None = None,
    ) -> Iterator[Progress]:
        """The same work, a :class:`Progress` at a time.

        After each step its ``estimate`` is float32 (H, W, 3) in [0, 1]; the last one has the ``result``. Where the mask
        is 0, each is the input.
        """
        rgb, _ = open_picture(image, enlarges=self.network.scale > 1)
        mask = checked_mask(mask, rgb)
        for state in self.restore_rgb(rgb, steps=steps, seed=seed, plan=tile, mask=mask, name=name_of(image)):
            shown = state.estimate
            yield state if shown is None else replace(state, estimate=with_known(shown, rgb, mask))

    def plan(self, height: int, width: int, tile: int | None = None, needs: Needs | None = None) -> Plan:
        """How a picture of this size will be worked through. Raises OutOfMemoryFailure, UsageError."""
        beside = (needs or Needs()).beside(self._process, height, width, self.network.scale)
        network, memory, precision, device = self.network, self.memory, self.precision, self.device
        return make_plan(
            height, width, network, tile=tile, memory=memory, precision=precision, device=device, beside=beside
        )

    def expected_seconds(self, height: int, width: int, steps: int, plan: Plan, members: int = 1) -> float | None:
        """How long a restoration will take here; None where that is unknown.

        An unknown speed is measured first, in a second or two, where the work is much larger than that; so is that of
        small tiles, which only users choose.
        """
        work = members * amount(self.network, height, width, steps, plan)
        speed = self._speeds.known()
        in_tiles = plan.explicit and 0 < plan.tile < max(height, width)
        if work < WORTH_MEASURING and (speed is None or in_tiles):
            return None
        try:
            if in_tiles:
                speed = self._speeds.of_tile(plan.tile)
            return work * (speed or self._speeds.measured())
        except OutOfMemoryFailure:  # the photo itself may fit: this is only a guess for people
            return None

    def slowdown(self, height: int, width: int, steps: int, plan: Plan) -> float | None:
        """How many times as long ``plan``, in tiles that the user chose, takes as a plan of ours; None for others.

        None also where either is unknown.
        """
        if not plan.explicit or not 0 < plan.tile < max(height, width):
            return None
        try:
            usual = self.expected_seconds(height, width, steps, self.plan(height, width))
        except OutOfMemoryFailure:
            return None
        seconds = self.expected_seconds(height, width, steps, plan)
        return None if not usual or seconds is None else seconds / usual

    def noise(self, height: int, width: int, seed: int = 0) -> Rgb | None:
        """x_T, what a restoration begins with, as a picture: float32 (H, W, 3), clamped to [0, 1].

        None for models that do not start from a picture of noise.
        """
        if not self.network.from_noise:
            return None
        return of_planes(initial_noise(height, width, seed))

    def restore_rgb(
        self,
        rgb: Rgb,
        *,
        steps: int | None = None,
        seed: int = 0,
        plan: Plan | int | None = None,
        strength: float = 1.0,
        ensemble: int = 1,
        spread: bool = False,
        keep_color: bool = False,
        mask: Mask | None = None,
        size: tuple[int, int] | None = None,
        finish: Finish = PLAIN,
        watch: Watch | None = None,
        name: str = "picture",
    ) -> Generator[Progress, None, Outcome]:
        """Yield progress, return the :class:`Outcome`; rgb: float32 (H, W, 3) in [0, 1].

        size: (height, width) of the result; None: the model's own, which is the picture's times its scale.
        mask: float32 (H, W) in [0, 1], how much of the result there is at a pixel: 0 leaves the input as it is. Models
        that fill holes see it too. watch(done, total) is called many times between two records.

        A faulty result in half precision is redone in fp32. If memory runs out, tiles take over, unless ``plan`` sets
        the tile. plan: from :meth:`plan`, or the side of the tiles. spread: also measure it, which needs two members.
        Progress counts the evaluations of all members; estimates are those of the present member, upright, as the
        network makes them, without ``mask``, ``strength`` and ``size``.
        Raises BadResultError and OutOfMemoryFailure, which name ``name``.
        """
        steps = self.checked_steps(steps)
        if ensemble < (2 if spread else 1):
            raise ValueError(f"an ensemble has {'2 members' if spread else '1 member'} at least, not {ensemble}")
        if not 0 <= seed <= 2**63 - ensemble:
            raise ValueError(f"seed is from 0 to 2**63 - {ensemble}, not {seed}")
        if not 0 <= strength <= 1:
            raise ValueError(f"strength is from 0 to 1, not {strength}")
        if self.network.mask and mask is None:
            raise ValueError("this model fills holes and needs a mask: mask=, (H, W) from 0 to 1, where 1 is filled")
        if self.network.mask and mask is not None and not (mask == 0).any():
            raise ValueError("nothing to fill from: the mask is nowhere 0, and the model sees only what is 0 in it")
        if size is not None and not (len(size) == 2 and min(size) >= 1):
            raise ValueError(f"size is (height, width), each 1 or more, not {size}")
        warnings: list[str] = []
        tally = Tally(spread=spread)
        try:
            begin = time.perf_counter()
            if not isinstance(plan, Plan):
                blended = keep_color or strength < 1 or mask is not None
                plan = self.plan(rgb.shape[0], rgb.shape[1], plan, Needs(size, ensemble, spread, blended))
            job = Work(rgb, mask if self.network.mask else None, steps, seed, watch, warnings)
            plan, precision = yield from self._members(job, ensemble, plan, tally)
            if not warnings and not (plan.explicit and plan.tile):  # nothing was done twice, nor in small tiles
                work = ensemble * amount(self.network, rgb.shape[0], rgb.shape[1], steps, plan)
                self._speeds.learn(time.perf_counter() - begin, work)
        except (OutOfMemoryFailure, BadResultError) as error:
            raise type(error)(f"{name}: {error}") from error
        unsure, result = tally.spread(), tally.mean
        del tally
        if size is not None and result.shape[:2] != size:
            result = enlarged_rgb(result, *size)
            unsure = None if unsure is None else resized(unsure, *size)
        if unsure is not None and mask is not None:  # elsewhere the members do not count
            unsure *= in_size(mask, *unsure.shape)
        how: dict[str, Any] = {"strength": strength, "mask": mask, "keep_color": keep_color, "fills": self.network.mask}
        result = on_top(rgb, result, **how, finish=finish, seed=seed)
        return Outcome(result, plan.describe(), precision.name, tuple(warnings), unsure)

    def _members(
        self, work: Work, ensemble: int, plan: Plan, tally: Tally
    ) -> Generator[Progress, None, tuple[Plan, Precision]]:
        """Fill the tally. When a member needs another plan or precision, the later members use it too."""
        making, precision, total = Making(self.network, self.device, self.windows), self.precision, 0.0
        for member in range(ensemble):
            turn = turn_of(member, self.spec.task)
            one = making.sound(work.of_member(member, ensemble, turn), plan, precision)
            (result, plan, precision), total = yield from as_member(one, member, ensemble, turn)
            tally.add(turn.undo(result))
            del result  # or it would be held while the next one is made
        yield Progress(total, total, tally.mean)
        return plan, precision

    def checked_steps(self, steps: int | None) -> int:
        """``steps``, or the model's default. Raises :class:`UsageError` for what the model cannot do."""
        return possible_steps(self.network, self.spec.default_steps if steps is None else steps)
