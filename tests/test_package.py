"""What is installed: one version, the files that must travel with the code, constraints that match the metadata."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import dfrestore

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = {
    canonicalize_name(name): Version(version)
    for name, _, version in (
        line.partition("==")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    )
}
EXAMPLES = sorted(p for p in (ROOT / "examples").rglob("*") if p.suffix in {".jpg", ".png", ".webp"})


def clean_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )


def test_metadata_and_module_tell_the_same_version() -> None:
    assert dfrestore.__version__ == PROJECT["version"]


def test_the_installed_metadata_is_that_of_this_source() -> None:
    try:
        installed = importlib.metadata.metadata("dfrestore")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("dfrestore is not installed here, only on the path")
    assert installed["Version"] == PROJECT["version"]
    assert installed["Requires-Python"] == ">=3.11"
    assert installed["License-Expression"] == "Apache-2.0"


def test_the_package_is_typed_and_carries_its_registry_and_weights() -> None:
    package = ROOT / "dfrestore"
    assert (package / "py.typed").is_file()
    assert (ROOT / "weights.toml").is_file()
    assert list((package / "bundled").glob("*.safetensors"))
    assert list((package / "training" / "presets").glob("*.toml"))


def test_importing_the_package_imports_neither_torch_nor_codecs() -> None:
    result = clean_python(
        "import sys, dfrestore; print([m for m in ('torch', 'PIL', 'imagecodecs') if m in sys.modules])"
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_metrics_and_evaluation_do_not_import_torch() -> None:
    result = clean_python("import sys, dfrestore.evaluation, dfrestore.metrics; print('torch' in sys.modules)")
    assert result.stdout.strip() == "False", result.stderr


@pytest.mark.parametrize("line", [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]])
def test_every_dependency_has_a_range_that_its_tested_version_meets(line: str) -> None:
    requirement = Requirement(line)
    assert requirement.specifier, "no lower bound"
    assert requirement.url is None
    assert PINS[canonicalize_name(requirement.name)] in requirement.specifier


def test_neither_torchvision_nor_basicsr_is_needed() -> None:
    extras = PROJECT["optional-dependencies"].values()
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]
    names = {canonicalize_name(Requirement(line).name) for line in lines}
    assert not names & {"torchvision", "basicsr", "pyiqa"}  # broken pins, private modules, a non-commercial licence


def test_constraints_are_exact_versions_without_hosts_or_local_builds() -> None:
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line), line


def test_the_examples_stay_below_two_and_a_half_megabytes() -> None:
    assert sum(path.stat().st_size for path in (ROOT / "examples").rglob("*") if path.is_file()) < 2_500_000


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_example_picture_has_its_source_and_licence_in_the_list(path: Path) -> None:
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert path.name in text
