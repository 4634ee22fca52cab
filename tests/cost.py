"""What a command line costs before it does any work: the modules it brings in, and CPU time beside Typer's own.

Seconds depend on the processor. So the yardstick is a Typer program of a few lines that reads a command, or
completes one for the same shell; both with compiled modules, as an installed package has them.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "numpy", "PIL", "rich", "matplotlib")
MOST = 1.5  # times the yardstick
TRIES = 5  # both are measured anew: another program may have slowed one of them

_END = f"""
import json, resource, sys
usage = resource.getrusage(resource.RUSAGE_SELF)
heavy = [name for name in {HEAVY} if name in sys.modules]
print("COST" + json.dumps([code, heavy, usage.ru_utime + usage.ru_stime]), file=sys.stderr)
"""
_OURS = "import sys\nfrom dfrestore.cli import main\ncode = main(sys.argv[1:])" + _END
_SMALL = (
    """
import typer
app = typer.Typer(rich_markup_mode=None)
@app.command()
def derain(photo: str, steps: int = 4):
    "Removes rain."
@app.command()
def deblur(photo: str):
    "Removes blur."
code = 0
try:
    app(prog_name="dfrestore")
except SystemExit as end:
    code = end.code
"""
    + _END
)


@dataclass(frozen=True)
class Cost:
    """The exit ``code``, what it printed, the modules of ``HEAVY`` it brought in, CPU ``seconds``."""

    code: int
    out: str
    heavy: list[str]
    seconds: float


def cost(*arguments: str, **variables: str) -> Cost:
    """Of ``dfrestore`` with these arguments and environment variables, in a fresh interpreter."""
    return _measured(_OURS, arguments, variables)


def light_cost(*arguments: str, **variables: str) -> Cost:
    """:func:`cost` of a command that must be instant: nothing heavy, less than ``MOST`` times the yardstick's time."""
    asked = variables.get("_DFRESTORE_COMPLETE", "")
    shell = asked if asked.startswith("complete_") else ""
    ratios: list[float] = []
    for turn in range(TRIES):
        found = cost(*arguments, **variables)
        assert {*found.heavy} <= {"rich"}  # Typer's, in zsh and fish
        ratios.append(found.seconds / (_first_yardstick(shell) if turn == 0 else _yardstick(shell)))
        if ratios[-1] < MOST:
            return found
    raise AssertionError(f"takes {min(ratios):.2f} times the CPU time of a small Typer program; less than {MOST} asked")


def _yardstick(shell: str) -> float:
    """CPU seconds of the small program: it reads a command, or completes one for ``shell``."""
    if not shell:
        return _measured(_SMALL, ("derain", "photo.jpg"), {}).seconds
    line = {"_TYPER_COMPLETE_ARGS": "dfrestore der", "COMP_WORDS": "dfrestore der", "COMP_CWORD": "1"}
    action = {"_DFRESTORE_COMPLETE": shell, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    return _measured(_SMALL, (), line | action).seconds


@cache
def _first_yardstick(shell: str) -> float:
    _yardstick(shell)  # compiles what it imports
    return _yardstick(shell)


def _measured(program: str, arguments: tuple[str, ...], variables: dict[str, str]) -> Cost:
    known = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**known, "PYTHONPYCACHEPREFIX": _compiled(), **variables},
    )
    code, heavy, seconds = json.loads(done.stderr.rpartition("COST")[2])
    return Cost(code, done.stdout, heavy, seconds)


@cache
def _compiled() -> str:
    """A folder for compiled modules, filled by what runs first."""
    folder = tempfile.mkdtemp(prefix="dfrestore-compiled-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
