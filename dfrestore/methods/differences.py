"""How the tensors of a file differ from those of a network, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]
_SHOWN = 3  # differing tensors named in a message


def compare_shapes(stored: Shapes, expected: Shapes) -> list[str]:
    """A phrase for each difference: missing, unexpected, or of another shape; empty when all names and shapes agree."""
    missing = [f"'{key}' missing" for key in expected if key not in stored]
    extra = [f"'{key}' {list(shape)} unexpected" for key, shape in stored.items() if key not in expected]
    other = [
        f"'{key}' {list(shape)} instead of {list(expected[key])}"
        for key, shape in stored.items()
        if key in expected and expected[key] != shape
    ]
    return other + missing + extra


def compare_tensors(stored: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """:func:`compare_shapes`, and a phrase for each tensor that is floating point on one side only."""
    kinds = [
        f"'{key}' of type {str(tensor.dtype).removeprefix('torch.')}"
        for key, tensor in stored.items()
        if key in expected and tensor.is_floating_point() != expected[key].is_floating_point()
    ]
    return kinds + compare_shapes(shapes_of(stored), shapes_of(expected))


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of ``tensors``."""
    return {key: tuple(tensor.shape) for key, tensor in tensors.items()}


def in_short(differences: Sequence[str]) -> str:
    """The first few differences and how many more there are."""
    more = f", and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
    return ", ".join(differences[:_SHOWN]) + more
