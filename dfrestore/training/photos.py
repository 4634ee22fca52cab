"""Decoded training data: clean photos or pairs, and the findings about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["no target", "no input", "no mask", "unreadable", "sizes", "small", "identical"]


@dataclass(frozen=True)
class Source:
    """One thing to train on: the clean picture's file, for pairs the degraded one's after it, then its masks'."""

    name: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Finding:
    """Something that the owner of the data should know about one file or pair; ``text`` names it."""

    kind: Kind
    text: str

    @property
    def left_out(self) -> bool:
        """Identical pairs are trained on: data sets hold clean pictures on purpose."""
        return self.kind != "identical"


@dataclass(frozen=True)
class Photos:
    """Clean photos, uint8 tensors (3, H, W) in memory or in a mapped file, and their names.

    inputs: the degraded picture of each, of the same size or smaller by the network's scale; empty where pairs are made
    on the fly. masks: of the pairs, where they have any: uint8 (3, H, W), of which one channel counts, 255 in the hole.
    mixed: clean photos beside pairs, for a part of each batch.
    """

    names: tuple[str, ...]
    pixels: tuple[Tensor, ...]
    findings: tuple[Finding, ...] = ()
    inputs: tuple[Tensor, ...] = ()
    mixed: Photos | None = None
    masks: tuple[Tensor, ...] = ()

    @property
    def paired(self) -> bool:
        """Whether each has its degraded picture."""
        return bool(self.inputs)

    @property
    def noun(self) -> str:
        """What a user calls them."""
        return "pairs" if self.paired else "photos"

    @property
    def left_out(self) -> int:
        """How many files or pairs cannot be used."""
        return sum(finding.left_out for finding in self.findings)

    @cached_property
    def areas(self) -> Tensor:
        """(N,) float32: pixels of each."""
        return torch.tensor([float(p.shape[1] * p.shape[2]) for p in self.pixels])

    def split(self, held_out: int, least: int = 0) -> tuple[Photos, Photos]:
        """(training, validation): at most ``held_out`` photos, evenly spread over the sorted names, at most a fifth.

        least: held out even where that is more than a fifth, as long as one is left to train on.
        """
        total = len(self.names)
        count = min(held_out, max(total // 5, min(least, total - 1)))
        chosen = {round((i + 0.5) * total / count) for i in range(count)} if count > 0 else set()
        training = self._pick([i for i in range(total) if i not in chosen])
        return replace(training, mixed=self.mixed), self._pick(sorted(chosen))

    def _pick(self, indices: Sequence[int]) -> Photos:
        return Photos(
            tuple(self.names[i] for i in indices),
            tuple(self.pixels[i] for i in indices),
            inputs=tuple(self.inputs[i] for i in indices) if self.inputs else (),
            masks=tuple(self.masks[i] for i in indices) if self.masks else (),
        )
