"""What a method is: a paper's network, its sampler, its training stages, and how its authors' files are read.

Nothing outside :mod:`dfrestore.methods` knows a paper's names; the engine, the trainer and the command line know what
stands here. A network owns its sampler: :meth:`Network.restore` says what is evaluated, and in which order. The engine
passes it a :class:`Run`, which says how each evaluation goes over the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor, nn

from dfrestore.diffusion import initial_noise
from dfrestore.methods.differences import Shapes
from dfrestore.nn import LEVELS, How, Literal
from dfrestore.nn.padding import Padding, pad
from dfrestore.weights.spec import ModelSpec

Evaluate = Callable[..., Tensor]
"""evaluate(how, *pictures): one evaluation of a part of the network, pictures (1, C, H, W) -> (1, C', sH, sW)."""


# -- restoring ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """All that a restoration starts from.

    planes: (3 or 4, H, W) float32 in [0, 1], padded; the 4th is the mask, 1 = hole. The network may overwrite them.
    height, width: unpadded. seed: of everything random. multiple, padding: how the planes were padded.
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
        """Standard normal (channels, H, W), drawn on the CPU for the unpadded picture, then padded like it."""
        drawn = initial_noise(self.height, self.width, self.seed, channels)
        return pad(drawn, self.multiple, self.padding).to(self.planes.device)

    def vector(self, length: int) -> Tensor:
        """Standard normal (length,)."""
        generator = torch.Generator("cpu").manual_seed(self.seed)
        return torch.randn(length, generator=generator).to(self.planes.device)


class Run(Protocol):
    """One evaluation of a part of the network over the picture: whole, or a tile at a time and blended.

    A generator that pauses between tiles. pictures: (C, H, W), padded. It returns (C', sH, sW) float32; s: ``scale``.
    """

    def __call__(self, evaluate: Evaluate, *pictures: Tensor, scale: int = 1) -> Generator[None, None, Tensor]: ...

    def whole(self, evaluate: Evaluate, *pictures: Tensor) -> Generator[None, None, Tensor]:
        """Never in tiles: for what must see the whole picture."""
        ...


@dataclass(frozen=True)
class Estimate:
    """The result so far. image: (3, sH, sW), padded, in [0, 1] with some overshoot. x_t: the sampler's state (3, H, W),
    to look at, standard normal at first; None where there is no such state.
    """

    image: Tensor
    x_t: Tensor | None = None


@dataclass(frozen=True)
class Footprint:
    """What an evaluation keeps in memory; the engine makes bytes of it. A position is stride x stride pixels.

    kept: values of features per position, at the peak. widest: values per position of the widest map, of which only a
    strip exists at a time. stride: of level 1. states: float32 values per input pixel that the sampler holds besides.
    """

    kept: float
    widest: float
    stride: int = 1
    states: int = 12


class Network(nn.Module):
    """What the engine and the trainer need of a method's network, besides calling it.

    ``forward`` is the paper's arithmetic; ``walk(how, ...)`` computes the same from the same tensors, with the verbs of
    ``how``.

    multiple: sides are padded to multiples of it. scale: how many times larger than the picture the result is. mask:
    whether it takes a fourth plane. padding: how sides are padded. steps: the step counts it can do. default_steps:
    the model's own count. from_noise: whether its sampler starts from a picture of noise, x_T; one that does not makes
    a single estimate, which hardly depends on the seed. levels: those of its U, from 1, the finest; each may have
    windows.
    """

    multiple: int
    scale: int = 1
    mask: bool = False
    padding: Padding = "reflect"
    steps: Sequence[int]
    default_steps: int
    from_noise: bool = False
    levels: Sequence[int] = tuple(sorted(set(LEVELS.values())))
    walk: Callable[..., Tensor]

    @property
    def footprint(self) -> Footprint:
        raise NotImplementedError

    def parts(self, steps: int) -> list[float]:
        """The relative cost of each evaluation that :meth:`restore` asks for, in order."""
        raise NotImplementedError

    def restore(self, given: Given, run: Run, steps: int) -> Iterator[Estimate | None]:
        """Yield None in a pause, and an estimate after each step; the last one is the result.

        steps: one of :attr:`steps`.
        """
        raise NotImplementedError

    @property
    def training_form(self) -> Callable[..., Any]:
        """What a training step evaluates: form(how, ...)."""
        return self.walk

    def begun_from(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What training starts with where it is given the tensors of this network, or of one that it can widen."""
        return tensors

    def ends(self) -> tuple[nn.Module, ...]:
        """The layers that read or write pictures: an optimiser for matrices leaves their weights out."""
        raise NotImplementedError


# -- training -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """A part of an iteration's batch, computed at once.

    clean: (b, 3, P, P) float32 in [0, 1], on the training device. degraded: (b, 3 or 4, P / s, P / s); the fourth plane
    is the mask, 1 = hole; s: how many times the network enlarges. part: which samples of the whole batch these are.
    size: samples of the whole batch.
    """

    clean: Tensor
    degraded: Tensor
    part: slice
    size: int


Extras = Mapping[str, nn.Module]
MADE = "made"
"""Among a stage's losses: no loss, but the pictures that its discriminator is then shown."""

Call = Callable[..., Any]
"""call(...): the network's :attr:`Network.training_form`, computed as the run wants it."""


class Stage:
    """A stage of training: a frozen dataclass, whose fields are its settings in a run's ``[stages.NAME]``.

    averages_of: names of stages; directly after one of them, this one starts from the averages of the parameters. made:
    the stage that the header of its files names, where they cannot restore; "": they can. restores: whether validation
    compares what it restores with clean pictures; else the stage judges itself, by :meth:`judged`.
    """

    name: ClassVar[str]
    averages_of: ClassVar[tuple[str, ...]] = ()
    made: ClassVar[str] = ""
    restores: ClassVar[bool] = True

    def resolved(self, default_steps: int) -> Self:
        """The same stage; settings that were left open are taken from the model."""
        return self

    def trains(self, network: Any) -> list[nn.Parameter]:
        """The parameters that it changes. ValueError for a network that it cannot train."""
        return list(network.parameters())

    def prepare(self, network: Any) -> None:
        """Load what its settings name into the network, at the start of a run. Raises WeightsError or ValueError."""

    def needs(self) -> tuple[str, ...]:
        """How the names of parameters begin that must have been trained before it: by an earlier stage of the run, or
        in its base or its start model.
        """
        return ()

    def extras(self, network: Any) -> dict[str, nn.Module]:
        """Teachers and discriminators: saved for resuming, but neither averaged nor part of the model."""
        return {}

    def losses(
        self, network: Any, call: Call, batch: Batch, draw: torch.Generator, extras: Extras
    ) -> dict[str, Tensor]:
        """Means over this part of the batch; ``loss`` is optimised, the rest is logged.

        draw: begins anew for each part of a batch, so a stage draws for the whole batch and takes ``batch.part`` of it.
        extras: what :meth:`extras` made at the start of the stage, in its present state.
        """
        raise NotImplementedError

    def remarks(self) -> tuple[str, ...]:
        """What a user should know before it trains, one line each; the model's card says it too."""
        return ()

    def critic_parameters(self, extras: Extras) -> list[nn.Parameter]:
        """Of the discriminator among the extras, which has an optimiser of its own; empty where there is none."""
        return []

    def critic_rate(self, share: float) -> float:
        """Its rate where the stage's stands at this share of its base rate."""
        return 0.0

    def critic_loss(self, batch: Batch, made: Tensor, extras: Extras) -> Tensor:
        """What the discriminator is trained for. made: what the stage's losses had as :data:`MADE`."""
        raise NotImplementedError

    @property
    def by_psnr(self) -> bool:
        """Whether the state of the highest PSNR is the best; else the last one is."""
        return True

    def improved(self, score: float, best: float) -> bool:
        """Whether a state with this PSNR, or score, replaces the best one so far."""
        return score > best or not self.by_psnr

    def restored(self, network: Any, pair: Pair, steps: int, seed: int, how: How) -> Tensor:
        """What validation looks at: (3, sH, sW), unclamped."""
        return restored_at_once(network, pair.degraded, steps, seed, how)

    def judged(self, network: Any, pair: Pair, index: int, how: How) -> Tensor:
        """Of a stage that does not restore: numbers of one held-out picture, float64 (N,), which are summed over all.

        index: of the picture; whatever is drawn follows from it, so that every validation sees the same.
        """
        raise NotImplementedError

    def verdict(self, network: Any, sums: Tensor) -> Verdict:
        """What the sums of :meth:`judged` say, (N,)."""
        raise NotImplementedError

    def step_counts(self) -> tuple[int, ...]:
        """Step counts that validation measures besides the model's own; empty where there are none."""
        return ()

    def variants(self) -> list[tuple[Self, int]]:
        """For measuring time: a stage for each kind of iteration that this one draws, and how often that kind comes."""
        return [(self, 1)]


@dataclass(frozen=True)
class Pair:
    """A picture of validation. degraded: (3 or 4, H, W), clean: (3, sH, sW); float32 in [0, 1]."""

    degraded: Tensor
    clean: Tensor


@dataclass(frozen=True)
class Verdict:
    """How good a network is that does not restore. score: from 0 to 1, the higher the better. rows: a table of numbers
    from 0 to 1, by the names of rows and columns.
    """

    score: float
    rows: Mapping[str, Mapping[str, float]]


# -- the whole ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recognised:
    """An authors' file, understood. network, sampling, default_steps, stage: for the checkpoint's header.

    rename: name in the file -> name in the network; tensors that it does not name are left out. project: the address of
    its authors' page.
    """

    network: Mapping[str, Any]
    sampling: Mapping[str, Any]
    default_steps: int
    rename: Mapping[str, str]
    project: str
    stage: str = ""


@dataclass(frozen=True)
class Method:
    """name: as in a checkpoint's header. build: makes an untrained network; ValueError for impossible settings.

    read: recognises an authors' file by the shapes of its tensors; the second argument is the file's name, for errors.
    It returns None for tensors that are not this method's, and raises WeightsError for those that nearly are.
    stages: in the order in which they train. finetunes: the one that trains a finished model on. build_for_training:
    the network with what only training needs beside it; None: the same network.
    """

    name: str
    build: Callable[[ModelSpec], Network]
    read: Callable[[Shapes, str], Recognised | None]
    stages: tuple[type[Stage], ...]
    finetunes: str
    build_for_training: Callable[[ModelSpec], Network] | None = None

    def for_training(self, spec: ModelSpec) -> Network:
        """The network that training holds. ValueError for impossible settings."""
        return (self.build_for_training or self.build)(spec)


# -- runs without an engine -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AtOnce:
    """A :class:`Run` that evaluates the whole picture at once. how: the way to compute it."""

    how: How | Literal

    def __call__(self, evaluate: Evaluate, *pictures: Tensor, scale: int = 1) -> Generator[None, None, Tensor]:
        yield from ()
        return evaluate(self.how, *(picture[None] for picture in pictures))[0]

    def whole(self, evaluate: Evaluate, *pictures: Tensor) -> Generator[None, None, Tensor]:
        return self(evaluate, *pictures)


def restored_at_once(network: Network, picture: Tensor, steps: int, seed: int = 0, how: How | None = None) -> Tensor:
    """The result for a picture (3 or 4, H, W) in [0, 1], unclamped. how: None for the network's ``forward``.

    For the self-test, for proofs and for validation. Pictures may have any size; all of their features are in memory.
    """
    given = Given.of(picture.cpu().clone(), seed, network, picture.device)
    run = AtOnce(Literal() if how is None else how)
    estimates = [estimate for estimate in network.restore(given, run, steps) if estimate is not None]
    scale = network.scale
    return estimates[-1].image[:, : given.height * scale, : given.width * scale]
