"""What is done about the damage that a detector finds: which tasks, how strongly, and whether a result is kept.

Pure functions of severities (see :mod:`dfrestore.severities`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dfrestore.restore.rules import FULL, RULES
from dfrestore.severities import DAMAGES, NOTICED
from dfrestore.tasks import TASKS

ORDER = ("derain", "desnow", "denoise", "raindrop", "dejpeg", "dehaze", "deblur", "defocus", "upscale")
"""As it measured best on photos with two of these (examples/order_study.py). Streaks and flakes go before noise, what
the file did goes after it, and haze and blur last, for undoing them makes all that is left stronger.
"""

FALL = 0.1
"""Share of its damage's severity that a step must take away to be kept."""
RISE, RISE_SHARE = 0.12, 0.5
"""A step is taken back where another severity rises to where it is noticed, by more than the first, and by more than so
much of what fell: strong damage hides milder, which is seen once it is gone.
"""


HIDING = ("jpeg", "noise", "rain", "snow", "drops", "haze")
HIDDEN = ("noise", "rain", "snow", "drops", "haze")
SOFT = ("motion", "defocus", "lowres")
"""What may lie over other damage, what is often seen only then, and softness, which is seen better then. Where one of
the first is taken away, the step is not to blame for a rise of the second, which is treated next, or of the third.
"""

NOTHING = "nothing to repair"


@dataclass(frozen=True)
class Remedy:
    """A task that takes a damage away. severity: how bad that is. strength: how much of the result there is to be."""

    task: str
    damage: str
    severity: float
    strength: float

    @property
    def words(self) -> str:
        """``denoise``, ``denoise (0.6)``."""
        return self.task if self.strength == 1 else f"{self.task} ({self.strength:.1f})"


@dataclass(frozen=True)
class Tried:
    """What became of a remedy: its result was kept or taken back, or it was left out. why: unless kept, in words."""

    task: str
    damage: str
    strength: float
    result: Literal["kept", "taken back", "left out"]
    why: str = ""

    @property
    def kept(self) -> bool:
        return self.result == "kept"


@dataclass(frozen=True)
class Repair:
    """What was found in a photo, and what was done about it.

    before, after: (damage, severity) of each kind, 0 to 1; after is empty where nothing was tried. planned: in turn,
    at the end also what was only seen after a step. tried: what became of these. unmet: damage that is found and that
    no allowed task takes away.
    """

    before: tuple[tuple[str, float], ...]
    planned: tuple[Remedy, ...] = ()
    tried: tuple[Tried, ...] = ()
    after: tuple[tuple[str, float], ...] = ()
    unmet: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the photo is another one now."""
        return any(one.kept for one in self.tried)

    @property
    def words(self) -> str:
        """``found: rain 0.8, noise 0.3 -> derain, denoise (0.6)``; ``found: nothing``."""
        severities = dict(self.before) | {remedy.damage: remedy.severity for remedy in self.planned}
        treated = sorted(self.planned, key=lambda remedy: -remedy.severity)
        names = [
            f"{DAMAGES[name].words} {severities[name]:.2f}" for name in (*(r.damage for r in treated), *self.unmet)
        ]
        if not names:
            return f"found: {NOTHING}"
        done = ", ".join(remedy.words for remedy in self.planned) or "nothing that is allowed here helps"
        return f"found: {', '.join(names)} -> {done}"


def remedies(severities: Mapping[str, float], allowed: Collection[str]) -> tuple[tuple[Remedy, ...], tuple[str, ...]]:
    """(what to do, in turn, with the ``allowed`` tasks; damage that is left, the most severe first)."""
    severe = [name for name, value in severities.items() if value >= RULES[name].least]
    treated = [name for name in severe if DAMAGES[name].task in allowed]
    found = [
        Remedy(DAMAGES[name].task, name, severities[name], RULES[name].strength(severities[name])) for name in treated
    ]
    unmet = sorted(set(severe) - set(treated), key=lambda name: -severities[name])
    return tuple(sorted(found, key=lambda remedy: ORDER.index(remedy.task))), tuple(unmet)


def unasked(with_model: Collection[str]) -> tuple[str, ...]:
    """The tasks that may be done unless others are named: those with a model that keep the size of a photo."""
    return tuple(task for task in ORDER if task in with_model and not TASKS[task].scale)


def result_in_words(repair: Repair) -> tuple[str, ...]:
    """``found: rain 0.80 -> derain``, ``afterwards: rain 0.10``, for a report."""
    before, after = dict(repair.before), dict(repair.after)
    told = [name for name in before if max(before[name], after.get(name, 0.0)) >= NOTICED]
    rest = ", ".join(f"{DAMAGES[name].words} {after[name]:.2f}" for name in told if name in after)
    return (repair.words, *([f"afterwards: {rest}"] if rest else []))


def rules() -> dict[str, Any]:
    """What decides beside the severities, for records: under other rules a photo is done again."""
    return {
        "rules": {name: asdict(rule) for name, rule in RULES.items()},
        "full": FULL,
        "fall": FALL,
        "rise": [RISE, RISE_SHARE],
        "uncovered": [HIDING, HIDDEN, SOFT],
        "order": ORDER,
    }


def repair_as_json(repair: Repair) -> dict[str, Any]:
    """Of a photo's object: the severities before and after, what is to be done, in turn, and what became of it."""
    return {
        "severities": _rounded(repair.before),
        "planned": [{**asdict(remedy), "severity": round(remedy.severity, 3)} for remedy in repair.planned],
        "tried": [asdict(one) for one in repair.tried],
        "severities_after": _rounded(repair.after) if repair.after else None,
        "unmet": list(repair.unmet),
    }


def _rounded(severities: tuple[tuple[str, float], ...]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in severities}


def objection(
    damage: str, before: Mapping[str, float], after: Mapping[str, float], treatable: Collection[str] = ()
) -> str | None:
    """Why the step that was to take ``damage`` away is taken back; None where its result is kept.

    treatable: hidden damage that can still be treated if it is only seen now.
    """
    own, fallen = DAMAGES[damage].words, before[damage] - after[damage]
    if fallen < before[damage] * FALL:
        return f"{own} hardly fell ({_from_to(before[damage], after[damage])})"
    allowed = max(RISE, RISE_SHARE * fallen)
    uncovered = (*SOFT, *treatable) if damage in HIDING else ()
    for name, value in after.items():
        if name not in (damage, *uncovered) and value >= max(NOTICED, before[name] + allowed):
            return f"{DAMAGES[name].words} rose ({_from_to(before[name], value)})"
    return None


def _from_to(before: float, after: float) -> str:
    return f"{before:.2f} -> {after:.2f}"
