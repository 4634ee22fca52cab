"""``dfrestore info`` and ``dfrestore benchmark``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Answer

from dfrestore import __version__
from dfrestore.benchmark.measure import test_picture as picture
from dfrestore.benchmark.selftest import Check, self_test

Run = Callable[..., Answer]
Photo = Callable[..., Path]
TRAINING = ["--train", "--preset", "smoke", "--rounds", "1"]


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


REGISTRY = '[models."derain/mine"]\ntask = "derain"\nmethod = "c2f-dft"\nsource = "mine.safetensors"\n'


def test_info_says_where_the_users_registry_belongs(
    dfrestore: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DFRESTORE_CONFIG_DIR", str(tmp_path))
    answer = dfrestore("info")
    assert (answer.code, answer.err) == (0, "")
    assert f"your weights.toml: {tmp_path / 'weights.toml'} (not there, and not needed)" in answer.out
    (tmp_path / "weights.toml").write_text(REGISTRY)
    (tmp_path / "mine.safetensors").touch()
    answer = dfrestore("info")
    assert (answer.code, answer.err) == (0, "")
    assert f"your weights.toml: {tmp_path / 'weights.toml'} (in use)" in answer.out
    assert "model derain/mine: mine.safetensors" in answer.out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (REGISTRY + 'colour = "red"\n', ", line 5: "),
        (REGISTRY + "size = \n", "(at line 5, "),
        (REGISTRY, "'derain/mine' names "),  # a file that is not there
    ],
)
def test_a_broken_registry_is_one_line_and_info_tells_the_rest(
    dfrestore: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setenv("DFRESTORE_CONFIG_DIR", str(tmp_path))
    (tmp_path / "weights.toml").write_text(text)
    answer = dfrestore("info")
    assert answer.code == 3
    (line,) = answer.err.splitlines()
    assert line.startswith(f"dfrestore: {tmp_path / 'weights.toml'}")
    assert said in line
    assert "model derain/compact (default): " in answer.out
    assert f"your weights.toml: {tmp_path / 'weights.toml'} (has an error)" in answer.out
    facts = json.loads(dfrestore("info", "--json").out)
    assert facts["weights.toml"]["error"] in line
    assert "derain/compact" in [model["name"] for model in facts["models"]]


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


def test_benchmark_of_a_presets_network_compares_with_the_papers_form(dfrestore: Run) -> None:
    options = ("--preset", "smoke", "--size", "96x64", "--steps", 1, "--precision", "fp32", "--plain")
    answer = dfrestore("benchmark", *options)
    assert answer.code == 0, answer.err
    engine, plain, compared = answer.out.splitlines()[1:]
    assert "whole image, about" in engine
    assert plain.endswith("as the paper writes it")
    assert re.match(r"1 step in fp32: an evaluation is [0-9.]+ times as fast as the paper's form in fp32", compared)


def test_benchmark_counts_the_work_of_a_network(dfrestore: Run) -> None:
    options = ("--preset", "paper-derain", "--size", "64x64", "--steps", 1, "--precision", "fp32", "--json")
    row = json.loads(dfrestore("benchmark", *options).out)
    assert row["flops"] == pytest.approx(232.57e9 / 16, rel=1e-3)  # the authors' network takes 232.57 GFLOP at 256x256
    assert row["share"] == pytest.approx(row["flops"] / row["seconds"] / row["limit"])


def test_benchmark_tells_why_it_cannot_start(dfrestore: Run, identity_model: Path) -> None:
    assert dfrestore("benchmark", "--model", "nonsense").code == 2
    answer = dfrestore("benchmark", "--model", identity_model, "--device", "cuda:99", "--steps", 1)
    assert answer.code == 3
    assert "no device 'cuda:99'" in answer.err
    assert dfrestore("benchmark", "--model", identity_model, "--device", "nonsense").code == 2
    assert dfrestore("benchmark", "--model", identity_model, "--steps", 5000).code == 2


def test_an_unknown_task_is_wrong_usage_and_gets_the_nearest(dfrestore: Run, identity_model: Path) -> None:
    answer = dfrestore("benchmark", "derian", "--model", identity_model)
    assert (answer.code, answer.out) == (2, "")
    assert "did you mean 'derain'" in answer.err


def test_benchmark_of_training_tells_each_way_and_marks_the_one_that_training_takes(dfrestore: Run) -> None:
    answer = dfrestore("benchmark", "derain", *TRAINING, "--precision", "bf16", "--patch", 16, "--batch", 2)
    assert answer.code == 0
    assert answer.err.startswith("derain: training preset smoke on cpu (")
    head, plain, fast, chosen, rest = answer.out.splitlines()
    assert head.split() == ["patch", "batch", "network", "dtype", "ms", "patches/s", "ratio"]
    assert [line.split()[:4] for line in (plain, fast, chosen)] == [
        ["16", "2", "forward", "float32"],
        ["16", "2", "walk", "float32"],
        ["16", "2", "walk", "bfloat16"],
    ]
    assert plain.endswith(" 1.00")
    assert chosen.endswith("(training)")
    assert "% of the step; beside each other" in rest


def test_benchmark_of_training_as_json_is_an_object_a_size(dfrestore: Run, tmp_path: Path, make_photo: Photo) -> None:
    make_photo(tmp_path / "a.png", size=(64, 64))
    sizes = ["--patch", 16, "--batch", 2, "--patch", 32, "--batch", 1]
    answer = dfrestore("benchmark", *TRAINING, *sizes, "--precision", "fp32", "--clean", tmp_path, "--json")
    assert answer.code == 0
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert [(row["patch"], row["batch"]) for row in rows] == [(16, 2), (32, 1)]
    assert set(rows[0]) == {
        *("task", "preset", "device", "device_reason", "rounds", "drawn_from", "patch", "batch", "ways"),
        *("update_seconds", "step_seconds", "draw_seconds", "draw_share", "iteration_seconds"),
    }
    assert (rows[0]["task"], rows[0]["preset"], rows[0]["drawn_from"]) == ("derain", "smoke", "1 photo")
    assert [way["training"] for way in rows[0]["ways"]] == [False, True]
    assert set(rows[0]["ways"][0]) == {"function", "dtype", "training", "seconds", "patches_per_second", "ratio"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--preset", "smoke", "--model", "compact"], 2, "--model and --preset are two networks"),
        (["--preset", "smok"], 2, "did you mean 'smoke'"),
        (["--train", "--plain"], 2, "--plain is of no use with --train"),
        (["--patch", "64"], 2, "--patch needs --train"),
        (["--train", "--model", "compact"], 2, "--model is of no use with --train"),
        (["--train", "--size", "64x64"], 2, "--size is of no use with --train"),
        (["--train", "--patch", "64"], 2, "1 --patch and 0 --batch do not pair"),
        (["--train", "--precision", "fp16"], 2, "training knows auto, fp32, bf16"),
        (["--train", "--preset", "compct"], 2, "did you mean 'compact'"),
        (["--train", "--preset", "finetune"], 2, "no network of its own"),
        (["--train", "--preset", "paper-deblur"], 2, "preset paper-deblur is for deblur, not derain"),
        (["--train", "--preset", "smoke", "--patch", "60", "--batch", "1"], 2, "takes multiples of 16"),
        (["--train", "--device", "cuda:99"], 3, "no device 'cuda:99'"),
        (["--train", "--clean", "nowhere"], 3, "nothing to train on"),
    ],
)
def test_mistakes_in_benchmark_are_one_line(arguments: list[str], code: int, said: str, dfrestore: Run) -> None:
    answer = dfrestore("benchmark", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err
    assert len(answer.err.strip().splitlines()) == 1
