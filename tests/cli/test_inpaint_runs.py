"""``dfrestore inpaint`` over folders and streams, what it makes beside the results, wrong usage, and the Python API.

"tasks N" in a docstring is a line of the complaints that were collected from public issue threads, with its source.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import report_pages
from conftest import Answer
from diffir_models import save_enlarging
from larger_and_filled import array_of, hole, is_filled, names, objects, save_mask
from PIL import Image

from dfrestore.restore import Restorer

MakePhoto = Callable[..., Path]
Run = Callable[..., Answer]


@pytest.fixture
def source(tmp_path: Path, make_photo: MakePhoto) -> Path:
    return make_photo(tmp_path / "photo.png")


# -- a look at the mask first


def test_a_dry_run_saves_the_mask_and_nothing_else(inpaint: Run, source: Path, tmp_path: Path) -> None:
    """tasks 21, IOPaint#639: a quick test first."""
    mask = save_mask(tmp_path / "m.png")
    answer = inpaint(source, "--mask", mask, "--save-mask", tmp_path / "seen.png", "--dry-run")
    assert answer.code == 0
    assert "(24x16, white is filled, 12.5 % of the picture, " in answer.err
    assert names(tmp_path) == ["m.png", "photo.png", "seen.png"]
    assert np.array_equal(array_of(tmp_path / "seen.png"), array_of(mask))
    assert answer.err.splitlines()[0].endswith("; only masks are written")


def test_a_saved_mask_serves_as_the_mask(inpaint: Run, source: Path, tmp_path: Path) -> None:
    """tasks 21: what was seen is what is filled; a mask with a soft edge too."""
    seen, how = tmp_path / "seen.png", ["--dilate", 2, "--feather", 3]
    mask = save_mask(tmp_path / "m.png")
    assert inpaint(source, "-o", tmp_path / "1.png", "--mask", mask, *how, "--save-mask", seen).code == 0
    assert inpaint(source, "-o", tmp_path / "2.png", "--mask", seen).code == 0
    assert np.abs(array_of(tmp_path / "1.png").astype(int) - array_of(tmp_path / "2.png")).max() <= 1


def test_masks_of_a_folder_are_saved_in_the_same_tree(inpaint: Run, tmp_path: Path, photo_folder: Path) -> None:
    mask = save_mask(tmp_path / "m.png")
    run = ["--mask", mask, "--save-mask", tmp_path / "seen", "--dry-run", "-o", tmp_path / "out"]
    (photo_folder / "b.jpg").unlink()
    assert inpaint(photo_folder, *run).code == 0
    assert names(tmp_path / "seen") == ["a.png", "sub/a.png", "sub/deep/c.png"]
    assert not (tmp_path / "out").exists()
    assert inpaint(photo_folder, *run, "--invert").code == 0  # its own are replaced
    assert np.array_equal(array_of(tmp_path / "seen" / "a.png") > 0, ~hole())


def test_a_trace_of_one_pass_shows_photo_and_result_and_says_so(inpaint: Run, source: Path, tmp_path: Path) -> None:
    mask = save_mask(tmp_path / "m.png")
    answer = inpaint(source, "--mask", mask, "--trace", tmp_path / "t.webp")
    said = "dfrestore: --trace shows the photo and the result alone: this model makes it in one pass"
    assert [line for line in answer.err.splitlines() if line.startswith("dfrestore: ")] == [said]
    with Image.open(tmp_path / "t.webp") as trace:
        assert (trace.n_frames, trace.size) == (2, (24, 16))


# -- less than all of it


@pytest.mark.parametrize("strength", [0, 0.5])
def test_colours_hidden_under_transparent_pixels_never_show(inpaint: Run, tmp_path: Path, strength: float) -> None:
    """tasks 8: what lies under alpha 0 is no part of the photo; the colours around it are."""
    colours = np.full((16, 24, 3), 100, np.uint8)
    colours[hole()] = (255, 0, 255)
    cut = np.dstack([colours, np.where(hole(), 0, 255).astype(np.uint8)])
    Image.fromarray(cut).save(tmp_path / "hidden.png")
    Image.fromarray(np.where(cut[..., 3:] > 0, cut, 0)).save(tmp_path / "black.png")
    for name in ("hidden", "black"):
        assert inpaint(tmp_path / f"{name}.png", "--mask", "alpha", "--strength", strength).code == 0
    result = array_of(tmp_path / "hidden_inpaint.png")
    assert np.array_equal(result, array_of(tmp_path / "black_inpaint.png"))
    if strength == 0:
        assert (result == 100).all()


# -- folders


def test_one_mask_serves_a_whole_folder(inpaint: Run, tmp_path: Path, photo_folder: Path) -> None:
    """tasks 20, IOPaint#392, #433: one watermark mask for a folder; it may lie among the photos."""
    mask = save_mask(photo_folder / "watermark.png")
    answer = inpaint(photo_folder, "--mask", mask, "-o", tmp_path / "out")
    assert answer.code == 0
    assert names(tmp_path / "out") == [".dfrestore.jsonl", "a.png", "b.jpg", "sub/a.png", "sub/deep/c.tif"]
    for name in ("a.png", "sub/a.png", "sub/deep/c.tif"):
        assert is_filled(photo_folder / name, tmp_path / "out" / name, hole())


def test_photos_that_the_one_mask_does_not_fit_are_named(
    inpaint: Run, tmp_path: Path, photo_folder: Path, make_photo: MakePhoto
) -> None:
    """tasks 20: which ones, and the rest is done."""
    other = make_photo(photo_folder / "other.png", size=(30, 30))
    mask = save_mask(tmp_path / "m.png")
    answer = inpaint(photo_folder, "--mask", mask, "-o", tmp_path / "out")
    assert (answer.code, len(answer.paths)) == (1, 4)
    assert f"dfrestore: {other}: {mask}: the mask's 24x16 pixels do not fit the photo's 30x30; " in answer.err


def test_masks_are_found_by_the_photos_names_and_united(inpaint: Run, tmp_path: Path, photo_folder: Path) -> None:
    """tasks 28, LaMa's names: the same name, _mask, and several _maskNNN."""
    masks = tmp_path / "masks"
    first, second = hole(), np.zeros((16, 24), bool)
    second[:3, :3] = True
    save_mask(masks / "a.png")
    save_mask(masks / "b_mask.png")
    save_mask(masks / "sub" / "a_mask001.png", first)
    save_mask(masks / "sub" / "a_mask002.png", second)
    save_mask(masks / "sub" / "deep" / "c-mask.png")
    answer = inpaint(photo_folder, "--mask", masks, "-o", tmp_path / "out")
    assert answer.code == 0
    assert is_filled(photo_folder / "a.png", tmp_path / "out" / "a.png", first)
    assert is_filled(photo_folder / "sub" / "a.png", tmp_path / "out" / "sub" / "a.png", first | second)


def test_a_photo_without_a_mask_fails_and_the_rest_is_done(inpaint: Run, tmp_path: Path, photo_folder: Path) -> None:
    """tasks 28."""
    masks = tmp_path / "masks"
    for name in ("a.png", "b.png", "sub/a.png"):
        save_mask(masks / name)
    answer = inpaint(photo_folder, "--mask", masks, "-o", tmp_path / "out")
    assert (answer.code, len(answer.paths)) == (1, 3)
    lone = photo_folder / "sub" / "deep" / "c.tif"
    assert f"dfrestore: no mask for {lone} in {masks}: expected sub/deep/c.png, " in answer.err
    assert "3 done, 1 failed" in answer.err


def test_masks_may_lie_beside_the_photos(inpaint: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    folder = tmp_path / "album"
    source = make_photo(folder / "a.png")
    save_mask(folder / "a_mask.png")
    answer = inpaint(folder, "--mask", folder)
    assert (answer.code, answer.paths) == (0, [str(folder / "a_inpaint.png")])
    assert is_filled(source, folder / "a_inpaint.png", hole())


@pytest.mark.parametrize("extra", [[], ["--overwrite"]])
def test_results_never_replace_masks(
    inpaint: Run, source: Path, tmp_path: Path, photo_folder: Path, extra: list[str]
) -> None:
    masks = tmp_path / "masks"
    mask = save_mask(masks / "a.png")
    before = mask.read_bytes()
    for run in (
        [source, "--mask", mask, "-o", mask],
        [source, "--mask", mask, "-o", tmp_path / "b.png", "--save-mask", mask],
        [photo_folder, "--mask", masks, "-o", masks],
        [photo_folder, "--mask", masks, "-o", tmp_path / "out", "--save-mask", masks],
        [photo_folder, "--mask", masks, "-o", tmp_path / "out", "--compare", masks],
    ):
        answer = inpaint(*run, *extra)
        assert (answer.code, answer.out) == (2, "")
        assert "mask" in answer.err
    assert mask.read_bytes() == before
    assert not (tmp_path / "out").exists()


def test_a_folder_is_finished_after_an_interruption_and_redone_where_a_mask_changed(
    inpaint: Run, tmp_path: Path, photo_folder: Path
) -> None:
    masks = tmp_path / "masks"
    for name in ("a.png", "b.png", "sub/a.png", "sub/deep/c.png"):
        save_mask(masks / name)
    run = [photo_folder, "--mask", masks, "-o", tmp_path / "out"]
    assert inpaint(*run).code == 0
    assert "4 skipped (done before)" in inpaint(*run).err
    mask = np.zeros((16, 24), bool)
    mask[12:15, 2:9] = True
    save_mask(masks / "sub" / "a.png", mask)
    os.utime(masks / "sub" / "a.png", ns=(1, 1))
    again = inpaint(*run)
    assert again.paths == [str(tmp_path / "out" / "sub" / "a.png")]
    assert "1 done, 3 skipped (done before)" in again.err
    assert is_filled(photo_folder / "sub" / "a.png", tmp_path / "out" / "sub" / "a.png", mask)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([], ["--invert"]),
        ([], ["--dilate", 1]),
        (["--dilate", 1], ["--dilate", 2]),
        (["--feather", 1], ["--feather", 2]),
        (["--mask", "rect:0,0,2,2"], ["--mask", "rect:0,0,2,3"]),
    ],
)
def test_another_treatment_of_the_masks_counts_as_other_settings(
    inpaint: Run, tmp_path: Path, photo_folder: Path, one: list[object], other: list[object]
) -> None:
    run = [photo_folder, "--mask", save_mask(tmp_path / "m.png"), "-o", tmp_path / "out"]
    assert inpaint(*run, *one).code == 0
    answer = inpaint(*run, *other)
    assert answer.code == 0
    assert "4 outputs left as found (made with other settings)" in answer.err
    assert "4 skipped (done before)" in inpaint(*run, *one).err


# -- what is made beside, and what is told


def test_a_comparison_outlines_the_hole_in_the_photo(inpaint: Run, tmp_path: Path) -> None:
    Image.new("RGB", (48, 32), (128, 128, 128)).save(tmp_path / "a.png")
    assert inpaint(tmp_path / "a.png", "--mask", "rect:10,8,20,10", "--compare", tmp_path / "c.png").code == 0
    magenta = (array_of(tmp_path / "c.png")[..., :3] == (255, 0, 255)).all(axis=2)
    rows, columns = np.nonzero(magenta)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (12, 22)  # a line of one pixel around it
    assert magenta.sum() == 2 * (20 + 10)


def test_the_report_page_shows_every_photo_before_and_after(inpaint: Run, tmp_path: Path, photo_folder: Path) -> None:
    page = tmp_path / "page.html"
    answer = inpaint(photo_folder, "--mask", "rect:2,2,5,5", "-o", tmp_path / "out", "--report", page)
    assert answer.code == 0
    assert report_pages.names(page) == ["a.png", "b.jpg", "sub/a.png", "sub/deep/c.tif"]
    assert report_pages.read(page).count('class="layer before"') == 4
    assert report_pages.read(page).count('class="layer after"') == 4


def test_json_says_what_is_filled(inpaint: Run, tmp_path: Path, photo_folder: Path, filling: Path) -> None:
    """tasks 22."""
    seen = tmp_path / "seen"
    (photo_folder / "b.jpg").unlink()
    (photo_folder / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    run = [photo_folder, "--mask", "rect:0,0,6,4", "-o", tmp_path / "out", "--save-mask", seen, "--json"]
    *planned, last = objects(inpaint(*run, "--dry-run"))
    assert sorted(item["status"] for item in planned) == ["failed", "planned", "planned", "planned"]
    assert planned[0]["filled"] == "the rectangle 6x4 at 0,0 is filled, 6.2 % of the picture"
    assert last["totals"]["planned"] == 3
    *files, last = objects(inpaint(*run))
    done = next(item for item in files if item["status"] == "done")
    assert done["filled"] == "the rectangle 6x4 at 0,0 is filled, 6.2 % of the picture"
    assert (done["model"], done["size"], done["save_mask"]) == (str(filling), [24, 16], str(seen / "a.png"))
    (failed,) = [item for item in files if item["status"] == "failed"]
    assert failed["input"] == str(photo_folder / "x.png")
    assert (last["totals"]["done"], last["totals"]["failed"]) == (3, 1)


# -- streams


def test_a_picture_from_standard_input_is_filled(
    inpaint: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask, out = save_mask(tmp_path / "m.png"), io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(source.read_bytes())))
    monkeypatch.setattr(sys, "stdout", out)
    assert inpaint("-", "-o", "-", "--mask", mask).code == 0
    (tmp_path / "out.png").write_bytes(out.buffer.getvalue())
    assert is_filled(source, tmp_path / "out.png", hole())


def test_a_folder_of_masks_is_of_no_use_to_standard_input(
    inpaint: Run, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(source.read_bytes())))
    save_mask(tmp_path / "masks" / "a.png")
    answer = inpaint("-", "-o", tmp_path / "b.png", "--mask", tmp_path / "masks")
    assert answer.code == 2
    assert "a picture from standard input has no name to find its mask by; name a file" in answer.err


# -- wrong usage, found before anything else


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "inpaint needs a mask: --mask FILE, FOLDER, alpha, color:#rrggbb or rect:x,y,w,h"),
        (["--mask", "missing.png"], "--mask missing.png: no such file or folder"),
        (["--mask", "one.png", "--mask", "two.png"], "--mask names one.png and two.png; give one file or folder"),
        (["--mask", ""], "--mask is empty"),
        (["--mask", "color:pink"], "--mask color:pink: write a colour as color:#ff00ff"),
        (["--mask", "color:#ff00ff~300"], "a number of levels from 0 to 255"),
        (["--mask", "rect:1,2,3"], "write a rectangle as rect:x,y,w,h in whole pixels"),
        (["--mask", "rect:0,0,0,5"], "width and height must be at least 1"),
        (["--mask", "colour:#fff"], "'colour:' is not known: did you mean 'color'?"),
        (["--mask", "rect:0,0,1,1", "--keep-alpha"], "--keep-alpha goes with --mask alpha"),
        (["--mask", "alpha", "--dilate", "-1"], "--dilate -1: a whole number from 0 to 1000 is needed"),
        (["--mask", "alpha", "--feather", "soft"], "--feather soft: a whole number from 0 to 1000 is needed"),
        (["--mask", "alpha", "--save-mask", "seen.jpg"], "the name of a file that ends in .png is needed"),
        (["--mask", "alpha", "--scale", "2"], "unknown option '--scale'"),
        (["--mask", "alpha", "--save-mask", "photo.png"], "would replace an input"),
    ],
)
def test_wrong_usage_is_one_line_and_touches_nothing(
    inpaint: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = source.read_bytes()
    answer = inpaint("photo.png", *options)
    assert (answer.code, answer.out) == (2, "")
    (line,) = answer.err.splitlines()
    assert words in line
    assert (names(tmp_path), source.read_bytes()) == (["photo.png"], before)


def test_a_folder_without_masks_is_wrong_usage(inpaint: Run, source: Path, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    answer = inpaint(source, "--mask", tmp_path / "masks")
    assert answer.code == 2
    assert answer.err == f"dfrestore: --mask {tmp_path / 'masks'}: no pictures in this folder\n"


def test_a_model_that_enlarges_cannot_fill(dfrestore: Run, source: Path, tmp_path: Path) -> None:
    model = save_enlarging(tmp_path / "x2.safetensors", 2)
    answer = dfrestore("inpaint", source, "--mask", "rect:0,0,3,3", "--model", model)
    assert (answer.code, answer.out) == (2, "")
    assert "is a model for upscale, not for inpaint: run 'dfrestore upscale' with it" in answer.err


def test_the_help_tells_the_kinds_of_masks(dfrestore: Run) -> None:
    answer = dfrestore("inpaint", "--help")
    assert answer.code == 0
    for words in ("white is what to fill", "alpha, what is transparent", "color:#ff00ff", "rect:x,y,w,h", "--invert"):
        assert words in " ".join(answer.out.split())
    assert "--scale" not in answer.out


# -- the Python API


def test_the_api_takes_a_mask(source: Path, filling: Path) -> None:
    restorer = Restorer.from_pretrained("inpaint", filling, device="cpu", precision="fp32")
    picture = array_of(source)
    for mask in (hole(), hole().astype(np.float32), hole().astype(np.float64)):
        result = restorer(picture, mask=mask)
        assert np.array_equal(result[~hole()], picture[~hole()])
        assert (result[hole()] != picture[hole()]).any(axis=1).mean() > 0.9
    assert np.array_equal(np.asarray(restorer(source, mask=hole())), result)
    assert np.array_equal(np.asarray(restorer(Image.open(source), mask=hole())), result)


def test_the_api_refuses_to_fill_without_a_mask(source: Path, filling: Path) -> None:
    restorer = Restorer.from_pretrained("inpaint", filling, device="cpu", precision="fp32")
    with pytest.raises(ValueError, match="needs a mask: mask="):
        restorer(array_of(source))
    with pytest.raises(TypeError, match="a mask is an array"):
        restorer(array_of(source), mask="mask.png")
    assert list(restorer.steps(array_of(source), mask=hole()))[-1].result is not None
    for mask in (hole()[:-1], hole() * 255.0):
        with pytest.raises(ValueError, match="mask"):
            restorer(array_of(source), mask=mask)
    with pytest.raises(ValueError, match="nothing to fill from: the mask is nowhere 0"):
        restorer(array_of(source), mask=np.where(hole(), 1.0, 0.1))
