"""``--name``: what results are called."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from string import Formatter

from dfrestore.errors import UsageError, did_you_mean
from dfrestore.photo import format_of_path

FIELDS = ("stem", "task", "model", "steps", "seed")
"""All are known before a photo is read, and the same in the next run, which finds by them what is done already."""


@dataclass(frozen=True)
class NameTemplate:
    """A template such as ``{stem}_{task}``, without an ending. values: of its fields but ``stem``; asked for when the
    first name is made.
    """

    text: str
    values: Callable[[], Mapping[str, str]]

    def of(self, stem: str) -> str:
        """The result's stem, for a photo's."""
        return self.text.format_map({**self.values(), "stem": stem})


def checked_template(text: str) -> str:
    """The template itself. Raises UsageError for one that has an unknown field, or cannot be a file's name."""
    option = f"--name {text}"
    if not text:
        raise UsageError("--name is empty; write a name like '{stem}_{task}'")
    for field in _fields(text, option):
        if field not in FIELDS:
            raise UsageError(f"{option}: unknown field '{field}'{did_you_mean(field, FIELDS)} (known: {_known()})")
    if any(separator in text for separator in (os.sep, os.altsep, "\0") if separator):
        raise UsageError(f"{option}: is the name of a file, and cannot name a folder; -o does")
    if text.startswith("."):
        raise UsageError(f"{option}: results would be hidden; begin with something else than a dot")
    if format_of_path(text) is not None:
        ending = PurePosixPath(text).suffix
        raise UsageError(f"{option}: leave the ending out; it is the input's, or --format {ending[1:]} sets it")
    return text


def _fields(text: str, option: str) -> list[str]:
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        raise UsageError(f"{option}: a brace stands alone; fields are {_known()}, and {{{{ is a brace") from None
    for _, field, form, conversion in parts:
        if form or conversion:
            raise UsageError(f"{option}: write a field without ':' and '!', as in {{{field}}}")
    return [field for _, field, _, _ in parts if field is not None]


def _known() -> str:
    return ", ".join(f"{{{field}}}" for field in FIELDS)


def model_word(label: str) -> str:
    """``derain/compact`` -> ``compact``; ``runs/mine.safetensors``, ``hf://.../mine.safetensors@REV`` -> ``mine``."""
    path = label.partition("@")[0] if label.startswith("hf://") else label
    return PurePosixPath(path.replace("\\", "/")).name.removesuffix(".safetensors")
