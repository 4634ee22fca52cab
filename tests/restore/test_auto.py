"""Looking, repairing, looking again: what is kept of a picture and what is taken back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chain_models import save_one_of_each
from conftest import pixels
from told_damage import RAIN_FALLS, Script, Told, scripted

from dfrestore.errors import UsageError
from dfrestore.restore import Auto, FileResult, Restorer
from dfrestore.restore.remedies import LEAST, Remedy, Repair, Tried
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
    return Auto(scripted(*told), tasks, shelf, device="cpu", precision="fp32")


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
    told = (RAIN_AND_NOISE, {"rain": 0.8, "noise": 0.7}, {"rain": 0.1, "noise": 0.7})  # denoise does not help
    made, repair = auto_of(shelf, *told).with_repair(floats())
    assert kept(repair) == [("denoise", False), ("derain", True)]
    assert np.array_equal(made, Shelf(shelf.models)("derain")(floats()))


def test_two_steps_follow_one_another(shelf: Shelf) -> None:
    told = (RAIN_AND_NOISE, {"rain": 0.8, "noise": 0.1}, {"rain": 0.1, "noise": 0.1})
    made, repair = auto_of(shelf, *told).with_repair(floats())
    assert kept(repair) == [("denoise", True), ("derain", True)]
    by_hand = Shelf(shelf.models)("derain")(Shelf(shelf.models)("denoise")(floats()))
    assert np.array_equal(made, by_hand)


def test_a_damage_that_an_earlier_step_took_away_is_not_treated_again(shelf: Shelf) -> None:
    made, repair = auto_of(shelf, RAIN_AND_NOISE, {"rain": 0.05, "noise": 0.1}).with_repair(floats())
    assert kept(repair) == [("denoise", True), ("derain", False)]
    assert repair.tried[1].why == "rain went with an earlier step"
    assert np.array_equal(made, Shelf(shelf.models)("denoise")(floats()))


def test_what_is_found_mildly_is_treated_mildly(shelf: Shelf) -> None:
    severity = LEAST["rain"]
    made, repair = auto_of(shelf, {"rain": severity}, {"rain": 0.0}).with_repair(floats())
    (remedy,) = repair.planned
    assert remedy.strength < 1
    assert np.array_equal(made, Shelf(shelf.models)("derain")(floats(), strength=remedy.strength))


def test_it_looks_once_before_and_once_after_each_step(shelf: Shelf) -> None:
    auto = auto_of(shelf, {})
    script = Script((RAIN_AND_NOISE, {"rain": 0.8, "noise": 0.1}, {}))
    auto.detection.severities = script.severities  # type: ignore[method-assign]
    made, _ = auto.with_repair(floats())
    assert len(script.pictures) == 3
    assert np.array_equal(script.pictures[0], floats())
    assert np.array_equal(script.pictures[2], made)


def test_progress_rises_to_its_end(shelf: Shelf) -> None:
    seen: list[tuple[float, float]] = []
    told = (RAIN_AND_NOISE, {"rain": 0.8, "noise": 0.1}, {})
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
