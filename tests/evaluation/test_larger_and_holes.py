"""Scores where the result is larger than its input, and where only a hole is filled: from functions, on real files."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dfrestore.evaluation import (
    Convention,
    FileScore,
    Scores,
    csv_text,
    evaluate_pairs,
    header,
    json_line,
    json_totals,
    measure_pairs,
    open_hollowed,
    row,
    summarise,
    totals,
)
from dfrestore.evaluation.cases import cut_to
from dfrestore.evaluation.html import About, Entry, frame, photo
from dfrestore.metrics import psnr_hole, psnr_rgb, psnr_y, ssim_y
from dfrestore.photo import Photo
from dfrestore.photo.pairs import Pair

Picture = np.ndarray
X3 = Convention("y", border=3, scale=3)
HOLES = Convention("rgb", hole=True)


def save(path: Path, picture: Picture) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def smooth(height: int, width: int, seed: int = 0) -> Picture:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width] / 9
    waves = 120 + 60 * np.sin(rows + rng.uniform(0, 3)) * np.cos(columns)
    return np.clip(waves[..., None] + rng.normal(0, 4, (height, width, 3)), 0, 255).astype(np.uint8)


def enlarge(rgb: Picture, scale: int) -> Picture:
    return rgb.repeat(scale, axis=0).repeat(scale, axis=1)


@pytest.fixture
def small_pair(tmp_path: Path) -> Pair:
    """An input of 20 x 14 pixels and a target of 62 x 43, three times as large and a bit more."""
    target = smooth(43, 62)
    small = np.asarray(Image.fromarray(target[:42, :60]).resize((20, 14), Image.Resampling.BICUBIC))
    return Pair("a", save(tmp_path / "lr" / "a.png", small), save(tmp_path / "hr" / "a.png", target))


# -- larger results


def test_the_result_is_compared_with_the_target_cut_right_and_bottom(small_pair: Pair) -> None:
    (score,) = evaluate_pairs([small_pair], X3, lambda photo: enlarge(photo.rgb, 3))
    small, target = (np.asarray(Image.open(path)) for path in (small_pair.input, small_pair.target))
    assert score.result == Scores(
        psnr_y(enlarge(small, 3), target[:42, :60], border=3), ssim_y(enlarge(small, 3), target[:42, :60], border=3)
    )


def test_the_inputs_own_score_is_that_of_its_bicubic_enlargement(small_pair: Pair) -> None:
    (score,) = evaluate_pairs([small_pair], X3, lambda photo: enlarge(photo.rgb, 3))
    small, target = (Image.open(path) for path in (small_pair.input, small_pair.target))
    planes = [plane.convert("F").resize((60, 42), Image.Resampling.BICUBIC) for plane in small.split()]
    bicubic = np.clip(np.rint(np.dstack(planes)), 0, 255)
    assert score.input is not None
    assert score.input.psnr == pytest.approx(psnr_y(bicubic, np.asarray(target)[:42, :60], border=3), abs=1e-3)


def test_the_input_is_shown_with_its_pixels_enlarged_to_the_targets_size(small_pair: Pair) -> None:
    (measured,) = measure_pairs([small_pair], X3, lambda photo: enlarge(photo.rgb, 3))
    assert measured.before is not None
    assert measured.after is not None
    assert measured.target is not None
    assert measured.before.tolist() == enlarge(np.asarray(Image.open(small_pair.input)), 3).tolist()
    assert measured.before.shape == measured.after.shape == measured.target.shape


@pytest.mark.parametrize("size", [(60, 41), (63, 42), (57, 42), (20, 14)])
def test_a_target_of_any_other_size_is_a_failure_of_its_pair_that_names_both(
    small_pair: Pair, size: tuple[int, int]
) -> None:
    save(small_pair.target, smooth(size[1], size[0]))
    (score,) = evaluate_pairs([small_pair], X3, lambda photo: enlarge(photo.rgb, 3))
    assert score.result is None
    assert f"20x14 pixels against {size[0]}x{size[1]} of the target" in str(score.error)
    assert "60x42" in str(score.error)


def test_finished_results_must_have_the_targets_size_whatever_the_scale(small_pair: Pair) -> None:
    (score,) = evaluate_pairs([small_pair], X3)
    assert score.error == "20x14 pixels against 62x43 of the target; sizes must agree"


@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 8), st.data())
def test_the_target_loses_less_than_a_pixel_of_the_input(
    height: int, width: int, scale: int, data: st.DataObject
) -> None:
    more = [data.draw(st.integers(0, scale - 1)) for _ in range(2)]
    target = np.zeros((height * scale + more[0], width * scale + more[1], 3), np.uint8)
    photo = Photo(np.zeros((height, width, 3), np.float32))
    assert cut_to(target, photo, scale).shape == (height * scale, width * scale, 3)


def test_the_convention_says_what_the_inputs_score_is_of() -> None:
    assert "input: enlarged by 3, bicubic (a = -0.5, as MATLAB), rounded to 8 bit" in X3.describe()
    assert "3 pixels cropped" in X3.describe()
    assert "enlarged" not in Convention("y").describe()
    assert json.loads(json_totals(summarise([]), X3, {}))["scale"] == 3
    assert "scale" not in json.loads(json_totals(summarise([]), Convention("y"), {}))


# -- holes


@pytest.fixture
def hole_pair(tmp_path: Path) -> Pair:
    """A picture of 40 x 30 pixels with a grey hole of 8 x 6."""
    target, mask = smooth(30, 40), np.zeros((30, 40), np.uint8)
    mask[10:16, 12:20] = 255
    degraded = np.where(mask[..., None] > 0, np.uint8(127), target)
    paths = (save(tmp_path / side / "a.png", pixels) for side, pixels in (("input", degraded), ("target", target)))
    return Pair("a", *paths, (save(tmp_path / "mask" / "a.png", mask),))


def test_the_hole_has_a_score_of_its_own_before_and_after(hole_pair: Pair) -> None:
    def restore(photo: Photo, mask: Picture) -> Picture:
        assert set(np.unique(mask)) == {0, 1}
        return np.where(mask[..., None] > 0, np.float32(0.4), photo.rgb)

    (score,) = evaluate_pairs([hole_pair], HOLES, restore)
    degraded, target, mask = (
        np.asarray(Image.open(path)) for path in (hole_pair.input, hole_pair.target, *hole_pair.masks)
    )
    filled = np.where(mask[..., None] > 0, np.uint8(102), target)
    assert score.input is not None
    assert score.result is not None
    assert score.input.hole == psnr_hole(degraded, target, mask)
    assert score.result.hole == psnr_hole(filled, target, mask)
    assert score.result.psnr == psnr_rgb(filled, target)


def test_several_masks_of_a_pair_are_one_hole(hole_pair: Pair, tmp_path: Path) -> None:
    more = np.zeros((30, 40), np.uint8)
    more[0:5, 0:5] = 255
    seen = []

    def restore(photo: Photo, mask: Picture) -> Picture:
        seen.append(mask)
        return photo.rgb

    pair = Pair(hole_pair.name, hole_pair.input, hole_pair.target, (*hole_pair.masks, save(tmp_path / "b.png", more)))
    next(evaluate_pairs([pair], HOLES, restore))
    assert seen[0].sum() == 6 * 8 + 25


def test_a_clean_picture_gets_its_hole_in_grey(hole_pair: Pair) -> None:
    clean = Pair(hole_pair.name, hole_pair.target, hole_pair.target, hole_pair.masks)
    scores = [
        next(evaluate_pairs([pair], HOLES, lambda photo, mask: photo.rgb, opener))
        for pair, opener in ((clean, open_hollowed), (hole_pair, open_hollowed))
    ]
    (expected,) = evaluate_pairs([hole_pair], HOLES, lambda photo, mask: photo.rgb)
    assert [score.input for score in scores] == [expected.input] * 2


def test_the_hole_is_shown_in_grey_whatever_stands_in_it(hole_pair: Pair) -> None:
    save(hole_pair.input, np.asarray(Image.open(hole_pair.target)))  # nothing is missing in the file
    (measured,) = measure_pairs([hole_pair], HOLES, lambda photo, mask: photo.rgb)
    assert measured.before is not None
    assert (measured.before[10:16, 12:20] == 127).all()
    assert measured.score.input is not None
    assert measured.score.input.hole == math.inf


def test_finished_results_can_be_measured_inside_the_hole(hole_pair: Pair) -> None:
    (score,) = evaluate_pairs([hole_pair], HOLES)
    assert score.result is not None
    assert score.result.hole is not None
    assert score.result.hole < score.result.psnr


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((30, 40), np.uint8), "the mask is empty"),
        (np.full((30, 40), 255, np.uint8), "covers the whole picture"),
        (np.eye(30, 30, dtype=np.uint8) * 255, "30x30 pixels do not fit the photo's 40x30"),
    ],
)
def test_an_empty_full_or_unfitting_mask_is_a_failure_of_its_pair(hole_pair: Pair, mask: Picture, message: str) -> None:
    save(hole_pair.masks[0], mask)
    (score,) = evaluate_pairs([hole_pair], HOLES)
    assert message in str(score.error)
    assert str(hole_pair.masks[0]) in str(score.error)


def test_a_resized_mask_is_used_and_told(hole_pair: Pair) -> None:
    save(hole_pair.masks[0], np.asarray(Image.open(hole_pair.masks[0]).resize((80, 60), Image.Resampling.NEAREST)))
    (score,) = evaluate_pairs([hole_pair], HOLES)
    assert score.notes == ("a.png: mask resized (80x60 to 40x30)",)
    assert json.loads(json_line(score))["warnings"] == list(score.notes)


def test_a_convention_with_holes_refuses_a_pair_without_a_mask(hole_pair: Pair) -> None:
    (score,) = evaluate_pairs([Pair("a", hole_pair.input, hole_pair.target)], HOLES)
    assert "no mask" in str(score.error)


HOLED = FileScore("a", Scores(30.0, 0.9, hole=21.5), Scores(25.0, 0.8, hole=11.25), 2.0)


def test_the_hole_has_columns_means_and_keys() -> None:
    other = FileScore("b", Scores(32.0, 0.9, hole=22.5), Scores(25.0, 0.8, hole=12.25), 2.0)
    summary = summarise([HOLED, other, FileScore("c", error="broken")])
    lines = [header(20, True, (), True), row(HOLED, 20, True), *totals(summary, HOLES, 20, True).splitlines()]
    assert len({len(line) for line in lines[:3]}) == 1
    assert lines[0].split()[-4:] == ["input", "hole", "hole", "seconds"]
    assert lines[1].split()[-3:] == ["11.25", "21.50", "2.00"]
    assert lines[2].split()[-3:] == ["11.75", "22.00", "2.00"]
    assert "hole: PSNR over the pixels of the mask alone, RGB" in lines[3]
    record = json.loads(json_totals(summary, HOLES, {}))
    assert (record["psnr_hole"], record["input_psnr_hole"]) == (22.0, 11.75)
    first, *_ = csv.DictReader(io.StringIO(csv_text([HOLED], summary, HOLES)))
    assert (first["psnr_hole"], first["input_psnr_hole"]) == ("21.5", "11.25")


def test_json_is_valid_where_a_hole_is_filled_exactly() -> None:
    record = json.loads(json_line(FileScore("a", Scores(30.0, 0.9, hole=math.inf))))
    assert record["psnr_hole"] is None


def test_nothing_of_holes_is_told_where_there_are_none() -> None:
    plain = FileScore("a", Scores(30.0, 0.9), Scores(25.0, 0.8), 2.0)
    assert "hole" not in header(10, True) + json_line(plain) + Convention("rgb").describe()
    assert "hole" not in csv_text([plain], summarise([plain]), Convention("rgb"))


def test_the_page_has_the_hole_in_tiles_facts_and_table() -> None:
    about = About("x", means=summarise([HOLED]), scores=[(1, HOLED)])
    page = "".join(frame(about, 1)) + photo(Entry(1, "a", score=HOLED))
    assert "<dt>Mean PSNR in the hole</dt><dd><b>21.50 dB</b><span>from 11.25</span>" in page
    assert "in the hole 11.25 → <b>21.50</b> dB" in page
    assert '<th scope="col">input hole</th><th scope="col">hole</th>' in page
    assert "<td>11.25</td><td>21.50</td>" in page
