"""Measuring restored pictures against clean ones: pairs of files, their scores, tables of them; and the HTML report.

The formulas are in ``metrics``; running a model is handed in as a function, so nothing here knows of networks. The
report's parts are imported on their own: ``shots`` (pictures), ``html`` (the page), ``page_file`` (its file).
"""

from __future__ import annotations

from dfrestore.evaluation.pairs import LAYOUTS, Matching, Pair, find_pairs, match_folders
from dfrestore.evaluation.report import csv_text, header, json_line, json_totals, row, totals
from dfrestore.evaluation.score import (
    Convention,
    Distance,
    FileScore,
    Measured,
    Restore,
    Scores,
    Summary,
    default_channel,
    evaluate_pairs,
    measure_pairs,
    summarise,
)

__all__ = [
    "LAYOUTS",
    "Convention",
    "Distance",
    "FileScore",
    "Matching",
    "Measured",
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
    "measure_pairs",
    "row",
    "summarise",
    "totals",
]
