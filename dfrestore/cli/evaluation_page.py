"""``--report`` of ``dfrestore evaluate``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from dfrestore.cli.page import Page, Tell, count, how, lead, made, most, versions
from dfrestore.cli.report import duration
from dfrestore.errors import one_line

if TYPE_CHECKING:
    from dfrestore.evaluation import Convention, Measured
    from dfrestore.evaluation.html import About, Entry
    from dfrestore.evaluation.shots import Role


class Scored(Protocol):
    """What is told of one pair: of one model, or of several."""

    @property
    def name(self) -> str: ...
    @property
    def error(self) -> str | None: ...
    @property
    def notes(self) -> tuple[str, ...]: ...


S = TypeVar("S", bound=Scored)
S_co = TypeVar("S_co", bound=Scored, covariant=True)


class WithPictures(Protocol[S_co]):
    """A score and the pictures that it was measured on."""

    @property
    def score(self) -> S_co: ...


class PairsPage(Page, Generic[S]):
    """A page over pairs, of one model or of several. about: what is told beside the numbers; plans: filled as it goes,
    with how often each was taken; lists: (what, names) of pictures that are not measured.
    """

    def __init__(
        self,
        path: Path,
        pairs: int,
        convention: Convention,
        about: Mapping[str, Any],
        plans: Counter[str],
        lists: Sequence[tuple[str, Sequence[str]]],
        *,
        say: Tell,
        complain: Tell,
    ) -> None:
        super().__init__(path, False, say, complain)
        self._pairs = pairs
        self._convention = convention
        self._told = about
        self._plans = plans
        self._lists = lists
        self._restores = "task" in about
        self._scores: list[S] = []

    def follow(self, measured: Iterable[WithPictures[S]]) -> Iterator[S]:
        """The scores, each when its pictures are in the page."""
        for number, item in enumerate(measured, 1):
            score = item.score
            self._scores.append(score)
            if score.error is None and not self.failed:
                self._put(self._entry(number, item))
            del item  # the pictures are not kept while the next pair is restored
            yield score

    def _entry(self, number: int, item: Any) -> Entry:
        raise NotImplementedError

    def _made_by(self) -> str:
        """The model that was run, in words; empty without one."""
        return ""

    def _as_shown(self) -> str:
        """What is done to the inputs for the page alone."""
        if not self._restores:
            return ""
        enlarged = " Inputs are shown with their pixels enlarged." if self._convention.scale > 1 else ""
        return f"{enlarged} Holes are shown in grey." if self._convention.hole else enlarged

    def _about(self, ending: str | None) -> About:
        from dfrestore.evaluation.html import About

        failures = [(score.name, score.error) for score in self._scores if score.error is not None]
        done = len(self._scores) - len(failures)
        missing = self._pairs - len(self._scores)
        parts = [f"{len(failures)} failed"] if failures else []
        parts += [f"{missing} not done"] if ending and missing else []
        parts.append(duration(time.perf_counter() - self._begin))
        parts += [made_by] if (made_by := self._made_by()) else []
        settings = [(key.capitalize(), one_line(value)) for key, value in self._told.items()]
        if self._plans:
            settings.append(("Plan", most(self._plans)))
        return About(
            title=f"{count(done, 'pair')} measured",
            lead=lead(ending, *parts),
            over=f"dfrestore evaluate {self._told.get('task', '')}".strip(),
            settings=(*settings, ("Versions", versions())),
            failures=failures,
            lists=self._lists,
            convention=f"{self._convention.describe()}; means over {count(done, 'picture')}.{self._as_shown()}",
            footer=made(),
        )


class EvaluationPage(PairsPage[Any]):
    """Of one model, or of pictures that are restored already."""

    def _entry(self, number: int, item: Measured) -> Entry:
        from dfrestore.evaluation.html import Entry
        from dfrestore.evaluation.shots import bytes_each, shots_of_pair

        score = item.score
        facts = () if score.seconds is None else (duration(score.seconds),)
        shots, why = self._look(lambda: shots_of_pair(item, bytes_each(self._pairs)))
        return Entry(number, score.name, shots, facts, why, score)

    def _labels(self) -> Mapping[Role, str]:
        return {} if self._restores else {"after": "Restored"}

    def _made_by(self) -> str:
        return how(self._told["model"], self._told["steps"], self._told["seed"]) if self._restores else ""

    def _about(self, ending: str | None) -> About:
        from dfrestore.evaluation import summarise

        about = super()._about(ending)
        return replace(about, means=summarise(self._scores), scores=tuple(enumerate(self._scores, 1)))
