"""``--name`` and ``--newer``: what goes with them, and what the fields of a name stand for in a run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

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
    text: str | None, task: str, seed: int, steps: int | None, find: Callable[[], Resolved]
) -> NameTemplate | None:
    """What ``--name`` says. find: the model, which is looked for where a field needs it alone. Raises UsageError."""
    from dfrestore.restore.name_template import NameTemplate, checked_template, model_word

    if text is None:
        return None
    checked_template(text)

    @cache
    def values() -> dict[str, str]:
        known = {"task": task, "seed": str(seed), "steps": str(steps)}
        if "{model}" in text:
            known["model"] = model_word(find().label)
        if "{steps}" in text and steps is None:
            from dfrestore.weights import read_spec

            known["steps"] = str(read_spec(find().path).default_steps)
        return known

    return NameTemplate(text, values)
