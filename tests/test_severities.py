"""What a severity means, and which task belongs to a kind."""

from __future__ import annotations

import math

import pytest

from dfrestore.severities import DAMAGES, psnr_of
from dfrestore.tasks import restoring_tasks


def test_every_kind_of_damage_has_a_task_that_restores() -> None:
    assert {damage.task for damage in DAMAGES.values()} <= set(restoring_tasks())
    assert len({damage.task for damage in DAMAGES.values()}) == len(DAMAGES)
    assert all(name == damage.name for name, damage in DAMAGES.items())


@pytest.mark.parametrize("name", DAMAGES)
def test_a_severity_is_0_for_what_nobody_sees_and_1_for_what_leaves_little(name: str) -> None:
    damage = DAMAGES[name]
    assert damage.severity(math.inf) == damage.severity(damage.none) == damage.severity(60) == 0
    assert damage.severity(damage.full) == damage.severity(3) == 1
    middle = damage.severity((damage.none + damage.full) / 2)
    assert middle == pytest.approx(0.5)
    assert damage.decibels(middle) == pytest.approx((damage.none + damage.full) / 2)


@pytest.mark.parametrize(("sigma", "expected"), [(2, 0.07), (5, 0.33), (15, 0.64), (25, 0.79)])
def test_noise_has_the_severities_that_the_scale_promises(sigma: float, expected: float) -> None:
    assert DAMAGES["noise"].severity(psnr_of((sigma / 255) ** 2)) == pytest.approx(expected, abs=0.02)


def test_psnr_of_no_error_is_infinite() -> None:
    assert psnr_of(0.0) == math.inf
    assert psnr_of(0.01) == pytest.approx(20)
