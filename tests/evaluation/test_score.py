"""Scores of pairs of real files, their means, and how they are told."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfrestore.errors import FileFailure
from dfrestore.evaluation import (
    Convention,
    Distance,
    FileScore,
    Scores,
    csv_text,
    evaluate_pairs,
    header,
    json_line,
    json_totals,
    row,
    summarise,
    totals,
)
from dfrestore.metrics import psnr_rgb, psnr_y, ssim_rgb, ssim_y
from dfrestore.photo.pairs import match_folders

Y, RGB = Convention("y"), Convention("rgb")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders of two pictures of different sizes; the first of each pair is noisy."""
    rng = np.random.default_rng(0)
    for name, size, sigma in (("a", (40, 60), 10), ("b", (33, 21), 30)):
        clean = rng.integers(40, 200, (*size, 3))
        noisy = np.clip(clean + rng.normal(0, sigma, clean.shape), 0, 255)
        for folder, pixels in (("noisy", noisy), ("clean", clean)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / folder / f"{name}.png")
    return tmp_path / "noisy", tmp_path / "clean"


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_two_folders_are_measured_as_the_convention_says(folders: tuple[Path, Path]) -> None:
    noisy, clean = folders
    pairs = match_folders(noisy, clean).pairs
    a, b = pixels(noisy / "a.png"), pixels(clean / "a.png")
    for convention, expected in (
        (Y, Scores(psnr_y(a, b), ssim_y(a, b))),
        (RGB, Scores(psnr_rgb(a, b), ssim_rgb(a, b))),
        (Convention("y", rounded=True), Scores(psnr_y(a, b, rounded=True), ssim_y(a, b, rounded=True))),
        (Convention("rgb", border=3), Scores(psnr_rgb(a, b, border=3), ssim_rgb(a, b, border=3))),
    ):
        assert next(evaluate_pairs(pairs, convention)).result == expected


def test_a_restoration_is_rounded_to_8_bit_before_it_is_measured(folders: tuple[Path, Path]) -> None:
    pairs = match_folders(*folders).pairs
    nearly = list(evaluate_pairs(pairs, Y, lambda photo: photo.rgb + 0.3 / 255))
    assert [s.result for s in nearly] == [s.input for s in nearly]


def test_the_inputs_own_score_and_the_gain_stand_beside_the_restored_ones(folders: tuple[Path, Path]) -> None:
    pairs = match_folders(*folders).pairs
    plain = [s.result for s in evaluate_pairs(pairs, RGB)]
    halves = iter([pixels(pair.target) / 255 for pair in pairs])
    scores = list(evaluate_pairs(pairs, RGB, lambda photo: (photo.rgb + next(halves)) / 2))
    assert [s.input for s in scores] == plain
    summary = summarise(scores)
    assert summary.gain == pytest.approx(6, abs=0.3)  # half the error
    assert all(s.seconds is not None and s.seconds >= 0 for s in scores)


def test_a_pair_that_fails_is_reported_and_the_next_goes_on(folders: tuple[Path, Path]) -> None:
    noisy, clean = folders
    Image.new("RGB", (20, 20)).save(clean / "a.png")
    first, second = evaluate_pairs(match_folders(noisy, clean).pairs, Y)
    assert first.result is None
    assert first.error == "60x40 pixels against 20x20 of the target; sizes must agree"
    assert second.error is None


def test_a_damaged_file_and_a_picture_below_the_window_fail_in_one_line(folders: tuple[Path, Path]) -> None:
    noisy, clean = folders
    (noisy / "a.png").write_bytes(b"not a picture")
    for folder in folders:
        Image.new("RGB", (10, 10)).save(folder / "b.png")
    first, second = evaluate_pairs(match_folders(noisy, clean).pairs, Y)
    assert "a.png" in str(first.error)
    assert "at least 11x11" in str(second.error)


def test_a_restoration_that_fails_on_one_picture_does_not_stop_the_rest(folders: tuple[Path, Path]) -> None:
    def restore(photo):
        if photo.rgb.shape[0] == 40:
            raise FileFailure("a: too hard")
        return photo.rgb

    summary = summarise(evaluate_pairs(match_folders(*folders).pairs, Y, restore))
    assert (summary.count, summary.failed) == (1, 1)


def test_means_are_over_pictures_not_pixels_and_leave_failures_out() -> None:
    scores = [FileScore("a", Scores(20, 0.5)), FileScore("b", Scores(30, 0.7)), FileScore("c", error="broken")]
    summary = summarise(scores)
    assert summary.result == Scores(25.0, pytest.approx(0.6))
    assert (summary.count, summary.failed, summary.gain) == (2, 1, None)


def test_nothing_measured_has_no_mean() -> None:
    assert summarise([FileScore("a", error="broken")]).result is None


def test_the_convention_is_told_in_words() -> None:
    assert "Y (BT.601" in Y.describe()
    assert "not rounded" in Y.describe()
    assert "rounded to whole numbers" in Convention("y", rounded=True).describe()
    assert "RGB" in RGB.describe()
    assert "4 pixels cropped" in Convention(border=4).describe()


def test_the_table_is_aligned_and_ends_with_mean_and_convention() -> None:
    score = FileScore("a", Scores(31.256, 0.91239), Scores(25.0, 0.7), 0.5)
    lines = [header(20, True), row(score, 20, True), *totals(summarise([score]), Y, 20, True).splitlines()]
    assert len({len(line) for line in lines[:3]}) == 1
    assert lines[1].split() == ["a", "25.00", "31.26", "+6.26", "0.7000", "0.9124", "0.50"]
    assert lines[2].startswith("mean of 1")
    assert Y.describe() in lines[3]


def test_the_short_table_has_no_columns_of_a_restoration() -> None:
    assert header(10, False).split() == ["picture", "PSNR", "SSIM"]
    assert row(FileScore("a", Scores(math.inf, 1.0)), 10, False).split() == ["a", "inf", "1.0000"]
    assert row(FileScore("a", error="broken"), 10, False).split() == ["a", "failed:", "broken"]


def test_json_is_valid_where_psnr_is_infinite() -> None:
    record = json.loads(json_line(FileScore("a", Scores(math.inf, 1.0))))
    assert record == {"name": "a", "psnr": None, "ssim": 1.0, "identical": True}


def test_json_totals_carry_means_counts_convention_and_the_run() -> None:
    summary = summarise([FileScore("a", Scores(30.0, 0.9), Scores(25.0, 0.8), 2.0), FileScore("b", error="broken")])
    record = json.loads(json_totals(summary, RGB, {"task": "denoise", "steps": 4}))
    assert record["psnr"] == 30.0
    assert record["gain"] == 5.0
    assert (record["pictures"], record["failed"], record["channel"]) == (1, 1, "rgb")
    assert (record["task"], record["steps"]) == ("denoise", 4)
    assert record["convention"] == RGB.describe()


def test_csv_has_a_line_a_picture_then_the_mean_each_with_its_convention() -> None:
    scores = [FileScore("a, b", Scores(30.0, 0.9)), FileScore("c", error="broken")]
    rows = list(csv.DictReader(io.StringIO(csv_text(scores, summarise(scores), Y))))
    assert [r["name"] for r in rows] == ["a, b", "c", "mean"]
    assert [r["psnr"] for r in rows] == ["30.0", "", "30.0"]
    assert rows[1]["error"] == "broken"
    assert {r["convention"] for r in rows} == {Y.describe()}


def far(a: np.ndarray, b: np.ndarray) -> float:
    """A distance for tests: how far the means are apart."""
    return abs(float(a.mean()) - float(b.mean()))


FAR = Convention("y", distances=(Distance("LPIPS alex", "AlexNet", far), Distance("DISTS", "VGG-16", far)))


def test_distances_are_measured_on_rgb_beside_psnr_and_ssim(folders: tuple[Path, Path]) -> None:
    score = next(evaluate_pairs(match_folders(*folders).pairs, FAR))
    expected = far(*(pixels(folder / "a.png") for folder in folders))
    assert score.result is not None
    assert score.result.others == {"LPIPS alex": expected, "DISTS": expected}
    assert score.result.psnr == next(evaluate_pairs(match_folders(*folders).pairs, Y)).result.psnr


def test_distances_leave_out_the_border_too(folders: tuple[Path, Path]) -> None:
    a, b = (pixels(folder / "a.png") for folder in folders)
    cropped = replace(FAR, border=4).measure(a, b)
    assert cropped.others["DISTS"] == far(a[4:-4, 4:-4], b[4:-4, 4:-4])


def test_distances_have_columns_means_keys_and_a_clause_in_the_convention() -> None:
    before, after = Scores(25.0, 0.7, {"LPIPS alex": 0.5}), Scores(30.0, 0.9, {"LPIPS alex": 0.25})
    scores = [FileScore("a", after, before, 0.5), FileScore("b", error="broken")]
    convention, summary = Convention(distances=(Distance("LPIPS alex", "AlexNet", far),)), summarise(scores)
    lines = [header(26, True, convention.titles), row(scores[0], 26, True)]
    lines += totals(summary, convention, 26, True).splitlines()
    assert "input LPIPS alex  LPIPS alex  seconds" in lines[0]
    assert lines[1].split()[-3:] == lines[2].split()[-3:] == ["0.5000", "0.2500", "0.50"]
    assert len({len(line) for line in lines[:3]}) == 1
    assert "; LPIPS alex: AlexNet" in lines[3]
    record = json.loads(json_totals(summary, convention, {}))
    assert (record["lpips_alex"], record["input_lpips_alex"]) == (0.25, 0.5)
    *_, mean = csv.DictReader(io.StringIO(csv_text(scores, summary, convention)))
    assert (mean["lpips_alex"], mean["input_lpips_alex"]) == ("0.25", "0.5")


def test_a_picture_that_a_distance_refuses_is_a_failure_of_its_own(folders: tuple[Path, Path]) -> None:
    def refuse(a: np.ndarray, b: np.ndarray) -> float:
        if a.shape[0] == 40:
            raise ValueError("too small for this")
        return 0.0

    first, second = evaluate_pairs(match_folders(*folders).pairs, Convention(distances=(Distance("D", "d", refuse),)))
    assert (first.error, second.error) == ("too small for this", None)
