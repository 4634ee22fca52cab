"""``dfrestore info`` and ``dfrestore benchmark``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Answer

from dfrestore import __version__
from dfrestore.restore.measure import test_picture as picture
from dfrestore.restore.selftest import Check, self_test

Run = Callable[..., Answer]


def test_info_tells_versions_devices_and_models(dfrestore: Run) -> None:
    answer = dfrestore("info")
    assert answer.code == 0
    assert f"dfrestore {__version__}, Python" in answer.out
    assert "torch 2." in answer.out
    assert "device cpu: " in answer.out


def test_info_as_json_is_one_object(dfrestore: Run) -> None:
    facts = json.loads(dfrestore("info", "--json").out)
    assert facts["dfrestore"] == __version__
    assert facts["devices"][0]["name"] == "cpu"


def test_the_self_test_compares_every_device_with_the_papers_arithmetic() -> None:
    checks = list(self_test())
    assert ("cpu", "fp32") in [(check.device, check.precision) for check in checks]
    assert all(check.passed for check in checks)


@pytest.mark.parametrize("difference", [0.5, float("nan"), None])
def test_a_device_that_differs_fails_the_self_test(difference: float | None) -> None:
    assert not Check("cuda:0", "fp32", difference).passed


def test_the_picture_that_is_measured_is_the_same_every_time() -> None:
    assert picture(40, 30).shape == (30, 40, 3)
    assert np.array_equal(picture(40, 30), picture(40, 30))


def test_benchmark_tells_seconds_and_peak_memory(dfrestore: Run, identity_model: Path) -> None:
    answer = dfrestore("benchmark", "--model", identity_model, "--size", "128x96", "--steps", 1, "--json")
    assert answer.code == 0
    row = json.loads(answer.out)
    assert (row["size"], row["steps"], row["task"]) == ([128, 96], 1, "derain")
    assert row["seconds"] > 0
    assert row["peak_bytes"] is None or row["peak_bytes"] > 0


def test_benchmark_tells_why_it_cannot_start(dfrestore: Run, identity_model: Path) -> None:
    assert dfrestore("benchmark", "--model", "nonsense").code == 3
    answer = dfrestore("benchmark", "--model", identity_model, "--device", "cuda:99", "--steps", 1)
    assert answer.code == 3
    assert "no device 'cuda:99'" in answer.err


def test_an_unknown_task_is_wrong_usage_and_gets_the_nearest(dfrestore: Run, identity_model: Path) -> None:
    answer = dfrestore("benchmark", "derian", "--model", identity_model)
    assert (answer.code, answer.out) == (2, "")
    assert "did you mean 'derain'" in answer.err
