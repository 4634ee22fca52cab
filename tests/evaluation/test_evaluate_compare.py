"""``dfrestore evaluate`` with several models, as a user meets it: tables, JSON, CSV and the page."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer, save_model, tiny_spec
from report_pages import names, read, settings

Run = Callable[..., Answer]


@pytest.fixture
def data(tmp_path: Path, make_photo: Callable[..., Path]) -> Path:
    """A folder of five pairs."""
    for seed, side in enumerate(("input", "target")):
        for number in range(5):
            make_photo(tmp_path / "data" / side / f"{number}.png", 10 * number + seed)
    return tmp_path / "data"


@pytest.fixture
def compare(dfrestore: Run, data: Path, identity_model: Path, random_model: Path) -> Run:
    """compare(...) runs the model that changes nothing, as A, against a random one, as B."""
    models = ("--model", identity_model, "--model", random_model)
    return lambda *more: dfrestore("evaluate", "--task", "derain", "--data", data, *models, "--steps", 1, *more)


def test_the_table_ends_with_the_differences_and_their_intervals(compare: Run, identity_model: Path) -> None:
    answer = compare()
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert [line.split()[0] for line in lines[:7]] == ["picture", "0", "1", "2", "3", "4", "mean"]
    assert lines[7] == f"A: {identity_model}, 1 step, seed 0"
    assert re.fullmatch(r"B - A: PSNR  -\d+\.\d\d dB, 95 % interval -\S+ to -\S+ dB: A is better", lines[9])
    assert [line[:16] for line in answer.err.splitlines()] == ["A: task derain, ", "B: task derain, "]


def test_each_models_numbers_are_those_of_its_own_run(
    compare: Run, dfrestore: Run, data: Path, identity_model: Path, random_model: Path
) -> None:
    *pictures, total = (json.loads(line) for line in compare("--json").paths)
    for letter, model in (("A", identity_model), ("B", random_model)):
        alone = dfrestore("evaluate", "--task", "derain", "--data", data, "--model", model, "--steps", 1, "--json")
        *ones, mean = (json.loads(line) for line in alone.paths)
        for picture, one in zip(pictures, ones, strict=True):
            assert picture["models"][letter]["psnr"] == one["psnr"]
            assert picture["input_ssim"] == one["input_ssim"]
        assert total["models"][letter]["ssim"] == mean["ssim"]
        assert total["models"][letter]["model"] == str(model)
    assert (total["task"], total["pictures"], total["seed"]) == ("derain", 5, 0)
    assert total["differences"]["B-A"]["psnr"]["clear"] is True


def test_csv_reads_back(compare: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(compare("--csv").out)))
    assert [row["name"] for row in rows] == ["0", "1", "2", "3", "4", "mean", "interval low", "interval high"]


def test_a_model_against_itself_is_no_clear_difference(dfrestore: Run, data: Path, random_model: Path) -> None:
    models = ("--model", random_model, "--model", random_model)
    answer = dfrestore("evaluate", "--task", "derain", "--data", data, *models, "--steps", 1)
    assert "B - A: PSNR  +0.00 dB, 95 % interval +0.00 to +0.00 dB: no clear difference" in answer.out


def test_the_page_has_all_models_pictures_with_two_dividers(compare: Run, tmp_path: Path, random_model: Path) -> None:
    answer = compare("--report", tmp_path / "a.html")
    assert answer.code == 0
    page = read(tmp_path / "a.html")
    assert names(tmp_path / "a.html") == ["0", "1", "2", "3", "4"]
    roles = ("before", "after", "second", "target")
    assert [page.count(f'class="layer {role}"') for role in roles] == [5] * 4
    assert page.count('<input class="split') == 10
    assert page.count(f"B: {random_model}, 1 step, seed 0</td>") == 1
    assert "dB: A is better</li>" in page
    told = settings(tmp_path / "a.html")
    assert (told["Task"], told["B"]) == ("derain", f"{random_model}, 1 step, seed 0")


def test_three_models_are_the_most(compare: Run, identity_model: Path) -> None:
    *_, total = compare("--model", identity_model, "--json").paths
    assert list(json.loads(total)["differences"]) == ["B-A", "C-A"]
    answer = compare("--model", identity_model, "--model", identity_model)
    assert (answer.code, answer.out) == (2, "")
    assert "at most 3 models" in answer.err


def test_steps_that_one_model_cannot_do_are_told_before_the_table_begins(compare: Run, tmp_path: Path) -> None:
    answer = compare("--steps", 5000)
    assert (answer.code, answer.out) == (2, "")


def test_models_that_enlarge_differently_are_not_compared(
    dfrestore: Run, tmp_path: Path, make_photo: Callable[..., Path]
) -> None:
    photo = make_photo(tmp_path / "clean" / "a.png", size=(96, 64))
    models = ("--model", "upscale/compact", "--model", "upscale/x2")
    answer = dfrestore("evaluate", "upscale", "--clean", photo.parent, *models)
    assert (answer.code, answer.out) == (2, "")
    assert "compare models that enlarge alike" in answer.err


def test_settings_that_differ_stand_beside_each_model(
    dfrestore: Run, data: Path, tmp_path: Path, random_model: Path
) -> None:
    other = save_model(tmp_path / "windows.safetensors", tiny_spec(window=64), 1.0)
    answer = dfrestore("evaluate", "--task", "derain", "--data", data, "--model", random_model, "--model", other)
    assert f"B: {other}, 2 steps, seed 0, window 64" in answer.out.splitlines()
