"""The studies in examples/: every arm is a training that exists, and its part of the time adds up."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from dfrestore.cli.training_options import overrides
from dfrestore.training.settings import load_preset

EXAMPLES = Path(__file__).parents[1] / "examples"
STUDIES = ("training_study", "diffir_study", "dtpm_study")


@pytest.fixture(params=STUDIES)
def script(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(EXAMPLES)
    yield import_module(request.param)
    for name in (*STUDIES, "study"):
        sys.modules.pop(name, None)


def test_every_arm_of_a_study_is_a_run_that_train_accepts(script: ModuleType) -> None:
    for key, arm in script.ARMS.items():
        counts = [10 if share else 0 for share in arm.shares]
        settings = script.STUDY.settings(key, 1, counts)
        values = overrides([f"{name}={json.dumps(value)}" for name, value in settings.items()])
        config = load_preset(arm.preset or script.STUDY.preset, arm.task or script.STUDY.task, values)
        assert list(config.running) == [s for s, n in zip(script.STUDY.stages, counts, strict=True) if n], key


def test_the_stages_of_an_arm_divide_the_whole_time(script: ModuleType) -> None:
    for key, arm in script.ARMS.items():
        assert len(arm.shares) == len(script.STUDY.stages)
        assert sum(arm.shares) == pytest.approx(1), key


def test_an_arm_builds_on_one_of_the_same_network(script: ModuleType) -> None:
    for key, arm in script.ARMS.items():
        if arm.base:
            below = script.ARMS[arm.base]
            assert not below.base
            here, there = (script.STUDY.settings(name, 1, (0, 0)) for name in (key, arm.base))
            shape = [name for name in there if name.startswith("model.network.")]
            assert {name: here[name] for name in shape} == {name: there[name] for name in shape}, key


@pytest.mark.parametrize("name", [f"{study}.py" for study in STUDIES])
def test_a_study_explains_its_options(name: str) -> None:
    answer = subprocess.run([sys.executable, EXAMPLES / name, "--help"], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert {"--clean", "--test", "--out", "--minutes", "--jobs", "--only"} <= set(answer.stdout.split())
