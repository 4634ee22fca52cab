"""``dfrestore train`` as a user runs it: a short run, its model in use, stopping and resuming, mistakes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import save_model, tiny_spec
from PIL import Image

from dfrestore.cli import main
from dfrestore.weights import load_checkpoint

TINY = [
    *("--set", "model.network.dim=8", "--set", "stages.coarse.iterations=3", "--set", "stages.fine.iterations=4"),
    *("--set", "stages.coarse.patches=[32]", "--set", "stages.fine.patches=[32]", "--set", "stages.coarse.batches=[2]"),
    *("--set", "stages.fine.batches=[2]", "--set", "data.validation_size=32", "--set", "optim.precision=fp32"),
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(6):
        small = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        small.resize((80, 72), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


@pytest.mark.parametrize("task", ["derain", "dejpeg"])
def test_a_short_run_gives_a_model_that_restores(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    run = tmp_path / "run"
    assert main(["train", task, "--preset", "smoke", "--clean", str(photos), "--run", str(run), *TINY]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(run / "model.safetensors")
    assert "broken.jpg" in printed.err
    assert "data: 6 photos, 0.03456 megapixels, 1 left out" in printed.err
    result = tmp_path / "result.png"
    model = str(run / "model.safetensors")
    assert main([task, str(photos / "0.png"), "-o", str(result), "--model", model, "--quiet"]) == 0
    with Image.open(result) as picture:
        assert picture.size == (80, 72)


def test_compiling_is_said_and_the_compilers_own_warnings_are_not(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = [*TINY, "--set", "stages.coarse.iterations=0", "--set", "stages.fine.iterations=1"]
    tiny += ["--set", "stages.fine.steps=[1]", "--set", "model.window=16@1"]
    run = ["train", "derain", "--preset", "smoke", "--clean", str(photos), "--run", str(tmp_path / "run")]
    assert main([*run, *tiny, "--set", "optim.compile=aot_eager"]) == 0  # a warning would be an error here
    assert "aot_eager compiles the network first" in capsys.readouterr().err


def test_a_run_folder_that_takes_no_files_is_one_line_before_the_data_is_read(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    run = tmp_path / "file" / "run"
    assert main(["train", "derain", "--preset", "smoke", "--clean", str(photos), "--run", str(run), *TINY]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"dfrestore: {run}: nothing can be written here (")


def test_a_terminated_run_saves_and_goes_on(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    many = ["--set", "stages.coarse.iterations=100000"]
    log = run / "log.jsonl"
    arguments = ["train", "derain", "--preset", "smoke", "--clean", str(photos), "--run", str(run), *TINY, *many]
    with start(arguments) as process:
        while not log.exists() or len(log.read_text().splitlines()) < 2:
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "saved; continue with" in said
    steps = json.loads(log.read_text().splitlines()[-1])["iteration"]
    arguments = ["train", "--resume", str(run), "--set", f"stages.coarse.iterations={steps + 12}", "--quiet"]
    assert main(arguments) == 0
    iterations = [json.loads(line).get("iteration", 0) for line in log.read_text().splitlines()]
    assert iterations.count(1) == 2  # the coarse and the fine stage each began once


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["train", "derain", "--run", "r"], 2, "--clean FOLDER"),
        (["train", "derain", "--clean", "."], 2, "--run FOLDER"),
        (["train", "derain", "--preset", "compct", "--clean", ".", "--run", "r"], 2, "did you mean 'compact'"),
        (["train", "derain", "--set", "stages.fine.lrr=1", "--clean", ".", "--run", "r"], 2, "did you mean 'lr'"),
        (["train", "derain", "--clean", "nowhere", "--run", "r"], 3, "nothing to train on"),
        (["train", "--resume", "nowhere"], 3, "not a run folder"),
        (["train", "derian", "--clean", ".", "--run", "r"], 2, "did you mean 'derain'"),
        (["train", "--data", ".", "--run", "r"], 3, "no folders of pairs in here"),
        (["train", "--input", ".", "--run", "r"], 2, "--target FOLDER"),
        (["train", "--preset", "finetune", "--clean", ".", "--run", "r"], 2, "--init-from NAME or FILE"),
        (["train", "--clean", ".", "--run", "r", "--coarse-share", "0.5"], 2, "--minutes"),
        (["train", "--clean", ".", "--run", "r", "--share", "coarse=0.5"], 2, "--minutes"),
        (["train", "--clean", ".", "--run", "r", "--minutes", "9", "--share", "coarse=2"], 2, "coarse=2 is not a part"),
        (["train", "--clean", ".", "--run", "r", "--minutes", "9", "--share", "half"], 2, "STAGE=PART"),
        (["train", "--clean", ".", "--run", "r", "--minutes", "0"], 2, "not a time to train in"),
        (["train", "--clean", ".", "--check-only"], 3, "nothing to train on"),
        (["train", "derain", "--preset", "paper-deblur", "--clean", "."], 2, "paper-deblur is for deblur"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "r").exists()


@pytest.fixture
def pairs(photos: Path, tmp_path: Path) -> Path:
    """Five pairs, one input without a target."""
    folder = tmp_path / "pairs"
    for part in ("input", "target"):
        (folder / part).mkdir(parents=True)
    for path in sorted(photos.glob("*.png")):
        picture = Image.open(path)
        picture.point(lambda v: v // 2).save(folder / "input" / path.name)
        picture.save(folder / "target" / path.name)
    (folder / "target" / "5.png").unlink()
    return folder


def test_the_check_names_what_is_left_out_and_stops(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "desnow", "--data", str(pairs), "--check-only"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "inputs without a target, left out: 1"
    assert lines[-1] == "data: 5 pairs, 0.0288 megapixels, 1 left out"


def test_a_model_trained_on_pairs_is_finetuned_on_others(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    folders = ["--input", str(pairs / "input"), "--target", str(pairs / "target")]
    assert main(["train", "derain", "--preset", "smoke", *folders, "--run", str(first), *TINY, "--quiet"]) == 0
    few = ["--set", "stages.fine.iterations=2", "--set", "stages.fine.patches=[32]", "--set", "stages.fine.batches=[2]"]
    start = ["--preset", "finetune", "--init-from", str(first / "model.safetensors")]
    assert main(["train", "derain", *start, "--data", str(pairs), "--run", str(second), *few, "--quiet"]) == 0
    assert "dim = 8" in (second / "config.toml").read_text()
    assert json.loads((second / "RESULT.json").read_text())["paired"] is True


def test_a_run_from_a_model_holds_its_weights_before_the_first_step(pairs: Path, tmp_path: Path) -> None:
    start, run = save_model(tmp_path / "start.safetensors", tiny_spec(), 1.0), tmp_path / "run"
    given = ["--init-from", str(start), "--data", str(pairs), "--run", str(run), *TINY, "--quiet"]
    assert main(["train", "derain", "--preset", "smoke", *given, "--set", "keep_checkpoints=9"]) == 0
    first = torch.load(run / "checkpoints" / "00000000.pt", weights_only=True)
    for weights in ("network", "ema"):
        assert all(torch.equal(first[weights][name], tensor) for name, tensor in load_checkpoint(start)[0].items())


def test_a_run_of_some_minutes_ends_in_time_and_keeps_its_schedule(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, seconds = tmp_path / "run", 12
    settings = [
        *TINY,
        "--set",
        "stages.coarse.iterations=300",
        "--set",
        "stages.fine.iterations=100",
        "--set",
        "stages.fine.steps=[1]",
    ]
    started = time.monotonic()
    limited = ["--minutes", str(seconds / 60), "--share", "coarse=0.5"]
    command = ["train", "derain", "--preset", "smoke", "--clean", str(photos), "--run", str(run)]
    assert main([*command, *settings, *limited]) == 0
    assert time.monotonic() - started < 3 * seconds  # a busy machine changes its pace meanwhile
    config = tomllib.loads((run / "config.toml").read_text())
    assert f"schedule: {config['stages']['coarse']['iterations']} coarse + " in capsys.readouterr().err
    assert abs(config["stages"]["coarse"]["iterations"] - config["stages"]["fine"]["iterations"]) <= 1
    assert config["stages"]["fine"]["iterations"] >= 5
    assert main(["train", "--resume", str(run), "--minutes", "1"]) == 2
    assert "a resumed one keeps its own" in capsys.readouterr().err


def test_presets_are_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--list-presets"]) == 0
    assert "smoke" in capsys.readouterr().out
    assert main(["train", "derain", "--preset", "compact", "--set", "seed=7", "--print-config"]) == 0
    assert "seed = 7" in capsys.readouterr().out


def start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "dfrestore", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def test_a_detector_is_trained_on_clean_photos_and_judged_kind_by_kind(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = [
        "--set",
        "stages.detect.iterations=2",
        "--set",
        "stages.detect.patches=[64]",
        "--set",
        "model.network.crop=32",
    ]
    run = tmp_path / "run"
    assert main(["train", "detect", "--preset", "smoke-detect", "--clean", str(photos), "--run", str(run), *tiny]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(run / "model.safetensors")
    assert "detect 2: score 0." in printed.err
    for row in ("rain", "snow", "drops", "haze", "noise", "motion", "defocus", "jpeg", "lowres", "clean photos"):
        assert f"\n  {row} " in printed.err
    assert "dB" not in printed.err
    model, again = str(run / "model.safetensors"), str(tmp_path / "again")
    assert (
        main(
            [
                "train",
                "detect",
                "--preset",
                "smoke-detect",
                "--init-from",
                model,
                "--clean",
                str(photos),
                *tiny,
                "--run",
                again,
                "--quiet",
            ]
        )
        == 0
    )
    assert main(["derain", str(photos / "0.png"), "--model", model, "-o", str(tmp_path / "x.png")]) == 2
    assert "run 'dfrestore detect' with it" in capsys.readouterr().err
    assert main(["train", "detect", "--data", str(photos), "--run", str(tmp_path / "no")]) == 2
    assert "name them with --clean FOLDER" in capsys.readouterr().err
