"""``--uncertainty``, ``--compare`` and ``--trace``: what stands beside the results of a command, and what does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Answer, pixels, save_model, tiny_spec
from PIL import Image

MakePhoto = Callable[..., Path]
Run = Callable[..., Answer]
ROOT = Path(__file__).parents[2]


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def objects(answer: Answer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.paths]


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


# -- one file


def test_all_three_stand_where_they_were_asked_for_and_in_the_json(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, random_model: Path
) -> None:
    source = make_photo(tmp_path / "in" / "a.jpg")
    wanted = {"uncertainty": "out/u.png", "compare": "out/c.jpg", "trace": "out/t.gif"}
    options = [part for kind, name in wanted.items() for part in (f"--{kind}", tmp_path / name)]
    done, _ = objects(restore(source, "-o", tmp_path / "out" / "a.jpg", *options, "--json", model=random_model))
    assert names(tmp_path / "out") == ["a.jpg", "c.jpg", "t.gif", "u.png"]
    assert {kind: done[kind] for kind in wanted} == {kind: str(tmp_path / name) for kind, name in wanted.items()}
    assert done["ensemble"] == 4


def test_the_summary_says_where_they_are(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, photo_folder: Path, random_model: Path
) -> None:
    one, strips = tmp_path / "c.png", tmp_path / "strips"
    source = make_photo(tmp_path / "a.png")
    options = ("--compare", one, "--trace", tmp_path / "t.gif", "--uncertainty", tmp_path / "u.png")
    summary = restore(source, *options, model=random_model).err.splitlines()[-1]
    assert f"; --compare: {one}" in summary
    assert f"; --trace: {tmp_path / 't.gif'}" in summary
    assert f"; --uncertainty: {tmp_path / 'u.png'}" in summary
    folder = (photo_folder, "-o", tmp_path / "out", "--compare", strips)
    assert restore(*folder).err.splitlines()[-1].endswith(f"; --compare: 4 in {strips}")
    assert "--compare:" not in restore(*folder).err.splitlines()[-1]  # nothing was written


def test_without_extras_there_are_none_in_the_json(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    done, _ = objects(restore(make_photo(tmp_path / "a.png"), "--json"))
    assert (done["uncertainty"], done["compare"], done["trace"], done["ensemble"]) == (None, None, None, 1)


def test_extras_do_not_change_the_result(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, random_model: Path
) -> None:
    source = make_photo(tmp_path / "a.png")
    restore(source, "-o", tmp_path / "1.png", model=random_model)
    more = ["--compare", tmp_path / "c.png", "--trace", tmp_path / "t.gif"]
    restore(source, "-o", tmp_path / "2.png", *more, model=random_model)
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()


def test_the_map_is_upright_and_as_large_as_the_result(restore: Run, tmp_path: Path, random_model: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera on its side
    Image.fromarray(pixels()).save(tmp_path / "a.jpg", exif=exif)
    more = ["--ensemble", 2, "--uncertainty", tmp_path / "u.png"]
    assert restore(tmp_path / "a.jpg", *more, model=random_model).code == 0
    with Image.open(tmp_path / "u.png") as image, Image.open(tmp_path / "a_derain.jpg") as result:
        assert image.size == result.size == (16, 24)
        assert np.asarray(image).max() > 0
        assert "2 restorations" in image.info["Description"]


def test_the_strip_names_photo_model_steps_and_seed(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions = []
    from dfrestore.photo import sheet

    shortened = sheet._shortened

    def kept(caption: str, *rest: Any) -> str:
        captions.append(caption)
        return shortened(caption, *rest)

    monkeypatch.setattr(sheet, "_shortened", kept)
    restore(make_photo(tmp_path / "a.png"), "--compare", tmp_path / "c.png", "--seed", 5)
    assert captions == ["before: a.png", "after: identity.safetensors, 2 steps, seed 5"]


@pytest.mark.parametrize(("steps", "said"), [(1, True), (2, False)])
def test_a_trace_of_one_step_says_that_nothing_lies_between(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, random_model: Path, steps: int, said: bool
) -> None:
    trace = ["--trace", tmp_path / "t.gif", "--steps", steps]
    answer = restore(make_photo(tmp_path / "a.png"), *trace, model=random_model)
    line = "--trace shows the noise and the result alone: a single step has nothing between; --steps 8 shows more"
    assert (f"dfrestore: {line}" in answer.err) == said


def test_an_extra_that_exists_is_refused_before_any_work(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    source, there = make_photo(tmp_path / "a.png"), make_photo(tmp_path / "c.png", 7)
    before = snapshot(tmp_path)
    answer = restore(source, "--compare", there)
    assert (answer.code, answer.err) == (1, f"dfrestore: {there}: exists already; --overwrite replaces it\n")
    assert snapshot(tmp_path) == before
    assert restore(source, "--compare", there, "--overwrite").code == 0
    assert there.read_bytes() != before[str(there)][0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--uncertainty", "u.png", "--ensemble", "1"], "--ensemble 2 or more"),
        (["--uncertainty", "u.jpg"], "ends in .png"),
        (["--compare", "c.gif"], "ends in .jpg or .jpeg or .png"),
        (["--trace", "t.png"], "ends in .gif or .webp"),
        (["--compare", "a.png"], "would replace an input"),
        (["-o", "b.png", "--compare", "b.png"], "both -o and --compare"),
        (["b.png", "--trace", "t.gif"], "give one INPUT file"),
        (["b.png", "--compare", "c.png"], "several photos need a folder"),
        (["--compare", "c.png", "--report", "c.png/r.html"], "a result goes there"),
    ],
)
def test_wrong_usage_is_one_line_and_touches_nothing(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, options: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", *(["b.png"] if options[0] == "b.png" else [])):
        make_photo(tmp_path / name)
    before = snapshot(tmp_path)
    answer = restore("a.png", *options)
    assert (answer.code, answer.out) == (2, "")
    assert len(answer.err.splitlines()) == 1
    assert words in answer.err
    assert snapshot(tmp_path) == before


def test_a_failure_leaves_no_extras(dfrestore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    wild = save_model(tmp_path / "wild.safetensors", tiny_spec(), 3e38)
    options = ["--compare", tmp_path / "c.png", "--trace", tmp_path / "t.gif", "--precision", "fp32"]
    assert dfrestore("derain", make_photo(tmp_path / "a.png"), "--model", wild, *options).code == 1
    assert names(tmp_path) == ["a.png", "wild.safetensors"]


def test_a_result_that_cannot_be_written_leaves_no_extras(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    source = make_photo(tmp_path / "a.png")
    answer = restore(source, "-o", tmp_path / f"{'b' * 300}.png", "--compare", tmp_path / "c.png")
    assert answer.code == 1
    assert "cannot be written" in answer.err
    assert names(tmp_path) == ["a.png"]


# -- folders


def test_trees_are_mirrored(restore: Run, tmp_path: Path, photo_folder: Path) -> None:
    more = ["--uncertainty", tmp_path / "maps", "--compare", tmp_path / "strips", "--ensemble", 2, "--steps", 1]
    answer = restore(photo_folder, "-o", tmp_path / "out", *more)
    assert answer.code == 0
    assert names(tmp_path / "maps") == ["a.png", "b.png", "sub/a.png", "sub/deep/c.png"]
    assert names(tmp_path / "strips") == ["a.jpg", "b.jpg", "sub/a.jpg", "sub/deep/c.jpg"]


def test_finished_photos_are_skipped_and_extras_that_they_lack_are_said_not_made(
    restore: Run, tmp_path: Path, photo_folder: Path
) -> None:
    restore(photo_folder, "-o", tmp_path / "out")
    answer = restore(photo_folder, "-o", tmp_path / "out", "--compare", tmp_path / "strips")
    assert (answer.code, answer.out) == (0, "")
    assert "4 photos done before without --compare" in answer.err
    assert "--overwrite" in answer.err
    assert not (tmp_path / "strips").exists()


def test_overwrite_makes_the_extras_of_finished_photos(restore: Run, tmp_path: Path, photo_folder: Path) -> None:
    restore(photo_folder, "-o", tmp_path / "out")
    restore(photo_folder, "-o", tmp_path / "out", "--compare", tmp_path / "strips", "--overwrite")
    assert len(names(tmp_path / "strips")) == 4
    again = restore(photo_folder, "-o", tmp_path / "out", "--compare", tmp_path / "strips", "--json")
    assert "done before without" not in again.err
    assert objects(again)[0]["compare"] == str(tmp_path / "strips" / "a.jpg")


def test_a_changed_photo_gets_new_extras_but_a_foreign_file_is_left(
    restore: Run, tmp_path: Path, photo_folder: Path, make_photo: MakePhoto
) -> None:
    strips = tmp_path / "strips"
    restore(photo_folder, "-o", tmp_path / "out", "--compare", strips)
    before = (strips / "a.jpg").read_bytes()
    for name in ("a.png", "b.jpg"):
        make_photo(photo_folder / name, 99)
    foreign = make_photo(strips / "b.jpg", 5).read_bytes()
    answer = restore(photo_folder, "-o", tmp_path / "out", "--compare", strips)
    assert answer.code == 1
    assert (strips / "a.jpg").read_bytes() != before
    assert f"{strips / 'b.jpg'}: exists already" in answer.err
    assert (strips / "b.jpg").read_bytes() == foreign


def test_a_folder_of_strips_inside_the_input_is_not_restored(restore: Run, tmp_path: Path, photo_folder: Path) -> None:
    for _ in range(2):
        assert restore(photo_folder, "-o", tmp_path / "out", "--compare", photo_folder / "strips").code == 0
    assert names(tmp_path / "out") == [".dfrestore.jsonl", "a.png", "b.jpg", "sub/a.png", "sub/deep/c.tif"]


@pytest.mark.parametrize("mode", [[], ["--json"]])
def test_a_dry_run_touches_nothing(restore: Run, tmp_path: Path, photo_folder: Path, mode: list[str]) -> None:
    before = snapshot(tmp_path)
    more = ["--uncertainty", tmp_path / "maps", "--compare", tmp_path / "strips", "--dry-run"]
    answer = restore(photo_folder, "-o", tmp_path / "out", *more, *mode)
    assert answer.code == 0
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "maps").exists()
    if mode:
        assert objects(answer)[0]["compare"] == str(tmp_path / "strips" / "a.jpg")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupted_run_leaves_whole_pictures_only_and_is_finished_by_the_next(
    tmp_path: Path, make_photo: MakePhoto, identity_model: Path, dfrestore: Run
) -> None:
    for number in range(6):
        make_photo(tmp_path / "in" / f"{number}.png", number, (64, 64))
    out, maps, strips = (tmp_path / name for name in ("out", "maps", "strips"))
    arguments = ["derain", tmp_path / "in", "-o", out, "--uncertainty", maps, "--compare", strips, "--ensemble", 2]
    arguments += ["--steps", 30, "--model", identity_model, "--precision", "fp32"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dfrestore", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().endswith("0.png\n")
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    done = {path.stem for path in out.glob("*.png")}
    assert 1 <= len(done) < 6
    for folder in (maps, strips):
        assert {path.stem for path in folder.iterdir()} == done
        for path in folder.iterdir():
            Image.open(path).load()
    assert dfrestore(*arguments).code == 0
    assert len(names(maps)) == len(names(strips)) == 6
