"""Long help pages have their options in groups; no option is lost or left without one."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from conftest import Answer
from typer.main import get_command

from dfrestore.cli.commands import build
from dfrestore.cli.help_groups import GROUPS
from dfrestore.cli.weights import app

Run = Callable[..., Answer]


def sections(page: str) -> dict[str, list[str]]:
    """Title -> the long names of the options below it."""
    found: dict[str, list[str]] = {}
    for title, body in re.findall(r"^(\S.*):\n((?:  .*\n|\n)+)", page, re.MULTILINE):
        found[title] = re.findall(r"^  (?:-\w, )?(--[a-z-]+)", body, re.MULTILINE)
    return found


@pytest.mark.parametrize("command", GROUPS)
def test_every_option_stands_once_under_a_title(command: str, dfrestore: Run) -> None:
    shown = sections(dfrestore(command, "--help").out)
    params = get_command(build(command)).commands[command].params  # type: ignore[attr-defined]
    options = {item.opts[0] for item in params if item.opts[0].startswith("--") and not item.hidden}
    options |= {item.opts[-1] for item in params if item.opts[0].startswith("-") and not item.hidden} - {"-o", "-q"}
    listed = [option for names in shown.values() for option in names]
    assert len(listed) == len(set(listed))
    assert set(listed) == options | {"--help"}
    assert not {"Options", "Other options"} & set(shown)
    assert len(shown) > 4


def test_no_group_names_an_option_that_no_command_has() -> None:
    commands = get_command(build()).commands  # type: ignore[attr-defined]
    known = {item.name for command in GROUPS for item in commands[command].params} | {"help"}
    assert {name for groups in GROUPS.values() for names in groups.values() for name in names.split()} <= known


def test_what_makes_the_result_is_told_from_what_makes_it_fast(dfrestore: Run) -> None:
    shown = sections(dfrestore("derain", "--help").out)
    assert [title for title in shown if title != "Arguments"][:5] == [
        *("Where the photo changes", "Result", "Quality", "Speed and memory", "Reports")
    ]
    assert {"--out", "--format"} <= set(shown["Result"])
    assert {"--steps", "--strength"} <= set(shown["Quality"])
    assert {"--tile", "--memory"} <= set(shown["Speed and memory"])


@pytest.mark.parametrize("arguments", [[], ["weights"]])
def test_what_a_command_does_is_told_in_a_whole_sentence(dfrestore: Run, arguments: list[str]) -> None:
    commands = dfrestore(*arguments, "--help").out.partition("Commands:")[2].splitlines()[1:]
    assert len(commands) > 5
    assert [line for line in commands if not line.endswith(".")] + [line for line in commands if "..." in line] == []


def test_the_help_of_weights_names_its_commands(dfrestore: Run) -> None:
    names = ", ".join(str(command.name) for command in app.registered_commands)
    assert f"Models: {names}." in dfrestore("weights", "--help").out
    assert f"weights    Models: {names}." in dfrestore("--help").out
