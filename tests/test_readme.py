"""The guides: every command in them is one that exists, with options that exist, on files that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dfrestore.cli import main

ROOT = Path(__file__).parents[1]
GUIDES = ("README.md", *sorted(f"examples/{file.name}" for file in (ROOT / "examples").glob("*.md")))


def text(guide: str) -> str:
    return (ROOT / guide).read_text(encoding="utf-8")


def anchors(guide: Path) -> set[str]:
    """What its headings are called in links."""
    headings = re.findall(r"^#+ (.*)$", guide.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands() -> list[str]:
    """Each line of a code block that calls dfrestore, without its comment."""
    lines = [line.strip() for guide in GUIDES for line in text(guide).splitlines()]
    return sorted({line.partition("  #")[0].strip() for line in lines if line.startswith("dfrestore ")})


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 4


@pytest.mark.parametrize("command", commands())
def test_every_command_parses(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    # --help is looked at after all options are known to exist and to have their values
    assert main([*shlex.split(command)[1:], "--help"]) == 0, capsys.readouterr().err


def test_every_option_in_the_table_is_one_of_derain(capsys: pytest.CaptureFixture[str]) -> None:
    main(["derain", "--help"])
    known = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))
    rows = [line.split("|")[1] for line in text("examples/using.md").splitlines() if line.startswith("| `--")]
    assert rows
    assert {option for row in rows for option in re.findall(r"--[a-z][a-z-]*", row)} <= known


@pytest.mark.parametrize("guide", GUIDES)
def test_every_link_and_every_example_leads_to_a_file(guide: str) -> None:
    base = (ROOT / guide).parent
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text(guide)):
        assert target.startswith("http") or (base / target).exists(), target
        if anchor:
            assert anchor in anchors(base / target if target else ROOT / guide), f"{target}#{anchor}"
    for name in re.findall(r"\bexamples/[\w./-]*\w", text(guide)):
        assert (ROOT / name).exists(), name
