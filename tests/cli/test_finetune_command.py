"""``dfrestore finetune`` as a user runs it: a better model from a few pairs, stopping and going on, mistakes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Answer, save_model, tiny_spec
from PIL import Image

from dfrestore.cli import main
from dfrestore.weights import load_checkpoint, read_spec

Run = Callable[..., Answer]
QUICK = [
    *(
        "--set",
        "fine.iterations=12",
        "--set",
        "fine.lr=3e-3",
        "--set",
        "fine.patches=[32]",
        "--set",
        "fine.batches=[2]",
    ),
    *("--set", "data.validation_size=32", "--set", "optim.precision=fp32", "--set", "validate_every=6"),
]


def write_pairs(folder: Path, count: int, side: int = 64) -> Path:
    """Smooth pictures, their inputs half as bright."""
    for part in ("input", "target"):
        (folder / part).mkdir(parents=True)
    for i in range(count):
        small = Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8))
        picture = small.resize((side, side), Image.Resampling.BICUBIC)
        picture.save(folder / "target" / f"{i}.png")
        picture.point(lambda v: v // 2).save(folder / "input" / f"{i}.png")
    return folder


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs", 5)


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A model that changes nothing, in one step."""
    spec = tiny_spec(default_steps=1, licence="CC-BY-4.0", trained_on="coffee")
    return save_model(tmp_path / "own.safetensors", spec, 0.0)


def config_of(run: Path) -> dict[str, Any]:
    return tomllib.loads((run / "config.toml").read_text("utf-8"))


def test_five_pairs_give_a_better_model_that_restores(pairs: Path, start: Path, tmp_path: Path, dfrestore: Run) -> None:
    run = tmp_path / "run"
    words = ["--trained-on", "our street"]
    answer = dfrestore("finetune", "derain", "--data", pairs, "--model", start, "--run", run, *QUICK, *words)
    assert answer.code == 0
    assert answer.out.strip() == str(run / "model.safetensors")
    assert "4 to train on, 1 held out" in answer.err
    assert "fine 0: 1 step " in answer.err
    assert "(the start)" in answer.err
    assert ") on the one held-out pair\n" in answer.err
    spec = read_spec(run / "model.safetensors")
    assert (spec.licence, spec.trained_on) == ("CC-BY-4.0", "coffee; finetuned on our street")
    assert spec.source.startswith("dfrestore finetune of own.safetensors, sha256 ")
    assert str(tmp_path) not in spec.source
    result = tmp_path / "result.png"
    assert dfrestore("derain", pairs / "input" / "0.png", "-o", result, "--model", run / "model.safetensors").code == 0
    assert brightness(result) > brightness(pairs / "input" / "0.png") + 5


def test_where_nothing_gets_better_the_start_is_kept_and_a_line_says_so(
    pairs: Path, start: Path, tmp_path: Path, dfrestore: Run
) -> None:
    run = tmp_path / "run"
    absurd = [*QUICK, "--set", "fine.lr=30.0", "--quiet"]
    answer = dfrestore("finetune", "derain", "--data", pairs, "--model", start, "--run", run, *absurd)
    assert answer.code == 0
    assert "no improvement on the one held-out pair: the model is the one it started from" in answer.err
    found, before = load_checkpoint(run / "model.safetensors")[0], load_checkpoint(start)[0]
    assert all((found[name] == before[name]).all() for name in before)


def test_the_settings_follow_from_the_data_and_the_model(
    pairs: Path, start: Path, tmp_path: Path, dfrestore: Run
) -> None:
    answer = dfrestore("finetune", "--data", pairs, "--model", start, "--print-config", "--set", "seed=7")
    assert answer.code == 0
    config = tomllib.loads(answer.out)
    assert (config["task"], config["seed"]) == ("derain", 7)
    assert config["model"]["network"]["dim"] == 8
    assert config["stages"]["fine"]["iterations"] == 400
    assert config["stages"]["fine"]["patches"] == [64]  # the pictures hold no larger ones
    assert config["stages"]["coarse"]["iterations"] == 0


def test_clean_photos_are_finetuned_on_and_mixed_in(pairs: Path, start: Path, tmp_path: Path, dfrestore: Run) -> None:
    given = ["--model", start, *QUICK, "--set", "fine.iterations=2"]
    clean, mixed = tmp_path / "clean", tmp_path / "mixed"
    assert dfrestore("finetune", "derain", "--clean", pairs / "target", "--run", clean, *given).code == 0
    mix = ["--mix", pairs / "target"]
    answer = dfrestore("finetune", "derain", "--data", pairs, *mix, "--run", mixed, *given)
    assert answer.code == 0
    assert "mixed with 5 clean photos" in answer.err
    assert config_of(mixed)["data"]["mix_share"] == 0.5
    assert config_of(clean)["data"]["mix"] == []


def test_a_terminated_run_goes_on_with_finetune_or_train(pairs: Path, start: Path, tmp_path: Path) -> None:
    run = tmp_path / "my run"
    log = run / "log.jsonl"
    command = ["finetune", "derain", "--data", str(pairs), "--model", str(start), "--run", str(run)]
    settings = [*QUICK, "--set", "fine.iterations=100000", "--set", "log_every=1", "--set", "validate_every=100000"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "dfrestore", *command, *settings], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        while not log.exists() or len(log.read_text().splitlines()) < 3:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    (advice,) = re.findall("saved; continue with: (.*)", said)
    assert shlex.split(advice) == ["dfrestore", "train", "--resume", str(run)]
    steps = json.loads(log.read_text().splitlines()[-1])["iteration"]
    for number, again in enumerate(("finetune", "train"), 1):
        arguments = [again, "--resume", str(run), "--set", f"fine.iterations={steps + 3 * number}", "--quiet"]
        assert main(arguments) == 0
    iterations = [json.loads(line).get("iteration") for line in log.read_text().splitlines()]
    assert iterations.count(1) == 1
    assert "improved" in json.loads((run / "RESULT.json").read_text())


def test_a_run_that_could_not_begin_is_not_resumed_but_begun_anew(
    pairs: Path, start: Path, tmp_path: Path, dfrestore: Run
) -> None:
    run = tmp_path / "run"
    in_the_way = run / "model.safetensors" / "folder"
    in_the_way.mkdir(parents=True)
    command = ["finetune", "derain", "--data", pairs, "--model", start, "--run", run, *QUICK, "--quiet"]
    assert dfrestore(*command).code == 3
    answer = dfrestore("finetune", "--resume", run, "--quiet")
    assert answer.code == 3
    assert "not a run folder that can be resumed" in answer.err
    in_the_way.rmdir()
    in_the_way.parent.rmdir()
    assert dfrestore(*command).code == 0


def test_a_run_of_some_minutes_ends_in_time(pairs: Path, start: Path, tmp_path: Path, dfrestore: Run) -> None:
    run, seconds = tmp_path / "run", 16
    started = time.monotonic()
    limited = ["--minutes", str(seconds / 60), "--quiet", *QUICK]
    assert dfrestore("finetune", "derain", "--data", pairs, "--model", start, "--run", run, *limited).code == 0
    assert time.monotonic() - started < 3 * seconds  # a busy machine changes its pace meanwhile
    assert config_of(run)["stages"]["fine"]["iterations"] >= 10


def test_two_pairs_are_trained_on_with_a_warning(start: Path, tmp_path: Path, dfrestore: Run) -> None:
    folder = write_pairs(tmp_path / "two", 2, side=48)
    answer = dfrestore("finetune", "--data", folder, "--model", start, "--print-config", "--set", "fine.patches=[64]")
    assert answer.code == 0
    assert "only 2 pairs" in answer.err
    assert "2 of 2 pairs are smaller than the patch of 64 pixels" in answer.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["derain", "--run", "r"], 2, "--data FOLDER of pairs"),
        (["derain", "--data", "pairs"], 2, "--run FOLDER"),
        (["--data", "pairs", "--run", "r"], 2, "name a task"),
        (["derain", "--data", "pairs", "--clean", "pairs", "--run", "r"], 2, "exclude each other"),
        (["derain", "--clean", "pairs", "--mix", "pairs", "--run", "r"], 2, "mixed into pairs"),
        (["derain", "--data", "pairs", "--run", "r", "--minutes", "0"], 2, "not a time to train in"),
        (["derain", "--data", "pairs", "--run", "r", "--set", "fine.lrr=1"], 2, "did you mean 'lr'"),
        (["derain", "--data", "pairs", "--run", "r", "--set", "fine.patches=[60]"], 2, "multiples of 8"),
        (["deblur", "--data", "pairs", "--run", "r"], 3, "own.safetensors is a model for derain, not for deblur"),
        (["derain", "--data", "one", "--run", "r"], 3, "at least 2 pairs, better 5 and more: there is 1"),
        (["derain", "--data", "nowhere", "--run", "r"], 3, "nothing to train on"),
        (["derain", "--data", "pairs", "--run", "pairs/taken"], 3, "holds a run already"),
        (["derain", "--resume", "pairs"], 2, "leave them out"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    code: int,
    said: str,
    pairs: Path,
    start: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dfrestore: Run,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path / "one", 1)
    (pairs / "taken").mkdir()
    (pairs / "taken" / "config.toml").touch()
    named = [] if "name a task" in said else ["--model", start.name]
    answer = dfrestore("finetune", *arguments, *named, "--quiet")
    assert answer.code == code
    assert said in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "r").exists()


def test_it_is_not_started_in_several_processes(
    pairs: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dfrestore: Run
) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    answer = dfrestore("finetune", "derain", "--data", pairs, "--model", start, "--run", tmp_path / "run")
    assert answer.code == 2
    assert "torchrun ... train --resume RUN" in answer.err
    assert not (tmp_path / "run").exists()


def brightness(path: Path) -> float:
    with Image.open(path) as picture:
        return float(np.asarray(picture).mean())
