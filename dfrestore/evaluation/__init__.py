"""Measuring restored pictures against clean ones: pairs of files, their scores, tables of them.

The formulas are in ``metrics``; running a model is handed in as a function, so nothing here knows of networks.
"""

from __future__ import annotations

from dfrestore.evaluation.pairs import LAYOUTS, Matching, Pair, find_pairs, match_folders
from dfrestore.evaluation.report import csv_text, header, json_line, json_totals, row, totals
from dfrestore.evaluation.score import (
    Convention,
    FileScore,
    Restore,
    Scores,
    Summary,
    default_channel,
    evaluate_pairs,
    summarise,
)

__all__ = [
    "LAYOUTS",
    "Convention",
    "FileScore",
    "Matching",
    "Pair",
    "Restore",
    "Scores",
    "Summary",
    "csv_text",
    "default_channel",
    "evaluate_pairs",
    "find_pairs",
    "header",
    "json_line",
    "json_totals",
    "match_folders",
    "row",
    "summarise",
    "totals",
]
