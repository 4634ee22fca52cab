"""``--name`` and ``--newer``: what goes with them, and what the fields of a name stand for in a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from dfrestore.cli.restoring_models import steps_of
from dfrestore.errors import UsageError

if TYPE_CHECKING:
    from dfrestore.restore.name_template import NameTemplate
    from dfrestore.weights import Resolved


def of_files(name: str | None, newer: bool, overwrite: bool) -> list[str]:
    """Which of the options about names and times were given: a stream has neither. Raises UsageError."""
    if newer and overwrite:
        raise UsageError("--newer and --overwrite exclude each other: --overwrite redoes all")
    return [*(["name"] if name is not None else []), *(["newer"] if newer else [])]


def template_of(
    text: str | None,
    task: str,
    seeds: Sequence[int],
    steps: Sequence[int | None],
    find: Callable[[], Sequence[Resolved]],
) -> NameTemplate | None:
    """What ``--name`` says. seeds, steps: as given for each task of the run, one or more.

    find: their models, which are looked for where a field needs them alone. Raises UsageError.
    """
    from dfrestore.restore.name_template import NameTemplate, checked_template, model_word

    if text is None:
        return None
    checked_template(text)

    @cache
    def values() -> dict[str, str]:
        known = {"task": task, "seed": _in_one_word(seeds)}
        if "{model}" in text:
            known["model"] = _in_one_word(model_word(model.label) for model in find())
        if "{steps}" in text:
            known["steps"] = _in_one_word(map(steps_of, steps, find()) if None in steps else steps)
        return known

    return NameTemplate(text, values)


def _in_one_word(values: Iterable[object]) -> str:
    """What all tasks of a chain have in common, else that of each: ``4``, ``1-4-4``."""
    words = list(map(str, values))
    return words[0] if len(set(words)) == 1 else "-".join(words)
