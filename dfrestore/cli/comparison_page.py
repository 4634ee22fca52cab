"""``--report`` of ``dfrestore evaluate`` with several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dfrestore.cli.evaluation_page import PairsPage
from dfrestore.cli.report import duration

if TYPE_CHECKING:
    from dfrestore.evaluation.comparison import Compared
    from dfrestore.evaluation.html import About, Entry
    from dfrestore.evaluation.shots import Role


class ComparisonPage(PairsPage[Any]):
    """Of several models. labels: what each is, in words."""

    def __init__(self, *arguments: Any, labels: Sequence[str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._models = labels

    def _entry(self, number: int, item: Compared) -> Entry:
        from dfrestore.evaluation.comparison import LETTERS
        from dfrestore.evaluation.html import Entry
        from dfrestore.evaluation.shots import bytes_each, shots_of_comparison

        score = item.score
        timed = zip(LETTERS, (one.seconds for one in score.scores), strict=False)
        facts = tuple(f"{letter} {duration(seconds)}" for letter, seconds in timed if seconds is not None)
        shots, why = self._look(lambda: shots_of_comparison(item, bytes_each(self._pairs)))
        return Entry(number, score.name, shots, facts, why, comparison=score)

    def _labels(self) -> Mapping[Role, str]:
        from dfrestore.evaluation.comparison import LETTERS
        from dfrestore.evaluation.shots import MODEL_ROLES

        return dict(zip(MODEL_ROLES, LETTERS[: len(self._models)], strict=False))

    def _made_by(self) -> str:
        return f"{len(self._models)} models"

    def _about(self, ending: str | None) -> About:
        from dfrestore.evaluation.bootstrap import LEAST
        from dfrestore.evaluation.comparison import LETTERS, summarise_comparison
        from dfrestore.evaluation.comparison_report import INTERVALS

        about = super()._about(ending)
        summary = summarise_comparison(self._scores, len(self._models))
        intervals = f" {INTERVALS}." if summary.count >= LEAST else ""
        return replace(
            about,
            settings=(*zip(LETTERS, self._models, strict=False), *about.settings),
            compared=summary,
            comparisons=tuple(enumerate(self._scores, 1)),
            models=self._models,
            convention=f"{about.convention}{intervals}",
        )
