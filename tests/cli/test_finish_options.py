"""The options for the finish of a result: what they do to a file, which tasks have them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Answer, save_model, tiny_spec
from PIL import Image

from dfrestore.restore.finish import only_part

MakePhoto = Callable[..., Path]
Run = Callable[..., Answer]


def array_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path), np.float32) / 255


@pytest.mark.parametrize("part", ["chroma", "luma"])
def test_a_part_of_the_result_is_taken(
    restore: Run, random_model: Path, tmp_path: Path, make_photo: MakePhoto, part: Any
) -> None:
    source = make_photo(tmp_path / "a.png")
    for name, more in (("full.png", []), ("part.png", [f"--{part}-only"])):
        assert restore(source, "-o", tmp_path / name, *more, model=random_model).code == 0
    wanted = only_part(array_of(source), array_of(tmp_path / "full.png"), part)
    made = array_of(tmp_path / "part.png")
    assert np.abs(made - wanted).max() < 2 / 255  # both were rounded
    assert np.abs(made - array_of(tmp_path / "full.png")).max() > 10 / 255


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--chroma-only", "--luma-only"], ["--chroma-only", "--luma-only", "exclude each other"]),
        (["--grain", "25"], ["--grain", "25% or 0.25"]),
        (["--grain", "101%"], ["--grain 101%", "or a percentage"]),
        (["--grain", "much"], ["--grain", "much"]),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, more: list[str], words: list[str]
) -> None:
    answer = restore(make_photo(tmp_path / "a.png"), *more)
    assert (answer.code, answer.out) == (2, "")
    assert len(answer.err.splitlines()) == 1
    assert all(word in answer.err for word in words)


@pytest.mark.parametrize(
    ("option", "tasks"),
    [
        ("--chroma-only", {"derain", "denoise"}),
        ("--luma-only", {"derain", "denoise"}),
        ("--keep-detail", {"denoise"}),
        ("--grain", {"derain", "denoise", "upscale", "inpaint"}),
    ],
)
def test_tasks_have_what_makes_sense_for_them(dfrestore: Run, option: str, tasks: set[str]) -> None:
    for task in ("derain", "denoise", "upscale", "inpaint"):
        assert (f"  {option} " in dfrestore(task, "--help").out) == (task in tasks)


def test_detail_comes_back(dfrestore: Run, tmp_path: Path) -> None:
    model = save_model(tmp_path / "denoise.safetensors", tiny_spec(task="denoise"), 1.0)
    photo = np.random.default_rng(0).integers(120, 130, (48, 48, 3), np.uint8)
    photo[20:24, 20:24] = 250  # stands out of the noise
    source, made = tmp_path / "a.png", []
    Image.fromarray(photo).save(source)
    for name, more in (("1", []), ("2", ["--keep-detail", 0]), ("3", ["--keep-detail", 1])):
        options = ("-o", tmp_path / f"{name}.png", "--model", model, "--precision", "fp32", *more)
        assert dfrestore("denoise", source, *options).code == 0
        made.append((tmp_path / f"{name}.png").read_bytes())
    assert made[0] == made[1] != made[2]


def test_the_same_seed_gives_the_same_grain_however_it_is_written(
    restore: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    source, made = make_photo(tmp_path / "a.png"), []
    for name, more in (("1", ["25%"]), ("2", ["0.25"]), ("3", ["25%", "--seed", 1]), ("4", ["0"]), ("5", None)):
        options = [] if more is None else ["--grain", *more]
        assert restore(source, "-o", tmp_path / f"{name}.png", *options).code == 0
        made.append((tmp_path / f"{name}.png").read_bytes())
    assert made[0] == made[1] != made[2]
    assert made[3] == made[4] != made[0]


def test_a_finish_counts_as_other_settings_and_is_told(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    make_photo(tmp_path / "in" / "a.png")
    assert "1 done" in restore(tmp_path / "in", "-o", tmp_path / "out").err
    answer = restore(tmp_path / "in", "-o", tmp_path / "out", "--luma-only")
    assert "1 left as found" in answer.err
    answer = restore(tmp_path / "in", "-o", tmp_path / "out", "--luma-only", "--overwrite")
    assert "seed 0, luma alone;" in answer.err.splitlines()[0]
    assert "1 skipped" in restore(tmp_path / "in", "-o", tmp_path / "out", "--luma-only").err
