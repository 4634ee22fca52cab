"""What messages tell a user to install exists under that name, and is what our own metadata asks for."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from dfrestore.optional_packages import PACKAGES, pip_install

ROOT = Path(__file__).parents[1]


def test_the_packages_of_each_extra_are_those_of_the_metadata() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name != "dev"}
    assert {name: tuple(Requirement(line).name for line in lines) for name, lines in extras.items()} == dict(PACKAGES)


def test_several_extras_are_one_command() -> None:
    assert pip_install("heic") == "pip install pillow-heif"
    assert pip_install("heic", "raw", "heic") == "pip install pillow-heif rawpy"


def test_no_message_names_a_package_that_is_on_no_index() -> None:
    sources = [path for path in (ROOT / "dfrestore").rglob("*.py") if "dfrestore[" in path.read_text(encoding="utf-8")]
    assert sources == []
