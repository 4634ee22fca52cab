"""Overlapping tiles of one size over a picture, and the smooth weights that blend them.

The grid is a product of rows and columns, and so are the weights: no weight map of the picture's size exists.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dfrestore.nn.padding import round_up


@dataclass(frozen=True)
class Spans:
    """One axis cut into overlapping spans of ``length``; weights[i] (length,) float32 belongs to starts[i].

    Over every position the weights of the spans that cover it sum to one.
    """

    starts: tuple[int, ...]
    length: int
    weights: tuple[Tensor, ...]


@dataclass(frozen=True)
class Tile:
    """A place in the picture and its blending weight (height, width) float32."""

    rows: slice
    columns: slice
    weight: Tensor


def starts(side: int, tile: int, overlap: int, multiple: int) -> tuple[int, ...]:
    """Evenly spread starts of spans of ``tile`` that cover ``side`` and overlap by at least ``overlap``.

    All arguments are multiples of ``multiple`` and so are the starts, which keeps the network's own grid in place;
    the first span begins at 0 and the last one ends at ``side``. A side within one tile has one span.
    """
    if side <= tile:
        return (0,)
    count = math.ceil((side - overlap) / (tile - overlap))
    room = (side - tile) // multiple
    return tuple(multiple * round(room * i / (count - 1)) for i in range(count))


def window(length: int) -> Tensor:
    """A raised cosine over ``length`` positions, float64, positive everywhere."""
    return torch.sin((torch.arange(length, dtype=torch.float64) + 0.5) * (math.pi / length)).square()


def tight(side: int, tile: int, overlap: int, multiple: int) -> int:
    """The shortest span that covers ``side`` in as many spans as ``tile`` needs: less is computed twice."""
    count = len(starts(side, tile, overlap, multiple))
    return round_up(math.ceil((side + (count - 1) * overlap) / count), multiple)


def spans(side: int, tile: int, overlap: int, multiple: int) -> Spans:
    """:func:`starts` with their normalised weights."""
    length = min(tile, side)
    places = starts(side, tile, overlap, multiple)
    shape = window(length)
    total = torch.zeros(side, dtype=torch.float64)
    for start in places:
        total[start : start + length] += shape
    weights = tuple((shape / total[start : start + length]).float() for start in places)
    return Spans(places, length, weights)


def tiles(rows: Spans, columns: Spans) -> Iterator[Tile]:
    """Every tile, row by row."""
    for top, down in zip(rows.starts, rows.weights, strict=True):
        for left, across in zip(columns.starts, columns.weights, strict=True):
            yield Tile(
                slice(top, top + rows.length), slice(left, left + columns.length), down[:, None] * across[None, :]
            )
