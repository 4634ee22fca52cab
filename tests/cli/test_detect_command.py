"""``dfrestore detect`` as a user runs it: the table, JSON, folders, broken files, no model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import save_model, tiny_spec
from PIL import Image
from told_damage import save_detector

from dfrestore.cli import main
from dfrestore.photo import read
from dfrestore.restore import Detection
from dfrestore.severities import DAMAGES, NOTICED

RAINY = 3.0  # before the sigmoid


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A detector that finds rain everywhere, some snow, and nothing else."""
    return save_detector(tmp_path / "detector.safetensors", rain=RAINY, snow=0.0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    rng = np.random.default_rng(1)
    for name in ("a.png", "below/b.jpg", "a_derain.png"):
        pixels = rng.integers(100, 156, (50, 70, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name, quality=60)
    (folder / "note.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


def test_a_photo_has_a_row_with_the_severity_of_each_kind(
    model: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", str(photos / "below" / "b.jpg"), "--model", str(model)]) == 0
    printed = capsys.readouterr()
    title, row = printed.out.splitlines()
    assert title.split() == [*DAMAGES, "sigma", "quality", "photo"]
    values = row.split()
    assert values[:3] == ["0.95", "0.50", "0.01"]
    assert values[len(DAMAGES) + 1] == "60"
    assert values[-1] == str(photos / "below" / "b.jpg")
    assert printed.err == "1 looked at; found: rain in 1, snow in 1\n"


def test_a_folder_gives_an_object_a_photo_and_totals_as_json(
    model: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", str(photos), "--model", str(model), "--json", "--quiet"]) == 0
    printed = capsys.readouterr()
    *rows, totals = map(json.loads, printed.out.splitlines())
    assert printed.err == ""
    names = [Path(row["input"]).relative_to(photos).as_posix() for row in rows]
    assert names == ["a.png", "a_derain.png", "below/b.jpg"]  # results of ours are looked at too
    assert [row["jpeg_quality"] for row in rows] == [None, None, 60]
    for row in rows:
        assert list(row["severities"]) == list(DAMAGES)
        assert (row["found"], row["tasks"]) == (["rain", "snow"], ["derain", "desnow"])
        assert row["size"] == [70, 50]
        assert (row["noise_sigma"] > 5) == (row["jpeg_quality"] is None)  # compressing takes most of it
    assert totals == {"photos": 3, "failed": 0, "found": {"rain": 3, "snow": 3}}
    assert main(["detect", str(photos), "--no-recursive", "--model", str(model), "--json", "--quiet"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_broken_files_are_one_line_each_and_the_rest_is_done(
    model: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (photos / "empty").mkdir()
    inputs = [str(photos / "note.txt"), str(photos), str(photos / "empty")]
    assert main(["detect", *inputs, "--model", str(model)]) == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1 + 3
    complaints = [line for line in printed.err.splitlines() if line.startswith("dfrestore: ")]
    assert len(complaints) == 3
    assert all(any(name in line for line in complaints) for name in ("note.txt", "broken.jpg", "empty"))
    assert main(["detect", *inputs, "--model", str(model), "--json", "--quiet"]) == 1
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum("error" in one for one in objects) == 3
    assert objects[-1]["failed"] == 3


def test_a_picture_larger_than_the_limit_is_that_files_failure(
    model: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", str(photos / "a.png"), "--model", str(model), "--max-pixels", "3000"]) == 1
    assert "--max-pixels" in capsys.readouterr().err


def test_without_a_model_it_takes_the_one_that_ships(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(photos / "below" / "b.jpg"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["model"] == "detect/compact"


@pytest.mark.parametrize(
    "arguments",
    [["missing.jpg"], [""], ["{photos}", "--model", "missing.safetensors"], ["{photos}", "--device", "abc"]],
)
def test_what_does_not_exist_is_wrong_usage(
    photos: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", *(word.format(photos=photos) for word in arguments)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_model_of_another_task_or_method_is_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = save_model(tmp_path / "derain.safetensors", tiny_spec(), 1.0)
    assert main(["detect", str(photos), "--model", str(other)]) == 2
    assert "is a model for derain, not for detect" in capsys.readouterr().err
    liar = save_model(tmp_path / "liar.safetensors", tiny_spec(task="detect"), 1.0)
    assert main(["detect", str(photos), "--model", str(liar)]) == 3
    assert "its method is c2f-dft" in capsys.readouterr().err


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (1100, 40)])
def test_photos_of_any_size_are_looked_at(model: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (90, 120, 80)).save(tmp_path / "p.png")
    findings = Detection.load(model, "cpu").look(read(tmp_path / "p.png"))
    assert findings.found == ("rain", "snow")
    assert findings.tasks == ("derain", "desnow")
    assert findings.noise_sigma < 1e-6
    assert findings.blockiness < 0.01
    assert findings.severities["haze"] < NOTICED
