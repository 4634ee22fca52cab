"""Options that the training commands share: type and help, and the parsing of their values.

An option whose help differs between commands stands with its command.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dfrestore.cli.options import DEVICE_NAMES, completer, known_device
from dfrestore.errors import UsageError
from dfrestore.tasks import any_pair_folders

Clean = Annotated[
    list[Path] | None,
    typer.Option(metavar="FOLDER", help="Folder of clean photos; pairs are made on the fly. Repeatable."),
]
Data = Annotated[
    list[Path] | None,
    typer.Option(metavar="FOLDER", help=f"Folder of pairs: {any_pair_folders()}, at any depth. Repeatable."),
]
Run = Annotated[
    Path | None,
    typer.Option("--run", "-o", metavar="FOLDER", help="The run folder; it is made, and must not hold another run."),
]
Resume = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Continue the run in this folder, bit for bit.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, e.g. --set stages.last.lr=1e-4. Repeatable."),
]
Minutes = Annotated[
    float | None,
    typer.Option(metavar="M", help="Measure the speed first, then fix a schedule that ends within these minutes."),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="auto, cpu, cuda, cuda:N.",
        callback=known_device,
        autocompletion=completer(*DEVICE_NAMES),
    ),
]
Threads = Annotated[int, typer.Option(min=0, metavar="N", help="CPU threads; 0: torch's choice.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")]


def require_minutes(minutes: float | None, resume: Path | None) -> None:
    """Raise UsageError for an impossible ``--minutes``."""
    if minutes is not None and resume:
        raise UsageError("--minutes fixes the schedule of a new run; a resumed one keeps its own")
    if minutes is not None and minutes <= 0:
        raise UsageError(f"--minutes {minutes:g} is not a time to train in")


def parse_shares(texts: Sequence[str], coarse_share: float | None, minutes: float | None) -> dict[str, float]:
    """``["fine=0.8"]`` -> ``{"fine": 0.8}``; ``coarse_share`` is the value of the older option. Raises UsageError."""
    from dfrestore.training.old_config import shares_of

    shares = {} if coarse_share is None else shares_of(coarse_share)
    for text in texts:
        name, _, part = text.partition("=")
        try:
            shares[name.strip()] = float(part)
        except ValueError:
            raise UsageError(f"--share {text}: expected STAGE=PART with a part from 0 to 1") from None
    if shares and minutes is None:
        raise UsageError("--share divides the time that --minutes gives; give both")
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise UsageError(f"--share {name}={value:g} is not a part from 0 to 1 of the time that --minutes gives")
    return shares


def overrides(settings: list[str]) -> dict[str, Any]:
    """``["optim.ema=0.99"]`` -> ``{"optim": {"ema": 0.99}}``; values are TOML, bare words are text."""
    out: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {setting}: expected KEY=VALUE, e.g. optim.ema=0.99")
        try:
            value = tomllib.loads(f"v = {text}")["v"]
        except (ValueError, RecursionError):
            value = text
        *tables, name = key.strip().split(".")
        table = out
        for part in tables:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise UsageError(f"--set {setting}: {part} is a value, not a table")
        table[name] = value
    return out
