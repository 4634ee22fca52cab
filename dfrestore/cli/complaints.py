"""What Typer complains of, in this program's words: the option, its value, and what is possible."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from dfrestore.errors import UsageError, did_you_mean
from dfrestore.tasks import COMBINED, any_of


def complaint(error: Exception, arguments: Sequence[str]) -> str:
    """One line for an error of Typer's that has a ``format_message``. arguments: of the command line."""
    if isinstance(error.__cause__, UsageError):  # of a value that one of our own functions looked at
        return str(error.__cause__)
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    said = " ".join(error.format_message().split()).rstrip(".").replace("Value error, ", "")  # type: ignore[attr-defined]
    text = _unknown(error, said, context, arguments) or _value(parameter, arguments) or said
    command = context.command_path if context is not None else "dfrestore"
    return f"{text}{'' if text.endswith('?') else ';'} see '{command} --help'"


def _unknown(error: Exception, said: str, context: Any, arguments: Sequence[str]) -> str | None:
    """``unknown option '--stpes': did you mean '--steps'?``; None for another complaint."""
    found = re.match(r"No such (option|command):? '?([^'\s]+?)'?(?:[.\s]|$)", said)
    if found is None or context is None:
        return None
    kind, name = found.groups()
    name = getattr(error, "option_name", name)
    if kind == "command":
        return f"unknown command '{name}'{did_you_mean(name, context.command.list_commands(context))}"
    file = next((word for word in arguments if _is_file_with_dash(word, name)), None)
    if file is not None:
        return f"'{file}' begins like an option; for a file of that name give './{file}'"
    if context.info_name in COMBINED and (way := _of_a_task(name)) is not None:
        return way
    owners = _owners(name, context)
    if owners:
        return f"unknown option '{name}' (of dfrestore {any_of(owners)})"
    known = [option for item in context.command.params for option in (*item.opts, *item.secondary_opts)]
    return f"unknown option '{name}'{did_you_mean(name, known)}"


def _of_a_task(option: str) -> str | None:
    from dfrestore.cli.chain import misplaced

    return misplaced(option)


def _is_file_with_dash(word: str, option: str) -> bool:
    """Whether ``word`` was taken for ``option`` (of short ones, for several in one word), and looks like a file."""
    if not word.startswith("-") or not (Path(word).suffix or Path(word).exists()):
        return False
    return word == option or (len(option) == 2 and not word.startswith("--") and option[1] in word[1:])


def _owners(option: str, context: Any) -> list[str]:
    """The other commands that have this option, where they are few."""
    if context.parent is None:
        return []
    from typer.main import get_command

    from dfrestore.cli.commands import build, may_be_an_option

    if not may_be_an_option(option):
        return []
    commands = get_command(build()).commands  # type: ignore[attr-defined]
    owners = [name for name, item in commands.items() if any(option in parameter.opts for parameter in item.params)]
    return owners if len(owners) <= 3 else []


def _value(parameter: Any, arguments: Sequence[str]) -> str | None:
    """``--steps 0: a whole number from 1 to 1000 is needed``, for an option that takes numbers or one of some words."""
    if parameter is None:
        return None
    given = list(_given(parameter.opts, arguments))
    choices = _choices(parameter)
    if choices:
        wrong = next((pair for pair in given if pair[1] not in choices), None)
        return wrong and f"{wrong[0]} {wrong[1]}: {any_of(choices)} is needed{did_you_mean(wrong[1], choices)}"
    number = _number(parameter)
    if number is None:
        return None
    convert, least, most = number
    wrong = next((pair for pair in given if not _fits(pair[1], convert, least, most)), None)
    what = "a whole number" if convert is int else "a number"
    return wrong and f"{wrong[0]} {wrong[1]}: {what}{_range(least, most)} is needed"


def _given(options: Sequence[str], arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(option, value) for each time that the option, under any of its names, was given."""
    for number, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if word in options and number + 1 < len(arguments):
            yield word, arguments[number + 1]
        elif equals and name in options:
            yield name, value


def _choices(parameter: Any) -> list[str]:
    # in older versions of Typer the type knows them, in newer ones a descriptor
    found = getattr(getattr(parameter, "type", None), "choices", None)
    found = found or getattr(getattr(parameter, "type_descriptor", None), "choices", None) or ()
    return [str(choice.value if isinstance(choice, Enum) else choice) for choice in found]


def _number(parameter: Any) -> tuple[type[int] | type[float], float | None, float | None] | None:
    """(int or float, the least, the most) of an option that takes numbers."""
    kind = getattr(parameter, "type", None)  # as above
    descriptor = getattr(parameter, "type_descriptor", None)
    said = str(getattr(kind, "name", None) or getattr(descriptor, "annotation", ""))
    if not re.search(r"\b(int|integer|float)\b", said):
        return None
    limits = kind if hasattr(kind, "min") else parameter
    return (float if "float" in said else int), getattr(limits, "min", None), getattr(limits, "max", None)


def _fits(text: str, convert: type[int] | type[float], least: float | None, most: float | None) -> bool:
    try:
        value = convert(text)
    except ValueError:
        return False
    return (least is None or value >= least) and (most is None or value <= most)


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return "" if most is None else f" up to {most:g}"
    return f" from {least:g}" + (f" to {most:g}" if most is not None else " up")
