"""What a method is: a paper's network, its sampler, its training stages, and how its authors' files are read.

Nothing outside :mod:`dfrestore.methods` knows a paper's names; the engine, the trainer and the command line know what
stands here. A network owns its sampler: :meth:`Network.restore` says what is evaluated, in which order; a :class:`Run`,
which the engine brings, says how each evaluation goes over the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor, nn

from dfrestore.diffusion import initial_noise
from dfrestore.nn import How, Literal
from dfrestore.nn.padding import Padding, pad
from dfrestore.weights.spec import ModelSpec

Shapes = Mapping[str, tuple[int, ...]]
Evaluate = Callable[..., Tensor]
"""evaluate(how, *pictures): one evaluation of a part of the network, pictures (1, C, H, W) -> (1, C', sH, sW)."""


# -- restoring ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """All that a restoration starts from.

    planes: (3 or 4, H, W) float32 in [0, 1], padded; the 4th is the mask, 1 = hole. Its memory is the network's to
    use. height, width: unpadded. seed: of everything random.
    """

    planes: Tensor
    height: int
    width: int
    seed: int
    multiple: int
    padding: Padding = "reflect"

    @classmethod
    def of(cls, planes: Tensor, seed: int, network: Network, home: torch.device) -> Given:
        """Padded for this network. planes: unpadded, on the CPU; home: where the restoration's pictures are kept."""
        _, height, width = planes.shape
        padded = pad(planes, network.multiple, network.padding).to(home)
        return cls(padded, height, width, seed, network.multiple, network.padding)

    def noise(self, channels: int = 3) -> Tensor:
        """Standard normal (channels, H, W), drawn on the CPU for the unpadded picture, then padded alike."""
        drawn = initial_noise(self.height, self.width, self.seed, channels)
        return pad(drawn, self.multiple, self.padding).to(self.planes.device)

    def vector(self, length: int) -> Tensor:
        """Standard normal (length,)."""
        generator = torch.Generator("cpu").manual_seed(self.seed)
        return torch.randn(length, generator=generator).to(self.planes.device)


class Run(Protocol):
    """One evaluation of a part of the network over the picture: whole, or a tile at a time and blended.

    A generator that pauses between tiles. pictures: (C, H, W), padded; returns (C', sH, sW) float32, s the ``scale``.
    """

    def __call__(self, evaluate: Evaluate, *pictures: Tensor, scale: int = 1) -> Generator[None, None, Tensor]: ...

    def whole(self, evaluate: Evaluate, *pictures: Tensor) -> Generator[None, None, Tensor]:
        """Never in tiles: for what must see the whole picture."""
        ...


@dataclass(frozen=True)
class Estimate:
    """What the result is so far. image: (3, sH, sW), padded; in [0, 1] but for what overshoots. x_t: the sampler's
    state to look at, where there is one, (3, H, W), standard normal at first.
    """

    image: Tensor
    x_t: Tensor | None = None


@dataclass(frozen=True)
class Footprint:
    """What an evaluation keeps in memory, to be counted in bytes by the engine. A position is stride x stride pixels.

    kept: values of features at a position, at the peak. widest: values of the widest map at one, of which a strip
    exists. stride: of level 1. states: float32 values an input pixel that the sampler holds beside.
    """

    kept: float
    widest: float
    stride: int = 1
    states: int = 12


class Network(nn.Module):
    """What the engine and the trainer need of a method's network, besides calling it.

    ``forward`` is the paper's arithmetic; ``walk(how, ...)`` is the same of the same tensors with the verbs of ``how``.

    multiple: sides are padded to multiples of it. scale: the result is so many times larger. mask: takes a fourth
    plane. steps: the step counts it can do. default_steps: the model's own count. from_noise: whether its sampler
    starts from a picture of noise, x_T.
    """

    multiple: int
    scale: int = 1
    mask: bool = False
    padding: Padding = "reflect"
    steps: Sequence[int]
    default_steps: int
    from_noise: bool = False
    walk: Callable[..., Tensor]

    @property
    def footprint(self) -> Footprint:
        raise NotImplementedError

    def parts(self, steps: int) -> list[float]:
        """The relative cost of each evaluation that :meth:`restore` asks for, in order."""
        raise NotImplementedError

    def restore(self, given: Given, run: Run, steps: int) -> Iterator[Estimate | None]:
        """None in a pause, else an estimate; the last one is the result. ``steps``: one of :attr:`steps`."""
        raise NotImplementedError

    def ends(self) -> tuple[nn.Module, ...]:
        """The layers that read or write pictures: to an optimiser for matrices, their weights are none."""
        raise NotImplementedError


# -- training -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """The part of an iteration's batch that is computed at a time.

    clean, degraded: (b, 3, P, P) float32 in [0, 1], on the training device. part: which samples of the whole batch
    these are; size: how many that has.
    """

    clean: Tensor
    degraded: Tensor
    part: slice
    size: int


Extras = Mapping[str, nn.Module]


class Stage(Protocol):
    """A stage of training: a frozen dataclass, whose fields are its settings in a run's ``[stages.NAME]``."""

    name: ClassVar[str]

    def resolved(self, default_steps: int) -> Self:
        """What was left open follows the model."""
        ...

    def trains(self, network: Any) -> list[nn.Parameter]:
        """The parameters that it changes."""
        ...

    def extras(self, network: Any) -> dict[str, nn.Module]:
        """Teachers, discriminators: saved for resuming, not averaged, not in the model."""
        ...

    def losses(
        self, network: Any, call: Callable[..., Tensor], batch: Batch, draw: torch.Generator, extras: Extras
    ) -> dict[str, Tensor]:
        """Means over this part of the batch; ``loss`` is optimised, the rest is logged.

        call: the network's training form. draw: fresh for each part of a batch, so a stage draws for the whole batch
        and takes ``batch.part`` of it. extras: what :meth:`extras` made at the start of the stage, as it is now.
        """
        ...

    def step_counts(self) -> tuple[int, ...]:
        """Of the sampler, that validation looks at besides the model's own; empty where there are none."""
        ...

    def variants(self) -> list[tuple[Self, int]]:
        """This stage held to each kind of iteration that it draws, and how often that comes: to measure its time."""
        ...


# -- the whole ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recognised:
    """An authors' file, understood. network, sampling, default_steps, stage: for the checkpoint's header.

    rename: name in the file -> name in the network; what is missing in it is left out. project: its authors' address.
    """

    network: Mapping[str, Any]
    sampling: Mapping[str, Any]
    default_steps: int
    rename: Mapping[str, str]
    project: str
    stage: str = ""


@dataclass(frozen=True)
class Method:
    """name: as in a checkpoint's header. build: an untrained network; ValueError for impossible settings. read: None
    for tensors that are not this method's, WeightsError for those that nearly are.
    """

    name: str
    build: Callable[[ModelSpec], Network]
    read: Callable[[Shapes, str], Recognised | None]
    stages: tuple[type[Stage], ...]


# -- runs without an engine -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AtOnce:
    """A :class:`Run` that evaluates the whole picture at once: ``how`` it is computed is given."""

    how: How | Literal

    def __call__(self, evaluate: Evaluate, *pictures: Tensor, scale: int = 1) -> Generator[None, None, Tensor]:
        yield from ()
        return evaluate(self.how, *(picture[None] for picture in pictures))[0]

    def whole(self, evaluate: Evaluate, *pictures: Tensor) -> Generator[None, None, Tensor]:
        return self(evaluate, *pictures)


def restored_at_once(network: Network, picture: Tensor, steps: int, seed: int = 0, how: How | None = None) -> Tensor:
    """The result for a picture (3 or 4, H, W) in [0, 1], unclamped: literally, or with the verbs of ``how``.

    For the self-test, for proofs and for validation; pictures of any size, in memory for all of their features.
    """
    given = Given.of(picture.cpu().clone(), seed, network, picture.device)
    run = AtOnce(Literal() if how is None else how)
    estimates = [estimate for estimate in network.restore(given, run, steps) if estimate is not None]
    scale = network.scale
    return estimates[-1].image[:, : given.height * scale, : given.width * scale]
