"""From severities to tasks, their order and strength, and whether a result is kept."""

from __future__ import annotations

import json

import pytest

from dfrestore.restore import remedies as module
from dfrestore.restore.remedies import (
    FALL,
    HIDDEN,
    HIDING,
    ORDER,
    RISE,
    RISE_SHARE,
    Remedy,
    Repair,
    Tried,
    objection,
    remedies,
    repair_as_json,
    result_in_words,
    unasked,
)
from dfrestore.restore.rules import RULES
from dfrestore.severities import DAMAGES, NOTICED
from dfrestore.tasks import TASKS

NONE = dict.fromkeys(DAMAGES, 0.0)
ALL = tuple(ORDER)


def planned(**severities: float) -> list[str]:
    return [remedy.task for remedy in remedies(NONE | severities, ALL)[0]]


def test_every_damage_has_a_task_in_the_order_and_a_rule() -> None:
    assert sorted(damage.task for damage in DAMAGES.values()) == sorted(ORDER)
    assert RULES.keys() == DAMAGES.keys()


def test_the_weather_comes_first_then_the_file_the_lens_and_the_size() -> None:
    everything = planned(**dict.fromkeys(DAMAGES, 0.9))
    assert everything == ["derain", "desnow", "denoise", "raindrop", "dejpeg", "dehaze", "deblur", "defocus", "upscale"]
    assert planned(haze=0.9, noise=0.5, motion=0.7) == ["denoise", "dehaze", "deblur"]


def test_what_is_milder_than_the_least_is_left() -> None:
    assert planned(rain=RULES["rain"].least - 0.01) == []
    assert planned(rain=RULES["rain"].least) == ["derain"]


def test_a_damage_whose_task_is_not_allowed_is_unmet_the_most_severe_first() -> None:
    found, unmet = remedies(NONE | {"rain": 0.5, "noise": 0.6, "haze": 0.9}, ["derain"])
    assert [remedy.task for remedy in found] == ["derain"]
    assert unmet == ("haze", "noise")


def test_a_result_is_kept_where_its_damage_falls_and_no_other_rises() -> None:
    before = NONE | {"rain": 0.2, "noise": 0.1}
    assert objection("rain", before, NONE | {"rain": 0.1, "noise": 0.1}) is None
    little = 0.2 * (1 - FALL) + 0.01
    assert objection("rain", before, NONE | {"rain": little}) == f"rain hardly fell (0.20 -> {little:.2f})"
    risen = 0.1 + RISE + 0.01
    assert objection("rain", before, NONE | {"noise": risen}) == f"noise rose (0.10 -> {risen:.2f})"
    assert objection("rain", before, NONE | {"noise": 0.1 + RISE - 0.01}) is None


def test_what_strong_damage_hid_may_be_seen_once_it_is_gone() -> None:
    before, fallen = NONE | {"rain": 0.9}, 0.8
    assert objection("rain", before, NONE | {"rain": 0.1, "haze": RISE_SHARE * fallen - 0.01}) is None
    told = objection("rain", before, NONE | {"rain": 0.1, "haze": RISE_SHARE * fallen + 0.01})
    assert told == "haze rose (0.00 -> 0.41)"


def test_a_rise_that_nobody_would_notice_is_no_objection() -> None:
    assert objection("rain", NONE | {"rain": 0.8}, NONE | {"haze": NOTICED - 0.01}) is None


def test_what_was_found_is_told_in_words() -> None:
    severities = NONE | {"noise": RULES["noise"].least, "rain": 0.8, "lowres": 0.7}
    found, unmet = remedies(severities, ["derain", "denoise"])
    repair = Repair(tuple(severities.items()), found, unmet=unmet)
    least = f"{RULES['noise'].least:.2f}"
    assert repair.words == f"found: rain 0.80, noise {least}, low resolution 0.70 -> derain, denoise (0.5)"
    assert Repair(tuple(NONE.items())).words == "found: nothing to repair"
    only = Repair(tuple(severities.items()), (), unmet=("rain",))
    assert only.words == "found: rain 0.80 -> nothing that is allowed here helps"


def test_a_repair_changed_something_where_a_step_was_kept() -> None:
    remedy = Remedy("derain", "rain", 0.8, 1.0)
    before, after = tuple((NONE | {"rain": 0.8}).items()), tuple((NONE | {"rain": 0.2}).items())
    kept = Repair(before, (remedy,), (Tried("derain", "rain", 1.0, "kept"),), after)
    back = Repair(before, (remedy,), (Tried("derain", "rain", 1.0, "taken back", "rain hardly fell"),), before)
    assert (kept.changed, back.changed, Repair(before).changed) == (True, False, False)
    assert result_in_words(kept) == ("found: rain 0.80 -> derain", "afterwards: rain 0.20")
    item = json.loads(json.dumps(repair_as_json(kept)))
    assert item["severities"]["rain"] == 0.8
    assert item["severities_after"]["rain"] == 0.2
    assert item["planned"] == [{"task": "derain", "damage": "rain", "severity": 0.8, "strength": 1.0}]
    assert item["tried"] == [{"task": "derain", "damage": "rain", "strength": 1.0, "result": "kept", "why": ""}]


def test_no_task_that_changes_sizes_is_done_unasked_nor_one_without_a_model() -> None:
    assert unasked(ORDER) == tuple(task for task in ORDER if not TASKS[task].scale)
    assert unasked(["derain", "upscale", "inpaint"]) == ("derain",)


def test_other_rules_are_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    before = json.dumps(module.rules())
    monkeypatch.setattr(module, "RISE", RISE + 0.01)
    assert json.dumps(module.rules()) != before


def test_damage_that_was_hidden_is_no_objection_where_it_can_be_treated() -> None:
    before, after = NONE | {"noise": 0.8}, NONE | {"noise": 0.1, "rain": 0.7}
    assert objection("noise", before, after) == "rain rose (0.00 -> 0.70)"
    assert objection("noise", before, after, ["rain"]) is None
    assert objection("noise", before, after, ["snow"]) is not None


def test_softness_is_seen_better_once_what_lay_over_it_is_gone() -> None:
    soft = NONE | {"noise": 0.1, "motion": 0.5, "lowres": 0.5}
    assert objection("noise", NONE | {"noise": 0.8}, soft) is None


def test_blur_hides_nothing() -> None:
    assert {"motion", "defocus", "lowres"}.isdisjoint({*HIDING, *HIDDEN})
    sharpened = NONE | {"motion": 0.1, "noise": 0.7}
    assert objection("motion", NONE | {"motion": 0.8}, sharpened, list(DAMAGES)) is not None
