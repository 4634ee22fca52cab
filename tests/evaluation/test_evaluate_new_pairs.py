"""``dfrestore evaluate`` of models that enlarge and of models that fill holes, as a user meets it."""

from __future__ import annotations

import html
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Answer
from diffir_models import save_enlarging
from PIL import Image
from report_pages import names, read, settings

from dfrestore.cli.evaluation_pairs import KIND_OF_TASK
from dfrestore.degrade import KINDS
from dfrestore.metrics import psnr_hole, psnr_rgb, psnr_y, to_8bit
from dfrestore.tasks import TASKS, restoring_tasks

Run = Callable[..., Answer]
MakePhoto = Callable[..., Path]
VAL = Path(os.environ.get("DFRESTORE_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "val"


@pytest.fixture(scope="session")
def x2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose result is its input with each pixel twice as large."""
    return save_enlarging(tmp_path_factory.mktemp("model") / "x2.safetensors", 2)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def records(answer: Answer) -> list[dict]:
    return [json.loads(line, parse_constant=pytest.fail) for line in answer.paths]


def twice(picture: np.ndarray) -> np.ndarray:
    return picture.repeat(2, axis=0).repeat(2, axis=1)


# -- larger results


@pytest.fixture
def small(tmp_path: Path, make_photo: MakePhoto) -> Path:
    """``lr_x2`` and ``hr``, two pairs; the second target has a column and a row more."""
    for number, (name, more) in enumerate((("one", 0), ("two", 1))):
        make_photo(tmp_path / "set" / "lr_x2" / f"{name}x2.png", number, (24, 16))
        make_photo(tmp_path / "set" / "hr" / f"{name}.png", number, (48 + more, 32 + more))
    return tmp_path / "set"


def test_a_model_that_enlarges_is_measured_with_its_scale_as_border(dfrestore: Run, small: Path, x2: Path) -> None:
    answer = dfrestore("evaluate", "upscale", "--data", small, "--model", x2, "--precision", "fp32", "--json")
    assert answer.code == 0, answer.err
    *scores, mean = records(answer)
    assert [score["name"] for score in scores] == ["onex2", "twox2"]
    for score, name in zip(scores, ("one", "two"), strict=True):
        result, target = twice(pixels(small / "lr_x2" / f"{name}x2.png")), pixels(small / "hr" / f"{name}.png")
        assert score["psnr"] == pytest.approx(psnr_y(result, target[:32, :48], border=2))
    assert (mean["border"], mean["scale"], mean["channel"], mean["task"]) == (2, 2, "y", "upscale")
    assert "input: enlarged by 2, bicubic" in mean["convention"]


def test_a_border_that_is_asked_for_wins(dfrestore: Run, small: Path, x2: Path) -> None:
    arguments = ("evaluate", "--task", "upscale", "--data", small, "--model", x2, "--json", "--crop-border", 0)
    assert records(dfrestore(*arguments))[-1]["border"] == 0


def test_a_pair_of_another_scale_fails_alone_and_names_both_sizes(
    dfrestore: Run, make_photo: MakePhoto, small: Path, x2: Path
) -> None:
    make_photo(small / "hr" / "one.png", 0, (72, 48))
    answer = dfrestore("evaluate", "upscale", "--data", small, "--model", x2, "--json")
    assert answer.code == 1
    assert "24x16 pixels against 72x48 of the target" in records(answer)[0]["error"]
    assert records(answer)[-1]["pictures"] == 1


def test_small_pictures_without_their_targets_beside_them_need_targets(
    dfrestore: Run, small: Path, x2: Path, tmp_path: Path
) -> None:
    (small / "hr").rename(tmp_path / "elsewhere")
    answer = dfrestore("evaluate", "upscale", "--data", small, "--model", x2)
    assert (answer.code, answer.out) == (2, "")
    answer = dfrestore("evaluate", "upscale", "--data", small, "--targets", tmp_path / "elsewhere", "--model", x2)
    assert answer.code == 0
    assert "mean of 2" in answer.out


def test_clean_pictures_give_the_scores_of_the_pairs_that_degrade_makes_of_them(
    dfrestore: Run, make_photo: MakePhoto, tmp_path: Path, x2: Path
) -> None:
    for seed, name in enumerate(("a.png", "a-1.png", "sub/b.png")):
        make_photo(tmp_path / "clean" / name, seed, (49, 33))
    assert dfrestore("degrade", "lowres", tmp_path / "clean", "-o", tmp_path / "pairs", "--preset", "x2").code == 0
    options = ("--model", x2, "--json")
    made = records(dfrestore("evaluate", "upscale", "--clean", tmp_path / "clean", *options))
    stored = records(dfrestore("evaluate", "upscale", "--data", tmp_path / "pairs", *options))
    assert sorted(score["psnr"] for score in made) == sorted(score["psnr"] for score in stored)
    assert sorted(score["input_psnr"] for score in made) == sorted(score["input_psnr"] for score in stored)
    assert (made[-1]["preset"], made[-1]["clean"]) == ("x2", str(tmp_path / "clean"))


def test_the_page_shows_inputs_with_their_pixels_enlarged(
    dfrestore: Run, tmp_path: Path, small: Path, x2: Path
) -> None:
    answer = dfrestore("evaluate", "upscale", "--data", small, "--model", x2, "--report", tmp_path / "a.html")
    assert answer.code == 0
    page = read(tmp_path / "a.html")
    assert names(tmp_path / "a.html") == ["onex2", "twox2"]
    assert [page.count(f'class="layer {role}"') for role in ("before", "after", "target")] == [2, 2, 2]
    assert "48 &times; 32" in page
    assert "Inputs are shown with their pixels enlarged." in html.unescape(page)


def test_ensembles_and_tiles_of_a_model_that_enlarges_can_be_measured(dfrestore: Run, small: Path, x2: Path) -> None:
    arguments = ("evaluate", "upscale", "--data", small, "--model", x2, "--precision", "fp32", "--json")
    plain, turned, tiled = (records(dfrestore(*arguments, *more)) for more in ((), ("--ensemble", 3), ("--tile", 16)))
    assert plain[-1]["psnr"] == pytest.approx(turned[-1]["psnr"], abs=1e-3)  # enlarging pixels knows no direction
    assert plain[-1]["psnr"] == pytest.approx(tiled[-1]["psnr"], abs=1e-3)


@pytest.mark.skipif(not (VAL / "Set5_lr").is_dir(), reason="Set5 is absent; DFRESTORE_TEST_DATA names its folder")
@pytest.mark.parametrize(("scale", "published"), [(2, 33.64), (4, 28.42)])
def test_bicubic_enlargement_has_the_published_score_on_set5(
    dfrestore: Run, tmp_path: Path, scale: int, published: float
) -> None:
    model = save_enlarging(tmp_path / "model.safetensors", scale)
    arguments = ("--data", VAL / "Set5_lr", "--targets", VAL / "Set5" / "target", "--y-rounded", "--json")
    answer = dfrestore("evaluate", "upscale", *arguments, "--model", model)
    assert records(answer)[-1]["input_psnr"] == pytest.approx(published, abs=0.005)


# -- holes


@pytest.fixture
def holes(tmp_path: Path, make_photo: MakePhoto) -> Path:
    """``input``, ``target`` and ``mask``, two pictures of 32 x 24 with a grey hole each."""
    for number, name in enumerate(("one", "two")):
        target = pixels(make_photo(tmp_path / "set" / "target" / f"{name}.png", number, (32, 24)))
        mask = np.zeros((24, 32), np.uint8)
        mask[4 + number : 12, 8:20] = 255
        for side, picture in (("mask", mask), ("input", np.where(mask[..., None] > 0, np.uint8(127), target))):
            (tmp_path / "set" / side).mkdir(exist_ok=True)
            Image.fromarray(picture).save(tmp_path / "set" / side / f"{name}.png")
    return tmp_path / "set"


def test_a_model_that_fills_holes_is_measured_inside_them_and_keeps_what_is_known(
    dfrestore: Run, holes: Path, filling: Path, tmp_path: Path
) -> None:
    answer = dfrestore("evaluate", "inpaint", "--data", holes, "--model", filling, "--json")
    assert answer.code == 0, answer.err
    *scores, mean = records(answer)
    assert (mean["channel"], mean["border"]) == ("rgb", 0)
    for score in scores:
        degraded, target, mask = (pixels(holes / side / f"{score['name']}.png") for side in ("input", "target", "mask"))
        assert score["input_psnr_hole"] == pytest.approx(psnr_hole(degraded, target, mask))
        # all that differs lies in the hole, so both scores say the same
        share = float((mask > 0).mean())
        assert score["psnr"] == pytest.approx(score["psnr_hole"] - 10 * np.log10(share))
    assert mean["psnr_hole"] == pytest.approx(np.mean([score["psnr_hole"] for score in scores]))
    assert mean["psnr_hole"] != mean["input_psnr_hole"]


@pytest.mark.parametrize("missing", ["input", "mask", "both"])
def test_masks_may_lie_elsewhere_and_inputs_be_made_from_the_targets(
    dfrestore: Run, holes: Path, filling: Path, tmp_path: Path, missing: str
) -> None:
    arguments = ("--model", filling, "--json")
    expected = records(dfrestore("evaluate", "inpaint", "--data", holes, *arguments))
    more: tuple[object, ...] = ()
    if missing in ("input", "both"):
        (holes / "input").rename(tmp_path / "inputs")
    if missing in ("mask", "both"):
        (holes / "mask").rename(tmp_path / "masks")
        (tmp_path / "masks" / "one.png").rename(tmp_path / "masks" / "one_mask000.png")
        more = ("--masks", tmp_path / "masks")
    found = records(dfrestore("evaluate", "inpaint", "--data", holes, *more, *arguments))
    assert [score["psnr_hole"] for score in found] == [score["psnr_hole"] for score in expected]
    assert [score["input_psnr"] for score in found] == [score["input_psnr"] for score in expected]


def test_one_mask_file_serves_all(dfrestore: Run, holes: Path, filling: Path) -> None:
    mask = holes / "mask" / "two.png"
    answer = dfrestore("evaluate", "inpaint", "--data", holes, "--masks", mask, "--model", filling, "--json")
    assert records(answer)[-1]["pictures"] == 2


def test_drawn_holes_are_those_of_degrade_and_the_same_whatever_the_seed_of_the_sampling(
    dfrestore: Run, make_photo: MakePhoto, tmp_path: Path, filling: Path
) -> None:
    for seed, name in enumerate(("a.png", "a-1.png", "b.png")):
        make_photo(tmp_path / "clean" / name, seed, (64, 64))
    assert dfrestore("degrade", "holes", tmp_path / "clean", "-o", tmp_path / "pairs", "--preset", "strokes").code == 0
    options = ("--model", filling, "--json")
    clean = ("evaluate", "inpaint", "--clean", tmp_path / "clean", "--preset", "strokes", *options)
    made, again = records(dfrestore(*clean)), records(dfrestore(*clean, "--seed", 7))
    stored = records(dfrestore("evaluate", "inpaint", "--data", tmp_path / "pairs", *options))
    by_name = [{score["name"]: score["input_psnr_hole"] for score in run} for run in (made, again, stored)]
    assert by_name[0] == by_name[1] == by_name[2]
    assert {score["name"]: score["psnr_hole"] for score in made} == {
        score["name"]: score["psnr_hole"] for score in stored
    }


def test_finished_results_are_measured_inside_the_holes_too(dfrestore: Run, holes: Path) -> None:
    answer = dfrestore("evaluate", holes / "input", holes / "target", "--masks", holes / "mask", "--json")
    score, *_ = records(answer)
    degraded, target, mask = (pixels(holes / side / "one.png") for side in ("input", "target", "mask"))
    assert score["psnr_hole"] == pytest.approx(psnr_hole(degraded, target, mask))
    assert "input_psnr_hole" not in score


def test_pictures_without_a_mask_are_told_and_left_out(dfrestore: Run, holes: Path, filling: Path) -> None:
    (holes / "mask" / "one.png").unlink()
    answer = dfrestore("evaluate", "inpaint", "--data", holes, "--model", filling)
    assert answer.code == 0
    assert "no mask for" in answer.err
    assert "mean of 1" in answer.out
    (holes / "mask" / "two.png").rename(holes / "mask" / "three.png")
    assert dfrestore("evaluate", "inpaint", "--data", holes, "--model", filling).code == 3


def test_a_mask_that_is_resized_is_told_on_stderr(dfrestore: Run, holes: Path, filling: Path) -> None:
    Image.open(holes / "mask" / "one.png").resize((64, 48)).save(holes / "mask" / "one.png")
    answer = dfrestore("evaluate", "inpaint", "--data", holes, "--model", filling, "--limit", 1)
    assert "one: one.png: mask resized (64x48 to 32x24)" in answer.err


def test_the_page_shows_holes_in_grey_and_their_scores(
    dfrestore: Run, tmp_path: Path, holes: Path, filling: Path
) -> None:
    (holes / "mask" / "two.png").unlink()
    answer = dfrestore("evaluate", "inpaint", "--data", holes, "--model", filling, "--report", tmp_path / "a.html")
    assert answer.code == 0
    page = html.unescape(read(tmp_path / "a.html"))
    assert "Mean PSNR in the hole" in page
    assert "Holes are shown in grey." in page
    assert "No mask for (1)" in page
    assert settings(tmp_path / "a.html")["Task"] == "inpaint"


# -- what all tasks share


def test_every_task_that_restores_has_a_degradation_for_clean_pictures() -> None:
    assert {kind.task: kind.name for kind in KINDS.values() if TASKS[kind.task].restores} == KIND_OF_TASK
    assert set(restoring_tasks()) <= set(KIND_OF_TASK)


@pytest.mark.parametrize("words", ["--task upscale", "upscale"])
def test_presets_are_completed_by_the_task(words: str) -> None:
    line = f"dfrestore evaluate {words} --preset x"
    asked = {"_DFRESTORE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    command = [sys.executable, "-m", "dfrestore"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **asked})
    assert done.stdout.split() == ["x2", "x3", "x4"]


def test_clean_pictures_are_degraded_for_the_other_tasks_too(
    dfrestore: Run, make_photo: MakePhoto, tmp_path: Path, identity_model: Path
) -> None:
    clean = pixels(make_photo(tmp_path / "clean" / "a.png", 0, (32, 24)))
    arguments = ("--clean", tmp_path / "clean", "--preset", "drizzle", "--model", identity_model, "--json")
    score, mean = records(dfrestore("evaluate", "derain", *arguments))
    rainy = KINDS["rain"].apply(clean / np.float32(255), "drizzle", 0)
    assert score["input_psnr"] == pytest.approx(psnr_y(to_8bit(rainy), clean))
    assert mean["preset"] == "drizzle"


def test_targets_may_lie_elsewhere_for_the_other_tasks_too(
    dfrestore: Run, make_photo: MakePhoto, tmp_path: Path, identity_model: Path
) -> None:
    one = make_photo(tmp_path / "rainy" / "1_rain.png", 0)
    other = make_photo(tmp_path / "dry" / "1.png", 1)
    arguments = ("--data", tmp_path / "rainy", "--targets", tmp_path / "dry", "--model", identity_model, "--json")
    score, _ = records(dfrestore("evaluate", "derain", *arguments, "--channel", "rgb"))
    assert score["input_psnr"] == pytest.approx(psnr_rgb(pixels(one), pixels(other)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("derain",), "--data or --clean"),
        (("derain", "--data", ".", "--clean", "."), "exclude each other"),
        (("derain", "--targets", ".", "--clean", "."), "--targets is about --data"),
        (("derain", "--data", ".", "--preset", "rain"), "--preset is about --clean"),
        (("derain", "--clean", ".", "--preset", "drizle"), "did you mean 'drizzle'"),
        (("derain", "--data", ".", "--masks", "."), "not derain"),
        (("inpaint", "--clean", ".", "--masks", ".", "--preset", "thin"), "exclude each other"),
        (("inpaint", "--clean", ".", "--masks", "nowhere"), "nowhere: no such file or folder"),
        (("upscale", "--clean", "nowhere"), "nowhere: no such folder"),
        ((".", ".", "--clean", "."), "leave out --targets, --clean and --preset"),
    ],
)
def test_options_that_do_not_fit_are_wrong_usage(
    dfrestore: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = dfrestore("evaluate", *arguments)
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (2, "", 1)
    assert message in answer.err


def test_inputs_of_another_scale_than_the_models_are_refused(
    dfrestore: Run, make_photo: MakePhoto, tmp_path: Path, x2: Path
) -> None:
    make_photo(tmp_path / "clean" / "a.png", 0, (48, 48))
    answer = dfrestore("evaluate", "upscale", "--clean", tmp_path / "clean", "--preset", "x4", "--model", x2)
    assert (answer.code, answer.out) == (2, "")
    assert "--preset x4 makes pictures 4 times smaller, but the model enlarges by 2" in answer.err


def test_clean_pictures_are_not_made_smaller_by_any_factor(
    dfrestore: Run, make_photo: MakePhoto, tmp_path: Path
) -> None:
    make_photo(tmp_path / "clean" / "a.png", 0, (48, 48))
    model = save_enlarging(tmp_path / "x8.safetensors", 8)
    answer = dfrestore("evaluate", "upscale", "--clean", tmp_path / "clean", "--model", model)
    assert (answer.code, answer.out) == (2, "")
    assert "enlarges by 8" in answer.err
