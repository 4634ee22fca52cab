"""Padding a picture to the sizes that a network takes; cropping back is a slice."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Padding = Literal["reflect", "symmetric"]


def round_up(side: int, multiple: int) -> int:
    """The smallest multiple that is at least ``side``."""
    return -(-side // multiple) * multiple


def padded_index(side: int, multiple: int, padding: Padding = "reflect") -> Tensor:
    """Source positions of a side padded at its end to a multiple, int64: mirrored, without the edge or with it twice.

    A side too small for that is mirrored as far as it goes, and its last value then repeated: 1 works.
    """
    index = torch.arange(round_up(side, multiple))
    mirrored = 2 * (side - 1) - index + (padding == "symmetric")
    return torch.where(index < side, index, mirrored).clamp_min(0)


def pad(image: Tensor, multiple: int, padding: Padding = "reflect") -> Tensor:
    """(C, H, W) -> (C, H', W') with both sides padded to multiples, at the bottom and on the right."""
    _, height, width = image.shape
    if height % multiple:
        image = image.index_select(1, padded_index(height, multiple, padding))
    if width % multiple:
        image = image.index_select(2, padded_index(width, multiple, padding))
    return image
