"""When a damage is treated, how strongly, and how a trial counts."""

from __future__ import annotations

import pytest

from dfrestore.restore.rules import FULL, RULES, Rule

RULE = Rule(0.3, share=0.75, hint=0.05)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_rule_is_possible(rule: Rule) -> None:
    assert 0.05 <= rule.least < 1 - FULL
    assert 0 <= rule.share < 1
    assert 0 <= rule.hint < rule.least


def test_the_strength_rises_from_a_half_to_the_whole() -> None:
    told = [RULE.strength(RULE.least + FULL * share) for share in (0, 0.42, 1, 2)]
    assert told == [0.5, 0.7, 1.0, 1.0]


def test_of_two_opinions_either_can_deny_a_damage() -> None:
    assert RULE.joined(0.0, 1.0) == RULE.joined(1.0, 0.0) == 0.0
    assert RULE.joined(0.4, 0.9) == pytest.approx(0.4**0.25 * 0.9**0.75)
    assert RULE.joined(0.7, 0.7) == pytest.approx(0.7)


@pytest.mark.parametrize(
    "rule", [Rule(0.3, share=0.75, hint=0.05), Rule(0.3, share=0.25), Rule(0.3, share=0.25, hint=0.2)]
)
def test_a_trial_is_made_where_it_can_decide(rule: Rule) -> None:
    least = max(rule.hint, rule.least ** (1 / (1 - rule.share)))
    assert not rule.worth_trying(least * 0.99)
    assert rule.worth_trying(least * 1.01)
    assert rule.worth_trying(1.0)  # it may deny this too


def test_what_the_detector_tells_alone_is_not_tried() -> None:
    assert not Rule(0.3).worth_trying(1.0)
