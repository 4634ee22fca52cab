from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.random_network import random_network

from dfrestore.engine import Beside, Device, Plan, choose_precision, make_plan, smaller_plan, with_precision
from dfrestore.engine.plan import network_bytes
from dfrestore.errors import OutOfMemoryFailure, UsageError

CPU = Device(torch.device("cpu"), "cpu", "test")
GPU = Device(torch.device("cuda", 0), "cuda:0", "test")  # only looked at, never used
FP32, BF16 = choose_precision("fp32", CPU), choose_precision("bf16", CPU)
NETWORK, _ = random_network(dim=32, stem=2)
GB = 10**9


def plan(
    height: int, width: int, *, tile: int | None = None, memory: int | None = 8 * GB, device: Device = CPU
) -> Plan:
    return make_plan(height, width, NETWORK, tile=tile, memory=memory, precision=FP32, device=device)


def test_a_picture_that_fits_goes_whole() -> None:
    got = plan(1000, 1500)
    assert (got.kind, got.tile, got.overlap, got.explicit) == ("whole", 0, 0, False)
    assert got.describe() == "whole image, about 0.4 GB"


def test_a_picture_that_does_not_fit_keeps_its_features_in_16_bit() -> None:
    assert not plan(4000, 6000, memory=5 * GB).half_features
    got = plan(4000, 6000, memory=3 * GB)
    assert (got.kind, got.half_features) == ("whole", True)
    assert got.describe() == "whole image, features kept in 16 bit, about 2.8 GB"


def test_what_is_computed_in_16_bit_is_kept_in_16_bit_anyway() -> None:
    got = make_plan(4000, 6000, NETWORK, memory=25 * GB // 10, precision=BF16, device=CPU)
    assert (got.kind, got.half_features) == ("tiles", False)


def test_a_picture_that_does_not_fit_whole_goes_in_the_largest_tiles_that_do() -> None:
    assert [plan(4000, 6000, memory=m * GB // 100).tile for m in (4000, 200, 140, 130)] == [0, 2048, 1024, 512]


def test_tiles_overlap_by_an_eighth_and_say_so() -> None:
    got = plan(4000, 6000, memory=15 * GB // 10)
    assert (got.tile, got.overlap) == (1024, 128)
    assert got.describe().startswith("tiles of 1024 or less overlapping by 128, about 1.")
    assert plan(4000, 6000, tile=512).describe().startswith("tiles of 512 overlapping by 64, about 1.")


def test_a_picture_that_fits_in_no_plan_is_its_own_failure() -> None:
    with pytest.raises(OutOfMemoryFailure, match=r"6000x4000 pixels need about 1\.\d GB of memory on cpu .*--memory"):
        plan(4000, 6000, memory=GB // 10)


def test_what_is_needed_is_never_said_to_be_what_may_be_used() -> None:
    with pytest.raises(OutOfMemoryFailure) as caught:
        plan(4000, 6000, memory=GB)
    need = plan(4000, 6000, tile=256).peak_bytes
    with pytest.raises(OutOfMemoryFailure) as close:
        plan(4000, 6000, memory=need - 10_000_000)
    for error in (caught, close):
        needed, usable = re.findall(r"(\d\.\d) GB", str(error.value))
        assert float(needed) > float(usable)


def test_on_a_cpu_what_else_is_in_memory_counts_and_on_a_gpu_it_does_not() -> None:
    beside = Beside(held=2 * GB, finishing=9 * GB)
    how = {"precision": FP32, "beside": beside}
    assert make_plan(64, 64, NETWORK, memory=12 * GB, device=CPU, **how).peak_bytes == 11 * GB
    assert make_plan(64, 64, NETWORK, memory=GB, device=GPU, **how).peak_bytes < GB
    with pytest.raises(OutOfMemoryFailure, match=r"about 11\.0 GB"):
        make_plan(64, 64, NETWORK, memory=10 * GB, device=CPU, **how)


def test_without_a_budget_the_free_memory_decides() -> None:
    assert plan(64, 64, memory=None).kind == "whole"


@pytest.mark.parametrize(("asked", "side"), [(100, 112), (1, 32), (256, 256), (5000, 5008)])
def test_an_asked_tile_is_honoured_rounded_up(asked: int, side: int) -> None:
    got = plan(600, 600, tile=asked)
    assert (got.kind, got.tile, got.explicit) == ("tiles", side, True)


def test_an_asked_tile_is_honoured_beyond_the_budget() -> None:
    assert plan(4000, 6000, tile=2048, memory=GB).tile == 2048


def test_tile_0_asks_for_the_whole_image_whatever_it_needs() -> None:
    got = plan(4000, 6000, tile=0, memory=GB)
    assert (got.kind, got.explicit) == ("whole", True)


def test_a_negative_tile_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="tile of -1"):
        plan(64, 64, tile=-1)


def test_an_empty_picture_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to restore"):
        plan(0, 5)


def test_on_a_gpu_tiles_leave_the_picture_in_main_memory() -> None:
    small, large = (plan(side, side, tile=256, device=GPU).predicted_bytes for side in (1000, 10_000))
    assert small == large
    assert plan(1000, 1000, tile=256).predicted_bytes > small


def test_half_precision_needs_about_half() -> None:
    full = network_bytes(4096, 4096, NETWORK, FP32)
    for half in (network_bytes(4096, 4096, NETWORK, BF16), network_bytes(4096, 4096, NETWORK, FP32, True)):
        assert 0.5 * full < half < 0.55 * full


def test_the_smaller_plans_end() -> None:
    plans = []
    current: Plan | None = plan(4000, 6000, memory=40 * GB)
    while current is not None:
        plans.append((current.tile, current.half_features))
        current = smaller_plan(current, 4000, 6000, NETWORK, precision=FP32, device=CPU)
    assert plans == [(0, False), (0, True), (2048, False), (1024, False), (512, False), (256, False)]


def test_after_an_asked_tile_comes_the_next_smaller_named_one() -> None:
    asked = plan(4000, 6000, tile=800)
    following = smaller_plan(asked, 4000, 6000, NETWORK, precision=FP32, device=CPU)
    assert following is not None
    assert (following.tile, following.explicit) == (512, False)


def test_no_tile_is_named_that_is_as_large_as_the_picture() -> None:
    assert smaller_plan(plan(200, 200), 200, 200, NETWORK, precision=FP32, device=CPU) is None


def test_the_same_walk_in_another_precision_keeps_its_tiles() -> None:
    half = make_plan(4000, 6000, NETWORK, tile=512, precision=BF16, device=CPU)
    full = with_precision(half, FP32)
    assert (full.tile, full.overlap, full.precision) == (half.tile, half.overlap, "fp32")
    assert with_precision(plan(4000, 6000, memory=3 * GB), BF16).half_features is False
    assert full.predicted_bytes > half.predicted_bytes


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(1, 100))
def test_whatever_is_planned_keeps_within_the_budget(height: int, width: int, gigabytes: int) -> None:
    try:
        got = plan(height, width, memory=gigabytes * GB)
    except OutOfMemoryFailure:
        return
    assert got.predicted_bytes <= gigabytes * GB
