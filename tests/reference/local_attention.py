"""Attention under local statistics, written down pixel by pixel."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from dfrestore.nn.attention import TransposedAttention
from dfrestore.nn.cells import Axis, Grid


def local_attention(q: Tensor, k: Tensor, v: Tensor, attn: TransposedAttention, cells: Grid) -> Tensor:
    """q, k, v (B, H, W, C) -> (B, H, W, C): each pixel's four surrounding matrices, weighted bilinearly.

    Down, all rows of a step have the weights of its middle.
    """
    rows, columns = cells.rows, cells.columns
    matrices = {
        (i, j): window_matrix(q, k, attn, weights(rows, i)[:, None] * weights(columns, j))
        for i in range(rows.cells)
        for j in range(columns.cells)
    }
    projection = attn.project_out.weight.flatten(1)
    out = torch.zeros_like(v)
    for y, x in itertools.product(range(rows.length), range(columns.length)):
        (i, f), (j, g) = between(rows, middle(rows, y)), between(columns, x)
        below, right = min(i + 1, rows.cells - 1), min(j + 1, columns.cells - 1)
        upper = (1 - g) * matrices[i, j] + g * matrices[i, right]
        lower = (1 - g) * matrices[below, j] + g * matrices[below, right]
        matrix = (1 - f) * upper + f * lower  # (B, heads, c, c)
        values = v[:, y, x].unflatten(1, (attn.heads, -1))  # (B, heads, c)
        out[:, y, x] = torch.einsum("bhij,bhj->bhi", matrix, values).flatten(1) @ projection.t()
    return out


def weights(axis: Axis, i: int) -> Tensor:
    """How much each position is in the window of cell i."""
    in_window = dict(zip(axis.window(i), axis.weights, strict=True))
    values = [in_window.get(position // axis.side, 0.0) for position in range(axis.length)]
    return torch.tensor(values, dtype=torch.float64)


def window_matrix(q: Tensor, k: Tensor, attn: TransposedAttention, weight: Tensor) -> Tensor:
    """(B, heads, c, c): the paper's attention matrix from the weighted pixels alone."""
    root = weight.to(q).sqrt()[None, :, :, None]
    q, k = (F.normalize((x * root).flatten(1, 2), dim=1) for x in (q, k))  # (B, N, C)
    q, k = (x.unflatten(2, (attn.heads, -1)) for x in (q, k))
    return (torch.einsum("bnhi,bnhj->bhij", q, k) * attn.temperature).softmax(dim=-1)


def middle(axis: Axis, position: int) -> float:
    """Of the step that the position is in; steps are counted from the centre of a cell."""
    since = axis.side // 2
    return (position + since) // axis.step_rows * axis.step_rows - since + (axis.step_rows - 1) / 2


def between(axis: Axis, position: float) -> tuple[int, float]:
    """The cell whose centre lies at or before the position, and how far it is to the next one's, from 0 to 1."""
    place = (position + 0.5) / axis.side - 0.5
    i = min(max(math.floor(place), 0), max(0, axis.cells - 2))
    return i, min(1.0, max(0.0, place - i))
