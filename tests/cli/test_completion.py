"""Completion as bash, zsh and fish ask for it: through environment variables, in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cost import ROOT, light_cost

from dfrestore.cli.options import (
    DEVICE_NAMES,
    FORMAT_NAMES,
    complete_presets,
    complete_tasks,
    complete_trained_tasks,
)
from dfrestore.devices import DEVICES
from dfrestore.photo import FORMATS, normal_format
from dfrestore.tasks import TASKS, restoring_tasks
from dfrestore.training.settings import list_presets

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="counts CPU seconds with getrusage")


def answered(*arguments: str, **variables: str) -> str:
    """What the command prints under these variables; it must be light."""
    found = light_cost(*arguments, **variables)
    assert found.code == 0
    return found.out


def bash(line: str) -> list[str]:
    words = str(len(line.split()) - (not line.endswith(" ")))
    return answered(_DFRESTORE_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=words).split()


def zsh(line: str) -> list[str]:
    text = answered(_DFRESTORE_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=line)
    return [entry.split('"')[1] for entry in text.partition("((")[2].splitlines()]


def fish(line: str) -> list[str]:
    text = answered(
        _DFRESTORE_COMPLETE="complete_fish", _TYPER_COMPLETE_FISH_ACTION="get-args", _TYPER_COMPLETE_ARGS=line
    )
    return [entry.split("\t")[0] for entry in text.splitlines()]


SHELLS = pytest.mark.parametrize("shell", [bash, zsh, fish])


@SHELLS
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dfrestore der", {"derain"}),
        ("dfrestore weights pu", {"publish"}),
        ("dfrestore derain --over", {"--overwrite"}),
        ("dfrestore derain --model comp", {"compact"}),
        ("dfrestore train den", {"denoise"}),
        ("dfrestore train --preset fi", {"finetune"}),
        ("dfrestore degrade ra", {"rain"}),
        ("dfrestore derain --format t", {"tiff"}),
    ],
)
def test_commands_options_models_tasks_presets_kinds_and_formats_are_completed_at_once(
    shell: Callable[[str], list[str]], line: str, expected: set[str]
) -> None:
    assert set(shell(line)) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dfrestore derain --device c", {"cpu", "cuda", "cuda:0"}),
        ("dfrestore evaluate --precision b", {"bf16"}),
        ("dfrestore evaluate --channel ", {"y", "rgb"}),
        ("dfrestore evaluate --lpips-net v", {"vgg"}),
        ("dfrestore evaluate --task ", set(restoring_tasks())),
        ("dfrestore train te", {"texture"}),
        ("dfrestore te", set()),
        ("dfrestore weights convert --task te", set()),
        ("dfrestore weights list --task te", {"texture"}),
        ("dfrestore benchmark --preset fi", {"finetune"}),
        ("dfrestore degrade noise --preset s", {"sensor"}),
        ("dfrestore degrade rain photos --preset s", {"storm"}),
        ("dfrestore weights card derain/", {"derain/compact"}),
        ("dfrestore weights card c", set()),  # several tasks have one of that name
        ("dfrestore weights card --task derain c", {"compact"}),
        ("dfrestore derain --model ", {"compact", "derain/compact"}),
        ("dfrestore upscale --model ", {"compact", "upscale/compact", "x2", "upscale/x2"}),
        ("dfrestore benchmark deblur --model ", {"compact", "deblur/compact"}),
        ("dfrestore evaluate --task denoise --model ", {"compact", "denoise/compact"}),
        ("dfrestore evaluate denoise --model ", {"compact", "denoise/compact"}),
        (
            "dfrestore finetune --model de",
            {f"{task}/compact" for task in ("derain", "denoise", "deblur", "dejpeg", "dehaze", "desnow", "defocus")}
            | {f"{task}/dtpm-compact" for task in ("dehaze", "desnow", "defocus")},
        ),
        ("dfrestore train inpaint --init-from ", {"compact", "inpaint/compact"}),
        ("dfrestore detect --model ", {"compact", "detect/compact"}),
        ("dfrestore auto --detector ", {"compact", "detect/compact"}),
        ("dfrestore auto --only derain,den", {"derain,denoise"}),
        ("dfrestore derain --window ", {"global"}),
    ],
)
def test_values_of_other_options_are_completed_too(line: str, expected: set[str]) -> None:
    assert set(bash(line)) == expected


def test_models_of_the_user_are_completed_and_a_base_where_a_base_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DFRESTORE_CONFIG_DIR", str(tmp_path))
    tables = [
        f'[models."{name}"]\ntask = "{name.partition("/")[0]}"\nmethod = "dtpm"\nsource = "mine.safetensors"\n'
        for name in ("derain/mine", "texture/prior")
    ]
    (tmp_path / "weights.toml").write_text("\n".join(tables))
    assert bash("dfrestore derain --model ") == ["compact", "derain/compact", "derain/mine", "mine"]
    assert bash("dfrestore train derain --base ") == ["texture/compact", "texture/prior"]
    assert "texture/prior" not in bash("dfrestore evaluate --model ")


def test_where_no_name_fits_the_shell_goes_on_with_files() -> None:
    assert bash("dfrestore derain photo") == []
    assert "-o default" in answered(_DFRESTORE_COMPLETE="source_bash")
    assert answered(_DFRESTORE_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="dfrestore derain ph").strip() == "_files"


def test_the_names_known_to_completion_are_those_of_the_code() -> None:
    assert {normal_format(name) for name in FORMAT_NAMES} == set(FORMATS)
    assert {name.partition(":")[0] for name in DEVICE_NAMES} == set(DEVICES)
    assert complete_presets("") == sorted(list_presets())
    assert complete_tasks("") == list(restoring_tasks())
    assert complete_trained_tasks("") == list(TASKS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_show_completion_prints_the_script_of_the_shell(shell: str) -> None:
    script = answered("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert f"_DFRESTORE_COMPLETE=complete_{shell}" in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_install_completion_makes_bash_complete(tmp_path: Path) -> None:
    answered("--install-completion", "bash", HOME=str(tmp_path), _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    command = tmp_path / "bin" / "dfrestore"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m dfrestore "$@"\n')
    command.chmod(0o755)
    # what bash does at the key Tab
    asked = (
        "source ~/.bashrc; COMP_WORDS=(dfrestore degrade ra); COMP_CWORD=2; _dfrestore_completion dfrestore; "
        'echo "${COMPREPLY[*]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", asked],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path), "PATH": f"{command.parent}:{os.environ['PATH']}"},
    )
    assert done.stdout.strip() == "rain"
