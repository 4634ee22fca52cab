"""Every JSON that a command prints or writes is read by a strict parser."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Answer
from PIL import Image
from strict_parser import in_file, lines

from dfrestore.benchmark.measure import Measurement

Run = Callable[..., Answer]
MakePhoto = Callable[..., Path]
EXAMPLES = Path(__file__).parents[2] / "examples" / "pairs"
SHORT = [
    *("--set", "model.network.dim=8", "--set", "stages.coarse.iterations=1", "--set", "stages.fine.iterations=2"),
    *("--set", "stages.coarse.patches=[32]", "--set", "stages.fine.patches=[32]", "--set", "stages.coarse.batches=[1]"),
    *("--set", "stages.fine.batches=[1]", "--set", "data.validation_size=32", "--set", "optim.precision=fp32"),
]


@pytest.fixture
def folder(tmp_path: Path, make_photo: MakePhoto) -> Path:
    for part in ("input", "target"):
        make_photo(tmp_path / "pairs" / part / "a.png", 1)
        make_photo(tmp_path / "pairs" / part / "Straße.png", 2)
    (tmp_path / "pairs" / "input" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path / "pairs"


def test_restoring_and_its_records(dfrestore: Run, folder: Path, tmp_path: Path, identity_model: Path) -> None:
    for more in (["--dry-run"], [], []):  # planned, done, skipped
        answer = dfrestore(
            "derain", folder / "input", "-o", tmp_path / "out", "--model", identity_model, "--json", *more
        )
        assert lines(answer.out)[-1]["totals"]["inputs"] == 3
    assert len(in_file(tmp_path / "out" / ".dfrestore.jsonl")) == 2


def test_evaluation_of_pictures_that_are_the_same(dfrestore: Run, folder: Path) -> None:
    answer = dfrestore("evaluate", folder / "input", folder / "target", "--json")
    first, *_ = lines(answer.out)
    assert first["identical"] is True
    assert first["psnr"] is None


def test_making_pairs(dfrestore: Run, folder: Path, tmp_path: Path) -> None:
    answer = dfrestore("degrade", "rain", folder / "target", "-o", tmp_path / "wet", "--json")
    assert len(lines(answer.out)) == 3
    assert len(in_file(tmp_path / "wet" / "manifest.jsonl")) == 2


@pytest.mark.parametrize("command", ["weights list --json", "weights verify derain/compact --json", "info --json"])
def test_what_is_here(dfrestore: Run, command: str) -> None:
    assert lines(dfrestore(*command.split()).out)


def test_benchmarks(dfrestore: Run, identity_model: Path) -> None:
    answer = dfrestore("benchmark", "--model", identity_model, "--size", "64x48", "--steps", 1, "--plain", "--json")
    assert [row["way"] for row in lines(answer.out)] == ["engine", "plain"]
    training = ("--train", "--preset", "smoke", "--patch", 16, "--batch", 1, "--rounds", 1, "--precision", "fp32")
    (row,) = lines(dfrestore("benchmark", "derain", *training, "--json").out)
    assert row["ways"]


def test_a_benchmark_of_what_no_clock_could_measure(dfrestore: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = {"seconds": math.nan, "peak_bytes": None, "flops": 1.0, "limit": math.inf}
    row = Measurement("derain", "m", "cpu", "", "fp32", "whole image", (64, 48), 1, 1.0, **numbers)
    monkeypatch.setattr("dfrestore.benchmark.measure.measure", lambda *_, **__: row)
    (told,) = lines(dfrestore("benchmark", "--steps", 1, "--json").out)
    assert (told["seconds"], told["seconds_each"], told["limit"]) == (None, None, None)


def test_what_cannot_start(dfrestore: Run, tmp_path: Path) -> None:
    answer = dfrestore("derain", tmp_path / "missing.png", "--json")
    assert lines(answer.out)[0]["exit_code"] == 2


@pytest.mark.parametrize(("photos", "held_out"), [(4, 1), (1, 0)])
def test_a_training_run_of_few_photos(dfrestore: Run, tmp_path: Path, photos: int, held_out: int) -> None:
    """With the smoke preset on four photos, as the README has it; and where none can be held out."""
    (tmp_path / "photos").mkdir()
    for path in sorted((EXAMPLES / "target").iterdir())[:photos]:
        shutil.copy(path, tmp_path / "photos")
    run = tmp_path / "run"
    answer = dfrestore("train", "derain", "--preset", "smoke", "--clean", tmp_path / "photos", "--run", run, *SHORT)
    assert answer.code == 0, answer.err
    (result,) = in_file(run / "RESULT.json")
    assert result["validation_photos"] == held_out
    assert (result["best_psnr"] is None) == (held_out == 0)
    assert in_file(run / "log.jsonl")
    with Image.open(run / "curves.png") as curves:
        assert np.asarray(curves).std() > 0
    strips = list((run / "samples").iterdir())
    assert len(strips) == 2 * held_out  # at the end of each stage
