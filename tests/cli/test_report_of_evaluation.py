"""``dfrestore evaluate --report``: which page an evaluation leaves."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer
from report_pages import names, read, settings

Run = Callable[..., Answer]
MakePhoto = Callable[..., Path]


@pytest.fixture
def data(tmp_path: Path, make_photo: MakePhoto) -> Path:
    """A folder of two pairs, a pair of different sizes, and a picture without a partner."""
    for seed, side in enumerate(("input", "target")):
        for number, name in enumerate(("one", "two")):
            make_photo(tmp_path / "data" / side / f"{name}.png", 10 * number + seed, (64, 48))
        make_photo(tmp_path / "data" / side / "odd.png", 0, (24 + seed, 16))
    make_photo(tmp_path / "data" / "input" / "alone.png")
    return tmp_path / "data"


def test_an_evaluation_of_a_model_leaves_a_page_with_before_after_and_target(
    dfrestore: Run, tmp_path: Path, data: Path, random_model: Path
) -> None:
    arguments = ("evaluate", "--task", "derain", "--data", data, "--model", random_model, "--steps", 1)
    plain = dfrestore(*arguments, "--json")
    answer = dfrestore(*arguments, "--json", "--report", tmp_path / "a.html")
    assert answer.code == plain.code == 1  # of the pair that differs in size

    def without_time(out: str) -> list[dict[str, object]]:
        return [{**json.loads(line), "seconds": 0} for line in out.splitlines()]

    assert without_time(answer.out) == without_time(plain.out)
    page = read(tmp_path / "a.html")
    assert names(tmp_path / "a.html") == ["one", "two"]
    assert [page.count(f'class="layer {role}"') for role in ("before", "after", "target")] == [2, 2, 2]
    *records, mean = (json.loads(line) for line in answer.paths)
    assert f"<b>{mean['psnr']:.2f} dB</b>" in page
    for record in records:
        assert ("psnr" not in record) or f"<b>{record['psnr']:.2f}</b> dB" in page
    assert html.escape(mean["convention"]) in page
    assert "odd" in page
    assert "24x16 pixels against 25x16 of the target; sizes must agree" in page
    assert "No clean picture for (1)" in page
    told = settings(tmp_path / "a.html")
    assert (told["Task"], told["Model"], told["Steps"], told["Seed"]) == ("derain", str(random_model), "1", "0")
    assert told["Device"] == "cpu"
    assert told["Plan"].startswith("whole image")


def test_two_folders_leave_a_page_with_restored_and_target(dfrestore: Run, tmp_path: Path, data: Path) -> None:
    answer = dfrestore("evaluate", data / "input", data / "target", "--limit", 2, "--report", tmp_path / "a.html")
    assert answer.code == 1
    page = read(tmp_path / "a.html")
    assert names(tmp_path / "a.html") == ["one"]
    assert [page.count(f'class="layer {role}"') for role in ("before", "after", "target")] == [0, 1, 1]
    assert '<span class="tag">Restored</span>' in page
    assert settings(tmp_path / "a.html")["Pairs"] == "the first 2 of 3"


@pytest.mark.parametrize("name", ["page.txt", "folder.html"])
def test_a_page_that_cannot_be_is_wrong_usage_of_evaluate(
    dfrestore: Run, tmp_path: Path, data: Path, name: str
) -> None:
    (tmp_path / "folder.html").mkdir()
    answer = dfrestore("evaluate", data / "input", data / "target", "--report", tmp_path / name)
    assert (answer.code, answer.out) == (2, "")


def test_evaluate_replaces_a_report_and_nothing_else(dfrestore: Run, tmp_path: Path, data: Path) -> None:
    page = tmp_path / "a.html"
    arguments = ("evaluate", data / "target", data / "target", "--report", page)
    page.write_text("mine")
    answer = dfrestore(*arguments)
    assert (answer.code, answer.out, page.read_text()) == (1, "", "mine")
    page.unlink()
    assert dfrestore(*arguments).code == 0
    assert dfrestore(*arguments, "--limit", 1).code == 0
    assert names(page) == ["odd"]
