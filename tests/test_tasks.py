"""The table of tasks, and that everything which knows tasks reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dfrestore.photo.pairs import find_pairs
from dfrestore.restore.naming import original_stem
from dfrestore.tasks import (
    TASKS,
    any_of,
    any_pair_folders,
    any_task,
    any_trained_task,
    channel_of,
    is_upright,
    pair_folders,
    restoring_tasks,
    role_words,
)

# One more task in the table, before anything else of the program is imported.
NEW_TASK = """
import json, sys
from pathlib import Path
from dfrestore import tasks
demo = tasks.Task(
    "demist", "Take mist out of photos.", "mist", True, "rgb", folders=(("mist", "nomist"),), roles=("misty",)
)
tasks.TASKS = {**tasks.TASKS, "demist": demo}
"""
COMMAND = """
from dfrestore.cli import main
sys.exit(main(sys.argv[1:]))
"""
FACTS = """
from dfrestore.photo.pairs import find_pairs
from dfrestore.restore.ensemble import turn_of
from dfrestore.restore.naming import original_stem
pair, = find_pairs(Path(sys.argv[1])).pairs
quarters = turn_of(4, "demist").quarters
print(json.dumps([pair.name, tasks.channel_of("demist"), quarters, original_stem(Path("a_demist.png"))]))
"""


def with_new_task(*arguments: object, code: str = COMMAND) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", NEW_TASK + code, *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", TASKS)
def test_every_task_says_what_it_is(name: str) -> None:
    task = TASKS[name]
    assert task.name == name
    assert task.summary.endswith(".")
    assert name in any_trained_task()


@pytest.mark.parametrize("name", restoring_tasks())
def test_a_task_that_restores_is_known_by_its_name_and_by_what_it_does(name: str) -> None:
    task = TASKS[name]
    assert bool(task.removes) != (task.scale or task.mask)  # these add
    assert name in role_words()
    assert name in any_task()


def test_a_task_that_is_only_trained_is_none_of_those_that_restore() -> None:
    assert [name for name in TASKS if name not in restoring_tasks()] == ["texture", "detect"]
    assert "texture" not in any_task()
    assert "texture" not in role_words()  # a photo of bricks may be called that
    assert original_stem(Path("bricks_texture.png")) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("texture", "a.png"), "unknown command 'texture'"),
        (("evaluate", "texture", "--clean", "."), "'texture' restores no pictures (known: derain, "),
        (("benchmark", "texture"), "'texture' restores no pictures (known: derain, "),
        (("weights", "convert", "a.pth", "--task", "texture"), "unknown task 'texture' (known: deblur, "),
    ],
)
def test_no_command_restores_with_a_task_that_is_only_trained(
    dfrestore, arguments: tuple[str, ...], message: str
) -> None:
    answer = dfrestore(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"dfrestore: {message}")


def test_a_task_that_is_only_trained_stands_in_the_help_of_training_alone(dfrestore) -> None:
    assert "inpaint, texture or detect" in " ".join(dfrestore("train", "--help").out.split())
    assert "texture" not in dfrestore("finetune", "--help").out
    assert "detect" not in dfrestore("finetune", "--help").out
    assert "texture" not in dfrestore("--help").out


@pytest.mark.parametrize(
    ("task", "channel"),
    [
        ("derain", "y"),
        ("denoise", "rgb"),
        ("deblur", "rgb"),
        ("dehaze", "rgb"),
        ("desnow", "y"),
        ("raindrop", "y"),
        ("defocus", "rgb"),
        (None, "y"),
    ],
)
def test_the_channel_follows_the_papers_of_the_task(task: str | None, channel: str) -> None:
    assert channel_of(task) == channel


def test_rain_falls_and_unknown_tasks_may_be_turned() -> None:
    assert is_upright("derain")
    assert not is_upright("denoise")
    assert not is_upright("unknown")


def test_names_as_a_reader_would_list_them() -> None:
    assert any_of(["rain"]) == "rain"
    assert any_of(["rain", "noise", "blur"]) == "rain, noise or blur"
    assert any_of(["rain", "noise"], "and") == "rain and noise"
    assert any_pair_folders().startswith("input/ with target/, lq/gt, rain/norain")
    assert pair_folders()[:2] == (("input", "target"), ("lq", "gt"))


@pytest.mark.parametrize(
    "command",
    [[], ["demist"], ["train"], ["finetune"], ["evaluate"], ["benchmark"], ["weights", "convert"]],
    ids=" ".join,
)
def test_a_new_task_stands_in_every_help(command: list[str]) -> None:
    answer = with_new_task(*command, "--help")
    assert answer.returncode == 0
    assert "demist" in answer.stdout
    if command and command[0] in ("train", "finetune", "evaluate"):
        assert "mist/nomist" in answer.stdout


def test_a_new_task_without_a_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    answer = with_new_task("demist", tmp_path / "a.png")
    assert (answer.returncode, answer.stdout) == (3, "")
    assert answer.stderr.startswith("dfrestore: there is no model for demist yet: give --model FILE")
    assert len(answer.stderr.splitlines()) == 1


@pytest.mark.parametrize("folders", ["hazy/clear", "hazy/GT", "Snow/Gt", "synthetic/gt", "data/gt", "source/target"])
def test_the_usual_folders_of_data_sets_are_pairs(make_photo, tmp_path: Path, folders: str) -> None:
    for name in folders.split("/"):
        make_photo(tmp_path / name / "1.png")
    assert [pair.name for pair in find_pairs(tmp_path).pairs] == ["1"]


def test_a_new_task_brings_its_folders_turns_channel_and_names(tmp_path: Path) -> None:
    for name in ("mist/misty-1.png", "nomist/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    answer = with_new_task(tmp_path, code=FACTS)
    assert answer.returncode == 0, answer.stderr
    name, channel, quarters, stem = json.loads(answer.stdout)
    assert (name, channel, quarters, stem) == ("misty-1", "rgb", 0, "a")
