"""``dfrestore info``: versions, devices, models; what to paste into a bug report."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfrestore import strict_json
from dfrestore.errors import DfrestoreError, StartError, one_line
from dfrestore.version import __version__

if TYPE_CHECKING:
    from dfrestore.weights import Registry

_LIBRARIES = (
    "torch",
    "numpy",
    "pillow",
    "imagecodecs",
    "tifffile",
    "safetensors",
    "huggingface-hub",
    "typer",
)


def info(
    self_test: Annotated[
        bool,
        typer.Option("--self-test", help="Restore a small picture on each device; exit code 1 if one fails."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show versions, devices and models of this installation.

    Also where your own weights.toml belongs. That file is checked: the exit code is 3 where it, or a file that it
    names, cannot be used.

    \b
    Examples:
      dfrestore info
      dfrestore info --self-test
    """
    facts: dict[str, Any] = {
        "dfrestore": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "devices": list(_devices()),
        **_registry(),
    }
    broken = facts["weights.toml"]["error"] is not None
    failed = 0
    if self_test:
        facts["self-test"], failed = _tested()
    if as_json:
        print(strict_json.dumps(facts))
    else:
        _show(facts)
    if failed or broken:
        raise typer.Exit(1 if failed else StartError.exit_code)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _devices() -> list[dict[str, str]]:
    from dfrestore.benchmark.selftest import devices
    from dfrestore.engine import choose_device, choose_precision

    rows = []
    for name in devices():
        device = choose_device(name)
        precision = choose_precision("auto", device)
        rows.append({"name": name, "what": device.reason, "precision": f"{precision.name} ({precision.reason})"})
    return rows


def _registry() -> dict[str, Any]:
    """The models, and the state of the user's registry; where that is broken, the package's own models."""
    from dfrestore.weights import load_registry
    from dfrestore.weights.registry import user_file

    error = None
    try:
        registry = load_registry()
        error = _missing(registry)
    except DfrestoreError as broken:
        error = str(broken)
        registry = load_registry(user=False)
    models = [
        {"name": entry.name, "source": entry.source, "default": registry.defaults.get(entry.task) == entry.name}
        for entry in registry.models.values()
    ]
    path = user_file()
    return {"models": models, "weights.toml": {"path": str(path), "exists": path.is_file(), "error": error}}


def _missing(registry: Registry) -> str | None:
    """The first model of the user's whose file is not where the registry says."""
    for entry in registry.models.values():
        if not entry.packaged and entry.local_path is not None and not entry.local_path.is_file():
            return f"{entry.registry}: '{entry.name}' names {entry.local_path}, which is missing"
    return None


def _tested() -> tuple[list[dict[str, Any]], int]:
    from dfrestore.benchmark.selftest import self_test

    rows = []
    failed = 0
    for check in self_test():
        failed += not check.passed
        rows.append(
            {
                "device": check.device,
                "precision": check.precision,
                "passed": check.passed,
                "difference": check.difference,
                "error": check.error,
            }
        )
    return rows, failed


def _show(facts: dict[str, Any]) -> None:
    print(f"dfrestore {facts['dfrestore']}, Python {facts['python']}, {facts['system']}")
    print(", ".join(f"{name} {number or 'missing'}" for name, number in facts["libraries"].items()))
    for row in facts["devices"]:
        print(f"device {row['name']}: {row['what']}; precision {row['precision']}")
    for row in facts["models"]:
        print(one_line(f"model {row['name']}{' (default)' if row['default'] else ''}: {row['source']}"))
    if not facts["models"]:
        print("no models registered")
    own = facts["weights.toml"]
    state = "has an error" if own["error"] else "in use" if own["exists"] else "not there, and not needed"
    print(one_line(f"your weights.toml: {own['path']} ({state})"))
    if own["error"]:
        print(f"dfrestore: {one_line(own['error'])}", file=sys.stderr)
    for row in facts.get("self-test", ()):
        found = row["error"] or f"largest difference {row['difference']:.2g}"
        verdict = "ok" if row["passed"] else "FAILED"
        print(one_line(f"self-test {row['device']} {row['precision']}: {verdict} ({found})"))
