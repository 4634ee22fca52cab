"""Several models on the same pairs: scores, differences and their intervals, from functions, on real files."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfrestore.errors import FileFailure
from dfrestore.evaluation import Convention, FileScore, Scores, compare_pairs, evaluate_pairs, open_pair
from dfrestore.evaluation.cases import Case
from dfrestore.evaluation.comparison import FileComparison, summarise_comparison
from dfrestore.evaluation.comparison_report import csv_text, header, json_line, json_totals, row, totals
from dfrestore.photo import Photo
from dfrestore.photo.pairs import Pair

Y = Convention("y")
ABOUT = [{"model": "one", "steps": 1}, {"model": "two", "steps": 4}]


@pytest.fixture
def pairs(tmp_path: Path) -> list[Pair]:
    """Two noisy pictures of 24 x 16 pixels and their targets."""
    rng = np.random.default_rng(0)
    found = []
    for name in ("a", "b"):
        target = rng.integers(60, 190, (16, 24, 3)).astype(np.uint8)
        paths = [tmp_path / f"{side}_{name}.png" for side in ("input", "target")]
        Image.fromarray(target + rng.integers(0, 40, target.shape).astype(np.uint8)).save(paths[0])
        Image.fromarray(target).save(paths[1])
        found.append(Pair(name, *paths))
    return found


def darker(photo: Photo) -> np.ndarray:
    return photo.rgb * np.float32(0.95)


def same(photo: Photo) -> np.ndarray:
    return photo.rgb


def comparison(name: str, *psnrs: float, ssims: tuple[float, ...] = (), **others: float) -> FileComparison:
    """Scores of as many models as there are numbers; others: of the last model, where the first has 0.5."""
    ssims = ssims or (0.9,) * len(psnrs)
    last = len(psnrs) - 1
    results = [
        Scores(psnr, ssim, {key: value if number == last else 0.5 for key, value in others.items()})
        for number, (psnr, ssim) in enumerate(zip(psnrs, ssims, strict=True))
    ]
    before = Scores(20.0, 0.5, dict.fromkeys(others, 0.7))
    return FileComparison(name, tuple(FileScore(name, result, before, 1.0) for result in results))


def summary_of(*comparisons: FileComparison):
    models = max(len(one.scores) for one in comparisons)
    return summarise_comparison(comparisons, models)


# -- measuring


def test_each_model_gets_the_scores_it_has_alone(pairs: list[Pair]) -> None:
    compared = [one.score for one in compare_pairs(pairs, Y, [same, darker])]
    for number, restore in enumerate((same, darker)):
        for one, alone in zip(compared, evaluate_pairs(pairs, Y, restore), strict=True):
            assert (one.scores[number].result, one.input) == (alone.result, alone.input)


def test_a_pair_is_opened_once_for_all_models(pairs: list[Pair]) -> None:
    opened = []

    def opener(pair: Pair) -> Case:
        opened.append(pair.name)
        return open_pair(pair)

    assert len(list(compare_pairs(pairs, Y, [same, darker, same], opener))) == 2
    assert opened == ["a", "b"]


def test_the_pictures_of_all_models_share_input_and_target(pairs: list[Pair]) -> None:
    first, *_ = compare_pairs(pairs, Y, [same, darker])
    a, b = first.pictures
    assert a.before is b.before
    assert a.target is b.target
    assert a.after is not None
    assert b.after is not None
    assert a.after.mean() > b.after.mean()


def test_a_picture_that_one_model_cannot_do_counts_for_none(pairs: list[Pair]) -> None:
    seen = []

    def failing_first(photo: Photo) -> np.ndarray:
        seen.append(photo)
        if len(seen) == 1:
            raise FileFailure("a.png: does not fit into memory")
        return photo.rgb

    first, second = (one.score for one in compare_pairs(pairs, Y, [same, failing_first]))
    assert first.error == "B: a.png: does not fit into memory"
    assert not first.scores
    summary = summarise_comparison([first, second], 2)
    assert (summary.count, summary.failed) == (1, 1)
    assert [one.result for one in summary.models] == list(second.results)


def test_a_pair_that_cannot_be_opened_is_no_models_failure(pairs: list[Pair]) -> None:
    pairs[0].input.write_bytes(b"broken")
    first, _ = (one.score for one in compare_pairs(pairs, Y, [same, darker]))
    assert str(first.error).startswith(str(pairs[0].input))


# -- differences


def test_a_difference_is_the_mean_of_the_pictures_own() -> None:
    (of_psnr, of_ssim), *_ = summary_of(
        comparison("a", 30, 31, ssims=(0.9, 0.8)), comparison("b", 20, 20.5, ssims=(0.5, 0.5))
    ).differences
    assert (of_psnr.title, of_psnr.mean) == ("PSNR", 0.75)
    assert (of_ssim.title, of_ssim.mean) == ("SSIM", pytest.approx(-0.05))


def test_a_third_model_is_compared_with_the_first_too() -> None:
    second, third = summary_of(comparison("a", 30, 31, 29)).differences
    assert (second[0].mean, third[0].mean) == (1, -1)


@pytest.mark.parametrize(
    ("changes", "better"),
    [((0.5, 0.6, 0.4, 0.7, 0.5), 1), ((-0.5, -0.6, -0.4, -0.7, -0.5), -1), ((1, -1, 1, -1, 0), 0)],
)
def test_where_0_lies_in_the_interval_neither_is_better(changes: tuple[float, ...], better: int) -> None:
    found = summary_of(*(comparison(str(number), 30, 30 + change) for number, change in enumerate(changes)))
    psnr, ssim = found.differences[0]
    assert psnr.better == better
    assert psnr.interval is not None
    assert psnr.mean is not None
    assert psnr.interval[0] <= psnr.mean <= psnr.interval[1]
    assert (ssim.interval, ssim.better) == ((0, 0), 0)  # both alike in every picture


def test_of_a_distance_the_smaller_is_better() -> None:
    found = summary_of(*(comparison(str(number), 30, 30, DISTS=0.3) for number in range(5)))
    assert found.differences[0][-1].title == "DISTS"
    assert found.differences[0][-1].better == 1


@pytest.mark.parametrize("pictures", [1, 4])
def test_fewer_than_five_pictures_have_no_interval(pictures: int) -> None:
    found = summary_of(*(comparison(str(number), 30, 31) for number in range(pictures)))
    assert found.differences[0][0].interval is None
    assert "with fewer than 5 pictures an interval is not meaningful" in totals(found, Y, 30, ["one", "two"])
    assert "intervals:" not in totals(found, Y, 30, ["one", "two"])


def test_a_result_that_equals_its_target_leaves_no_mean_of_psnr_and_valid_json() -> None:
    found = summary_of(*(comparison(str(n), math.inf if n == 0 else 30, 31) for n in range(5)))
    psnr, ssim = found.differences[0]
    assert (psnr.mean, psnr.interval) == (None, None)
    assert ssim.interval is not None
    assert "PSNR  has no mean, for a result equals its target" in totals(found, Y, 30, ["one", "two"])
    record = json.loads(json_totals(found, Y, ABOUT, {}))
    assert record["differences"]["B-A"]["psnr"] == {"mean": None, "low": None, "high": None, "clear": None}
    assert record["models"]["A"]["psnr"] is None


def test_two_results_that_equal_their_target_do_not_differ() -> None:
    found = summary_of(comparison("a", math.inf, math.inf), comparison("b", 30, 32))
    assert found.differences[0][0].mean == 1


# -- text

FIVE = [comparison(str(number), 30, 31 + number / 10, ssims=(0.9, 0.9 + (-1) ** number / 100)) for number in range(5)]
BROKEN = FileComparison("broken", error="B: out of memory")


def test_the_table_has_a_column_a_model_and_one_of_differences_in_line() -> None:
    found = summary_of(*FIVE, BROKEN)
    lines = [header(20, Y, 2), row(FIVE[0], 20, Y, 2), *totals(found, Y, 20, ["one", "two"]).splitlines()]
    assert [title.strip() for title in lines[0].split("  ") if title.strip()] == [
        "picture",
        *("input PSNR", "A PSNR", "B PSNR", "B-A PSNR"),
        *("input SSIM", "A SSIM", "B SSIM", "B-A SSIM"),
        *("A seconds", "B seconds"),
    ]
    assert lines[1].split() == [
        "0",
        "20.00",
        "30.00",
        "31.00",
        "+1.00",
        "0.5000",
        "0.9000",
        "0.9100",
        "+0.0100",
        "1.00",
        "1.00",
    ]
    assert lines[2].startswith("mean of 5, 1 failed")
    assert lines[2].split()[5:] == [
        "20.00",
        "30.00",
        "31.20",
        "+1.20",
        "0.5000",
        "0.9000",
        "0.9020",
        "+0.0020",
        "1.00",
        "1.00",
    ]
    assert len({len(line) for line in lines[:2]}) == 1
    assert row(BROKEN, 20, Y, 2) == "broken                failed: B: out of memory"


def test_after_the_table_it_says_which_model_is_which_and_what_is_clear() -> None:
    lines = totals(summary_of(*FIVE), Y, 20, ["derain/compact, 1 step", "mine, 4 steps"]).splitlines()
    assert lines[1:3] == ["A: derain/compact, 1 step", "B: mine, 4 steps"]
    assert lines[3].startswith("B - A: PSNR  +1.20 dB, 95 % interval +1.")
    assert lines[3].endswith(" dB: B is better")
    assert lines[4].startswith("B - A: SSIM  +0.0020, 95 % interval -0.0")
    assert lines[4].endswith(": no clear difference")
    assert lines[-1].startswith("95 % intervals: percentile bootstrap")
    assert "10,000 resamples, seed 0" in lines[-1]


def test_json_names_models_by_letters_and_says_what_is_clear() -> None:
    one = json.loads(json_line(FIVE[0]))
    assert one["models"]["B"]["psnr"] == 31
    assert one["models"]["B"]["gain"] == 11
    assert one["differences"] == {"B-A": {"psnr": 1, "ssim": pytest.approx(0.01)}}
    assert (one["name"], one["input_psnr"]) == ("0", 20)
    total = json.loads(json_totals(summary_of(*FIVE, BROKEN), Y, ABOUT, {"task": "derain"}))
    assert total["models"]["B"] == {
        **{"model": "two", "steps": 4, "psnr": pytest.approx(31.2), "ssim": pytest.approx(0.902)},
        **{"gain": pytest.approx(11.2), "seconds": 1},
    }
    psnr = total["differences"]["B-A"]["psnr"]
    assert psnr["low"] < psnr["mean"] < psnr["high"]
    assert (psnr["clear"], total["differences"]["B-A"]["ssim"]["clear"]) == (True, False)
    assert total["interval"] == {"level": 0.95, "resamples": 10000, "seed": 0, "least_pictures": 5}
    assert (total["pictures"], total["failed"], total["task"]) == (5, 1, "derain")
    assert json.loads(json_line(BROKEN)) == {"name": "broken", "error": "B: out of memory"}


def test_csv_has_the_means_and_the_ends_of_the_intervals() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text([*FIVE, BROKEN], summary_of(*FIVE, BROKEN), Y))))
    assert [record["name"] for record in rows[-4:]] == ["broken", "mean", "interval low", "interval high"]
    assert rows[-4]["error"] == "B: out of memory"
    mean, low, high = (float(record["b-a_psnr"]) for record in rows[-3:])
    assert low < mean < high
    assert float(rows[0]["b_psnr"]) == 31
    assert float(rows[0]["b-a_ssim"]) == pytest.approx(0.01)


def test_holes_and_distances_have_their_columns_too() -> None:
    convention = Convention("rgb", hole=True)
    scores = [FileScore("a", Scores(30, 0.9, hole=hole), Scores(20, 0.5, hole=10), 1) for hole in (15, 17)]
    one = FileComparison("a", tuple(scores))
    assert "B-A hole" in header(20, convention, 2)
    assert "+2.00" in row(one, 20, convention, 2)
    assert json.loads(json_line(one))["differences"]["B-A"]["psnr_hole"] == 2
