"""What is a faulty result, and what is running out of memory."""

from __future__ import annotations

import numpy as np
import pytest

from dfrestore.engine import is_out_of_memory
from dfrestore.restore.checks import fault, variation

PHOTO = np.random.default_rng(0).random((300, 20, 3)).astype(np.float32)
FLAT = np.broadcast_to(np.float32([0.2, 0.5, 0.7]), PHOTO.shape)


def test_a_result_that_varies_is_sound() -> None:
    assert fault(PHOTO, PHOTO) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_is_a_fault(value: float) -> None:
    result = PHOTO.copy()
    result[299, 19, 2] = value
    assert fault(PHOTO, result) == "values that are not finite"


def test_one_colour_from_a_photo_is_a_fault() -> None:
    assert fault(PHOTO, FLAT) == "one constant colour"


def test_one_colour_from_one_colour_is_sound() -> None:
    assert fault(FLAT, FLAT) is None


def test_one_channel_that_varies_is_enough() -> None:
    result = FLAT.copy()
    result[..., 1] = PHOTO[..., 1]
    assert fault(PHOTO, result) is None


def test_variation_is_the_largest_standard_deviation_of_a_channel() -> None:
    assert variation(PHOTO) == pytest.approx(PHOTO.std(axis=(0, 1)).max(), rel=1e-4)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("MPS backend out of memory"),
        RuntimeError("could not create a primitive"),
    ],
)
def test_running_out_of_memory_is_told_from_its_wording(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("out of memory")])
def test_other_errors_are_not_about_memory(error: Exception) -> None:
    assert not is_out_of_memory(error)
