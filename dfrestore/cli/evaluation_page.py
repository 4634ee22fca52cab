"""``--report`` of ``dfrestore evaluate``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfrestore.cli.page import Page, Tell, count, how, lead, made, most, versions
from dfrestore.cli.report import duration
from dfrestore.errors import one_line

if TYPE_CHECKING:
    from dfrestore.evaluation import Convention, FileScore, Measured
    from dfrestore.evaluation.html import About
    from dfrestore.evaluation.shots import Role


class EvaluationPage(Page):
    """Of ``dfrestore evaluate``. about: what is told beside the numbers; plans: filled as it goes, with how often each
    was taken; lists: (what, names) of pictures that are not measured.
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
        self._scores: list[FileScore] = []

    def follow(self, measured: Iterable[Measured]) -> Iterator[FileScore]:
        """The scores, each when its pictures are in the page."""
        for number, item in enumerate(measured, 1):
            score = item.score
            self._scores.append(score)
            if score.error is None and not self.failed:
                self._show(number, item)
            del item  # the pictures are not kept while the next pair is restored
            yield score

    def _show(self, number: int, measured: Measured) -> None:
        from dfrestore.evaluation.html import Entry
        from dfrestore.evaluation.shots import bytes_each, shots_of_pair

        score = measured.score
        facts = () if score.seconds is None else (duration(score.seconds),)
        shots, why = self._look(lambda: shots_of_pair(measured, bytes_each(self._pairs)))
        self._put(Entry(number, score.name, shots, facts, why, score))

    def _labels(self) -> Mapping[Role, str]:
        return {} if self._restores else {"after": "Restored"}

    def _as_shown(self) -> str:
        """What is done to the inputs for the page alone."""
        if not self._restores:
            return ""
        enlarged = " Inputs are shown with their pixels enlarged." if self._convention.scale > 1 else ""
        return f"{enlarged} Holes are shown in grey." if self._convention.hole else enlarged

    def _about(self, ending: str | None) -> About:
        from dfrestore.evaluation import summarise
        from dfrestore.evaluation.html import About

        means = summarise(self._scores)
        missing = self._pairs - len(self._scores)
        parts = [f"{means.failed} failed"] if means.failed else []
        parts += [f"{missing} not done"] if ending and missing else []
        parts.append(duration(time.perf_counter() - self._begin))
        if self._restores:
            parts.append(how(self._told["model"], self._told["steps"], self._told["seed"]))
        settings = [(key.capitalize(), one_line(value)) for key, value in self._told.items()]
        if self._plans:
            settings.append(("Plan", most(self._plans)))
        return About(
            title=f"{count(means.count, 'pair')} measured",
            lead=lead(ending, *parts),
            over=f"dfrestore evaluate {self._told.get('task', '')}".strip(),
            settings=(*settings, ("Versions", versions())),
            failures=[(score.name, score.error) for score in self._scores if score.error is not None],
            lists=self._lists,
            means=means,
            convention=f"{self._convention.describe()}; means over {count(means.count, 'picture')}.{self._as_shown()}",
            scores=tuple(enumerate(self._scores, 1)),
            footer=made(),
        )
