"""What the help pages of ``weights`` show can be typed as it stands; those that need the network are left out."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer

from dfrestore.cli.weights import app

PARITY = Path(__file__).parents[1] / "data" / "parity"
PAGES = ("", *(str(command.name) for command in app.registered_commands))
Run = Callable[..., Answer]


def needs_the_network(words: list[str]) -> bool:
    return any("hf://" in word for word in words) or ("publish" in words and "--dry-run" not in words)


@pytest.mark.parametrize("page", PAGES)
def test_every_example_of_a_page_works(
    page: str, dfrestore: Run, tmp_path: Path, identity_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("runs/try/model.safetensors", "model.safetensors"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(identity_model, tmp_path / name)
    shutil.copy(PARITY / "cfg_a.pth", tmp_path / "net_g_derain_fine.pth")
    shutil.copy(Path(__file__).parents[2] / "examples" / "rainy_coffee.jpg", tmp_path / "rainy.jpg")
    monkeypatch.setenv("DFRESTORE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)

    examples = commands_shown(dfrestore("weights", *filter(None, [page]), "--help").out)
    assert examples
    for words in examples:
        if not needs_the_network(words):
            answer = dfrestore(*words)
            assert answer.code == 0, (words, answer.err)


def commands_shown(page: str) -> list[list[str]]:
    """The words after ``dfrestore`` of each line below ``Examples:``, also where the shell is to take its output."""
    lines = page.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()
    return [shlex.split(re.sub(r'.*"\$\((.*)\)".*', r"\1", line))[1:] for line in lines]
