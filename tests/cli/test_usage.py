"""Help, version, wrong usage, options with a form of their own, and the cost of answering."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Answer
from cost import cost, light_cost
from typer.main import get_command

from dfrestore import __version__
from dfrestore.cli.commands import build
from dfrestore.cli.options import parse_memory, parse_pixels, parse_size, parse_window, share
from dfrestore.errors import UsageError
from dfrestore.tasks import restoring_tasks

Run = Callable[..., Answer]


@pytest.mark.skipif(sys.platform == "win32", reason="counts CPU seconds with getrusage")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["--version"], 0), (["derain", "--help"], 0), (["deran"], 2), (["derain", "--stepz", "3"], 2)],
)
def test_help_version_and_usage_errors_are_instant(arguments: list[str], code: int) -> None:
    found = light_cost(*arguments)
    assert (found.code, found.heavy) == (code, [])


@pytest.mark.skipif(sys.platform == "win32", reason="counts CPU seconds with getrusage")
def test_a_missing_input_is_told_without_torch() -> None:
    found = cost("derain", "missing.png")
    assert found.code == 2
    assert "torch" not in found.heavy


@pytest.mark.skipif(sys.platform == "win32", reason="counts CPU seconds with getrusage")
@pytest.mark.parametrize("command", [("derain",), ("run", "derain,denoise")])
def test_a_run_that_finds_all_done_does_without_torch(
    dfrestore: Run, tmp_path: Path, make_photo: Callable[..., Path], command: tuple[str, ...]
) -> None:
    arguments = (*command, str(make_photo(tmp_path / "a.png")), "-o", str(tmp_path / "b.png"))
    assert dfrestore(*arguments).code == 0
    found = cost(*arguments)
    assert found.code == 0
    assert "torch" not in found.heavy


@pytest.mark.parametrize("task", restoring_tasks())
def test_every_task_that_restores_has_a_command_with_examples(dfrestore: Run, task: str) -> None:
    answer = dfrestore(task, "--help")
    assert answer.code == 0
    assert f"dfrestore {task} photo.jpg" in answer.out
    for option in (
        "--out", "--model", "--base", "--steps", "--seed", "--device", "--precision", "--window", "--tile", "--memory",
        "--max-pixels", "--format", "--quality", "--strength", "--overwrite", "--recursive", "--no-recursive",
        "--dry-run", "--quiet", "--json", "--strip-metadata", "--ensemble", "--keep-color",
        "--uncertainty", "--compare", "--trace",
    ):  # fmt: skip
        assert option in answer.out


def every_command() -> list[list[str]]:
    """The words of each command, groups and the bare ``dfrestore`` too."""

    def below(command: Any, words: list[str]) -> Iterator[list[str]]:
        yield words
        for name, inner in getattr(command, "commands", {}).items():
            yield from below(inner, [*words, name])

    return list(below(get_command(build()), []))


@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_every_help_is_plain_text_with_examples_and_says_what_each_value_is(dfrestore: Run, command: list[str]) -> None:
    answer = dfrestore(*command, "--help")
    assert answer.code == 0
    assert answer.out.startswith("Usage: dfrestore")
    assert "\x1b" not in answer.out
    examples = answer.out.partition("  Examples:\n")[2].partition("\n\n")[0].splitlines()
    assert examples
    assert all("dfrestore " in line for line in examples)
    assert not re.search(r"--[a-z-]+ <(str|int|float|path|list)", answer.out)  # a type, where a reader needs a meaning


def examples() -> set[str]:
    """Each line below ``Examples:`` in a help that runs dfrestore."""
    texts = {command.help or "" for words in every_command() if (command := found(words))}
    lines = [line.strip() for text in texts for line in text.partition("Examples:\n")[2].splitlines()]
    return {line.partition("  ")[0] for line in lines if line.startswith("dfrestore ")}


def found(words: list[str]) -> Any:
    command: Any = get_command(build())
    for word in words:
        command = command.commands[word]
    return command


@pytest.mark.parametrize("example", sorted(examples()))
def test_every_example_in_a_help_parses(dfrestore: Run, example: str) -> None:
    assert dfrestore(*shlex.split(example)[1:], "--help").code == 0


def test_the_main_help_tells_the_exit_codes(dfrestore: Run) -> None:
    told = dfrestore("--help").out.partition("Exit codes:\n")[2].splitlines()
    assert [line.split()[0] for line in told[:5]] == ["0", "1", "2", "3", "130"]


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["deran", "a.png"], "unknown command 'deran': did you mean 'derain'?"),
        (["weights", "lst"], "unknown command 'lst': did you mean 'list'?"),
        (["derain", "a.png", "--stpes", "4"], "unknown option '--stpes': did you mean '--steps'?"),
        (["derain", "{photo}", "--model", "compct"], "unknown model 'compct': did you mean 'compact'?"),
        (["weights", "card", "compct"], "unknown model 'compct': did you mean 'compact'?"),
        (["finetune", "derian", "--data", ".", "--run", "r"], "unknown task 'derian': did you mean 'derain'?"),
        (["benchmark", "deblr"], "unknown task 'deblr': did you mean 'deblur'?"),
        (["evaluate", "--task", "denois", "--data", "."], "unknown task 'denois': did you mean 'denoise'?"),
        (["train", "--preset", "compcat", "--clean", "."], "unknown preset 'compcat': did you mean 'compact'?"),
        (["benchmark", "--preset", "smok"], "unknown preset 'smok': did you mean 'smoke'?"),
        (["degrade", "rian", "a.png", "-o", "o"], "did you mean 'rain'?"),
        (["degrade", "rain", "a.png", "-o", "o", "--preset", "strom"], "did you mean 'storm'?"),
        (["derain", "{photo}", "--format", "pgn"], "did you mean 'png'?"),
        (["derain", "{photo}", "-o", "out.tfif"], "did you mean 'tif'?"),
        (["derain", "{photo}", "--device", "cdua"], "unknown device 'cdua': did you mean 'cuda'?"),
        (["derain", "{photo}", "--device", "gpu"], "unknown device 'gpu': did you mean 'cuda'?"),
        (["derain", "{photo}", "--precision", "pf32"], "unknown precision 'pf32': did you mean 'fp32'?"),
        (["derain", "{photo}g"], "did you mean 'photo.png'?"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest_one(
    dfrestore: Run, make_photo: Callable[..., Path], tmp_path: Path, arguments: list[str], suggestion: str
) -> None:
    photo = make_photo(tmp_path / "photo.png")
    answer = dfrestore(*(word.replace("{photo}", str(photo)) for word in arguments))
    assert answer.code == 2
    assert len(answer.err.splitlines()) == 1
    assert suggestion in answer.err


def test_the_version_is_one_line(dfrestore: Run) -> None:
    assert dfrestore("--version") == Answer(0, f"dfrestore {__version__}\n", "")


def test_without_arguments_the_help_is_shown_as_wrong_usage(dfrestore: Run) -> None:
    answer = dfrestore()
    assert (answer.code, answer.out) == (2, "")
    assert "Usage: dfrestore" in answer.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["deran", "a.png"], "'derain'"),
        (["derain", "a.png", "--stesp", "4"], "--steps"),
        (["derain", "a.png", "--steps", "0"], "--steps"),
        (["derain", "a.png", "--steps", "1001"], "--steps"),
        (["derain", "a.png", "--steps", "four"], "--steps"),
        (["derain", "a.png", "--strength", "1.5"], "--strength"),
        (["derain", "a.png", "--quality", "0"], "--quality"),
        (["derain", "a.png", "--seed", "-1"], "--seed"),
        (["derain", "a.png", "--seed", str(2**64)], "--seed"),
        (["derain", "a.png", "--seed", str(2**63 - 3), "--ensemble", "4"], "--seed"),
        (["derain", "a.png", "--ensemble", "0"], "--ensemble"),
        (["derain", "a.png", "--steps", "0"], "--steps 0: a whole number from 1 to 1000 is needed"),
        (["derain", "a.png", "--steps=four"], "--steps four: a whole number from 1 to 1000 is needed"),
        (["derain", "a.png", "--seed", "-1"], "--seed -1: a whole number from 0 up is needed"),
        (["upscale", "a.png", "--long-edge", "x"], "--long-edge x: a whole number is needed"),
        (["train", "derain", "--minutes", "soon"], "--minutes soon: a number is needed"),
        (["benchmark", "--train", "--patch", "64", "--patch", "0"], "--patch 0: a whole number from 1 up is needed"),
        (["evaluate", "--channel", "rgv", "--data", "."], "--channel rgv: y or rgb is needed: did you mean 'rgb'?"),
        (["derain", "a.png", "--strength", "1.5"], "--strength 1.5: a number from 0 to 1, or a percentage, is needed"),
        (["denoise", "a.png", "--keep-detail", "50"], "or a percentage, is needed; give 50% or 0.5"),
        (["derain", "a.png", "--strength", "120%"], "--strength 120%: a number from 0 to 1"),
        (["derain", "a.png", "--strength", "nan"], "--strength nan: a number from 0 to 1"),
        (["derain", "-dash.jpg"], "'-dash.jpg' begins like an option; for a file of that name give './-dash.jpg'"),
        (["derain", "--dash.jpg"], "give './--dash.jpg'"),
        (["derain", "-quarry.jpg"], "give './-quarry.jpg'"),
        (["derain", "a.jpg", "-d"], "unknown option '-d'; see"),
        (["derain", "a.png", "--window", "7"], "--window"),
        (
            ["derain", "a.png", "--tile", "1"],
            "--tile 1: a side of 64 pixels or more is needed, or 0",
        ),
        (["derain", "a.png", "--tile", "63"], "--tile 63"),
        (["derain", "a.png", "--memory", "lots"], "--memory"),
        (["derain", "a.png", "--format", "gif"], "--format"),
        (["derain"], "INPUT"),
        (["derain", ""], "INPUT is empty"),
    ],
)
def test_wrong_usage_is_one_line_and_two(dfrestore: Run, arguments: list[str], words: str) -> None:
    answer = dfrestore(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert len(answer.err.splitlines()) == 1
    assert answer.err.startswith("dfrestore: ")
    assert words in answer.err


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8G", 8 << 30),
        ("512M", 512 << 20),
        ("1.5GiB", 3 << 29),
        ("64kb", 64 << 10),
        ("2000000", 2_000_000),
        (None, None),
    ],
)
def test_sizes_of_memory(text: str | None, size: int | None) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize(("text", "value"), [("0.5", 0.5), ("50%", 0.5), (" 12.5% ", 0.125), ("1", 1.0), (0.25, 0.25)])
def test_shares_of_a_whole(text: str | float, value: float) -> None:
    assert share("--strength")(text) == value


@pytest.mark.parametrize(("text", "way"), [("8", "8G"), (" 800 ", "800M"), ("64", "64G")])
def test_a_small_number_without_a_unit_is_no_budget(text: str, way: str) -> None:
    with pytest.raises(UsageError, match=f"give a unit, like {way}$"):
        parse_memory(text)


def test_numbers_of_pixels() -> None:
    assert (parse_pixels("100M"), parse_pixels("250000"), parse_pixels(None)) == (100_000_000, 250_000, None)


def test_windows() -> None:
    assert (parse_window("global"), parse_window("192"), parse_window(None)) == ("global", 192, None)
    assert parse_window("384@2") == "384@2"


def test_sizes_of_pictures() -> None:
    assert parse_size("1024x768") == (1024, 768)


@pytest.mark.parametrize("text", ["", "G", "-1G", "0", "8X", "1e9"])
def test_what_is_no_size_of_memory(text: str) -> None:
    with pytest.raises(UsageError):
        parse_memory(text)


@pytest.mark.parametrize("text", ["", "1024", "0x5", "axb", "1024x768x3"])
def test_what_is_no_size_of_a_picture(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


def test_an_unexpected_error_is_one_line_unless_debugging(
    dfrestore: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object, **__: object) -> None:
        raise KeyError("what")

    monkeypatch.setattr("dfrestore.restore.planning.scan_folder", explode)
    monkeypatch.delenv("DFRESTORE_DEBUG", raising=False)
    answer = dfrestore("derain", tmp_path)
    assert answer.code == 1
    assert answer.err == "dfrestore: unexpected KeyError: 'what' (DFRESTORE_DEBUG=1 shows where)\n"
    monkeypatch.setenv("DFRESTORE_DEBUG", "1")
    with pytest.raises(KeyError):
        dfrestore("derain", tmp_path)


def test_ctrl_c_while_files_are_planned_is_one_line(
    dfrestore: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dfrestore.restore.planning.scan_folder", interrupt)
    answer = dfrestore("derain", tmp_path)
    assert (answer.code, answer.out, answer.err.strip()) == (130, "", "dfrestore: interrupted")
