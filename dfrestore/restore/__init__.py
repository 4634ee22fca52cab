"""Restorer, Chain, Auto and Detection (the Python API), and runs over files and folders: what to take, where it goes,
what is done already, and the pictures beside a result: maps of uncertainty, comparison strips, traces.

Parsing of options and printing are the command line's; pixels, plans and tensors belong to ``photo`` and ``engine``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfrestore.restore.auto import Auto
    from dfrestore.restore.batch import run_batch
    from dfrestore.restore.chain import Chain
    from dfrestore.restore.detection import Detection, Findings
    from dfrestore.restore.finish import Finish
    from dfrestore.restore.planning import FilePlan, Job, plan_files
    from dfrestore.restore.restorer import Outcome, Restorer
    from dfrestore.restore.results import AutoSettings, ChainSettings, FileResult, Settings, Started
    from dfrestore.restore.todo import triage

__all__ = [
    "Auto",
    "AutoSettings",
    "Chain",
    "ChainSettings",
    "Detection",
    "FilePlan",
    "FileResult",
    "Findings",
    "Finish",
    "Job",
    "Outcome",
    "Restorer",
    "Settings",
    "Started",
    "plan_files",
    "run_batch",
    "triage",
]

# Imported on first use: planning needs no torch, the batch and the Restorer do.
_HOMES = {
    "FilePlan": "planning",
    "Job": "planning",
    "plan_files": "planning",
    "AutoSettings": "results",
    "ChainSettings": "results",
    "FileResult": "results",
    "Finish": "finish",
    "Settings": "results",
    "Started": "results",
    "run_batch": "batch",
    "triage": "todo",
    "Auto": "auto",
    "Chain": "chain",
    "Detection": "detection",
    "Findings": "detection",
    "Outcome": "restorer",
    "Restorer": "restorer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dfrestore.restore' has no attribute '{name}'")
    return getattr(import_module(f"dfrestore.restore.{_HOMES[name]}"), name)
