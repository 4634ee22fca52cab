"""Looking, repairing, looking again: what is kept of a picture and what is taken back."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chain_models import save_one_of_each
from conftest import pixels
from told_damage import RAIN_FALLS, Script, Told, scripted

from dfrestore.errors import OutOfMemoryFailure, UsageError
from dfrestore.restore import Auto, FileResult, Restorer
from dfrestore.restore.remedies import Remedy, Repair, Tried
from dfrestore.restore.rules import RULES
from dfrestore.restore.shares import _packed, _unpacked

RAIN_AND_NOISE: Told = {"rain": 0.8, "noise": 0.7}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return save_one_of_each(tmp_path_factory.mktemp("models"))


class Shelf:
    """Models by task, and which were taken."""

    def __init__(self, models: dict[str, Path]) -> None:
        self.models, self.taken = models, list[str]()

    def __call__(self, task: str) -> Restorer:
        self.taken.append(task)
        return Restorer.from_pretrained(task, self.models[task], device="cpu", precision="fp32")


@pytest.fixture
def shelf(models: dict[str, Path]) -> Shelf:
    return Shelf(models)


def auto_of(shelf: Shelf, *told: Told, tasks: tuple[str, ...] = ("derain", "denoise")) -> Auto:
    return Auto(scripted(*told), tasks, shelf, device="cpu", precision="fp32", trial=None)


def floats() -> Any:
    return pixels().astype(np.float32) / 255


def kept(repair: Repair) -> list[tuple[str, bool]]:
    return [(one.task, one.kept) for one in repair.tried]


def test_a_picture_that_needs_nothing_keeps_every_value_and_no_model_is_loaded(shelf: Shelf) -> None:
    made, repair = auto_of(shelf, {}).with_repair(pixels())
    assert np.array_equal(made, pixels())
    assert (repair.planned, repair.tried, repair.changed, shelf.taken) == ((), (), False, [])


def test_what_is_found_is_taken_away_as_the_task_alone_does_it(shelf: Shelf) -> None:
    made, repair = auto_of(shelf, *RAIN_FALLS).with_repair(floats())
    assert np.array_equal(made, Shelf(shelf.models)("derain")(floats()))
    assert kept(repair) == [("derain", True)]
    assert dict(repair.after)["rain"] == 0.1
    assert shelf.taken == ["derain"]


def test_a_step_that_does_not_help_is_taken_back(shelf: Shelf) -> None:
    made, repair = auto_of(shelf, {"rain": 0.8}, {"rain": 0.75}).with_repair(floats())
    assert np.array_equal(made, floats())
    assert kept(repair) == [("derain", False)]
    assert repair.tried[0].why == "rain hardly fell (0.80 -> 0.75)"
    assert dict(repair.after) == dict(repair.before)


def test_the_step_after_one_that_was_taken_back_works_on_the_picture_before_it(shelf: Shelf) -> None:
    told = (RAIN_AND_NOISE, {"rain": 0.8, "noise": 0.7}, {"rain": 0.8, "noise": 0.1})  # derain does not help
    made, repair = auto_of(shelf, *told).with_repair(floats())
    assert kept(repair) == [("derain", False), ("denoise", True)]
    assert np.array_equal(made, Shelf(shelf.models)("denoise")(floats()))


def test_two_steps_follow_one_another(shelf: Shelf) -> None:
    told = (RAIN_AND_NOISE, {"rain": 0.1, "noise": 0.7}, {"rain": 0.1, "noise": 0.1})
    made, repair = auto_of(shelf, *told).with_repair(floats())
    assert kept(repair) == [("derain", True), ("denoise", True)]
    by_hand = Shelf(shelf.models)("denoise")(Shelf(shelf.models)("derain")(floats()))
    assert np.array_equal(made, by_hand)


def test_a_damage_that_an_earlier_step_took_away_is_not_treated_again(shelf: Shelf) -> None:
    made, repair = auto_of(shelf, RAIN_AND_NOISE, {"rain": 0.1, "noise": 0.05}).with_repair(floats())
    assert kept(repair) == [("derain", True), ("denoise", False)]
    assert repair.tried[1].why == "noise went with an earlier step"
    assert np.array_equal(made, Shelf(shelf.models)("derain")(floats()))


def test_what_is_found_mildly_is_treated_mildly(shelf: Shelf) -> None:
    severity = RULES["rain"].least
    made, repair = auto_of(shelf, {"rain": severity}, {"rain": 0.0}).with_repair(floats())
    (remedy,) = repair.planned
    assert remedy.strength < 1
    assert np.array_equal(made, Shelf(shelf.models)("derain")(floats(), strength=remedy.strength))


def test_it_looks_once_before_and_once_after_each_step(shelf: Shelf) -> None:
    auto = auto_of(shelf, {})
    script = Script((RAIN_AND_NOISE, {"rain": 0.1, "noise": 0.7}, {}))
    auto.detection.severities = script.severities  # type: ignore[method-assign]
    made, _ = auto.with_repair(floats())
    assert len(script.pictures) == 3
    assert np.array_equal(script.pictures[0], floats())
    assert np.array_equal(script.pictures[2], made)


def test_damage_that_is_only_seen_after_a_step_is_treated_next(shelf: Shelf) -> None:
    told = ({"noise": 0.8}, {"noise": 0.1, "rain": 0.7}, {"noise": 0.1, "rain": 0.1})
    made, repair = auto_of(shelf, *told).with_repair(floats())
    assert kept(repair) == [("denoise", True), ("derain", True)]
    assert [remedy.damage for remedy in repair.planned] == ["noise", "rain"]
    assert repair.words == "found: noise 0.80, rain 0.70 -> denoise, derain"
    by_hand = Shelf(shelf.models)("derain")(Shelf(shelf.models)("denoise")(floats()))
    assert np.array_equal(made, by_hand)


def test_each_task_is_tried_once_however_often_its_damage_comes_back(shelf: Shelf) -> None:
    told = ({"noise": 0.8}, {"noise": 0.1, "rain": 0.7}, {"noise": 0.1, "rain": 0.1}, {"noise": 0.9})
    _, repair = auto_of(shelf, *told).with_repair(floats())
    assert kept(repair) == [("denoise", True), ("derain", True)]


def test_blur_that_is_only_seen_after_a_step_is_left(shelf: Shelf) -> None:
    told = ({"noise": 0.8}, {"noise": 0.1, "motion": 0.7})
    _, repair = auto_of(shelf, *told, tasks=("denoise", "deblur")).with_repair(floats())
    assert kept(repair) == [("denoise", True)]
    assert dict(repair.after)["motion"] == 0.7


def test_a_rise_that_no_allowed_task_takes_away_counts_against_the_step(shelf: Shelf) -> None:
    _, repair = auto_of(shelf, {"noise": 0.8}, {"noise": 0.1, "rain": 0.7}, tasks=("denoise",)).with_repair(floats())
    assert kept(repair) == [("denoise", False)]


def test_progress_rises_over_further_rounds_too(shelf: Shelf) -> None:
    seen: list[tuple[float, float]] = []
    told = ({"noise": 0.8}, {"noise": 0.1, "rain": 0.7}, {})
    auto_of(shelf, *told)(floats(), progress=lambda done, total: seen.append((done, total)))
    shares = [done / total for done, total in seen]
    turn = next(i for i in range(1, len(shares)) if shares[i] < shares[i - 1])
    assert shares[turn - 1] == pytest.approx(1)
    assert shares[turn:] == sorted(shares[turn:])
    assert shares[turn] >= 0.5
    assert shares[-1] == pytest.approx(1)


def asking(shelf: Shelf, *told: Told, says: float, tasks: tuple[str, ...] = ("derain", "denoise")) -> Auto:
    """One whose trials all say the same."""
    return Auto(scripted(*told), tasks, shelf, device="cpu", precision="fp32", trial=lambda *_: says)


def test_where_the_detector_is_not_sure_a_trial_is_joined_with_it(shelf: Shelf) -> None:
    found = asking(shelf, {"rain": 0.4}, says=0.9).look(floats())
    assert found["rain"] == RULES["rain"].joined(0.4, 0.9)
    assert shelf.taken == ["derain"]


def test_a_trial_can_deny_what_the_detector_tells(shelf: Shelf) -> None:
    made, repair = asking(shelf, {"rain": 0.5}, says=0.0).with_repair(floats())
    assert np.array_equal(made, floats())
    assert (repair.planned, dict(repair.before)["rain"]) == ((), 0.0)


def test_what_the_detector_hardly_tells_is_not_tried(shelf: Shelf) -> None:
    told = 0.9 * RULES["rain"].hint
    found = asking(shelf, {"rain": told}, says=1.0).look(floats())
    assert found["rain"] == told
    assert shelf.taken == []


def test_a_task_that_may_not_be_done_is_not_tried_either(shelf: Shelf) -> None:
    found = asking(shelf, {"rain": 0.4, "noise": 0.4}, says=0.9, tasks=("denoise",)).look(floats())
    assert (found["rain"], found["noise"]) == (0.4, RULES["noise"].joined(0.4, 0.9))


@pytest.mark.usefixtures("four_threads")
def test_trials_are_made_side_by_side_where_torch_has_several_threads(shelf: Shelf) -> None:
    both = threading.Barrier(2)

    def meeting(*_: object) -> float:
        both.wait(timeout=20)
        return 0.9

    auto = Auto(
        scripted({"rain": 0.4, "noise": 0.3}),
        ("derain", "denoise"),
        shelf,
        device="cpu",
        precision="fp32",
        trial=meeting,
    )
    found = auto.look(floats())
    assert found["rain"] == RULES["rain"].joined(0.4, 0.9)
    assert found["noise"] == RULES["noise"].joined(0.3, 0.9)


def test_where_a_trial_does_not_fit_the_detector_alone_decides(shelf: Shelf) -> None:
    def no_room(*_: object) -> float:
        raise OutOfMemoryFailure("no room")

    auto = Auto(scripted({"rain": 0.4}), ("derain",), shelf, device="cpu", precision="fp32", trial=no_room)
    assert auto.look(floats())["rain"] == 0.4


def test_after_a_step_it_is_tried_again(shelf: Shelf) -> None:
    said = iter([0.9, 0.1])
    detection = scripted({"rain": 0.4}, {"rain": 0.1})
    auto = Auto(detection, ("derain",), shelf, device="cpu", precision="fp32", trial=lambda *_: next(said))
    _, repair = auto.with_repair(floats())
    assert kept(repair) == [("derain", True)]
    assert dict(repair.after)["rain"] == pytest.approx(0.1)


def test_progress_rises_to_its_end(shelf: Shelf) -> None:
    seen: list[tuple[float, float]] = []
    told = (RAIN_AND_NOISE, {"rain": 0.1, "noise": 0.7}, {})
    auto_of(shelf, *told)(floats(), progress=lambda done, total: seen.append((done, total)))
    shares = [done / total for done, total in seen]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


def test_a_task_that_takes_nothing_away_is_refused(shelf: Shelf) -> None:
    with pytest.raises(UsageError, match="auto does not choose inpaint"):
        auto_of(shelf, {}, tasks=("inpaint",))


def test_what_became_of_a_photo_travels_between_processes() -> None:
    severities = (("rain", 0.8), ("noise", 0.0))
    repair = Repair(
        severities,
        (Remedy("derain", "rain", 0.8, 1.0),),
        (Tried("derain", "rain", 1.0, "taken back", "rain hardly fell"),),
        severities,
        ("lowres",),
    )
    result = FileResult("done", Path("a"), Path("b"), repair=repair)
    assert FileResult(**_unpacked(json.loads(json.dumps(_packed(result))))) == result
