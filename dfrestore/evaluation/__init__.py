"""Measuring restored pictures against clean ones: pairs of files, their scores, tables of them; and the HTML report.

The formulas are in ``metrics``; running a model is handed in as a function, so nothing here knows of networks. The
report's parts are imported on their own: ``shots`` (pictures), ``html`` (the page), ``page_file`` (its file).
"""

from __future__ import annotations

from dfrestore.evaluation.report import csv_text, header, json_line, json_totals, row, totals
from dfrestore.evaluation.score import (
    Convention,
    Distance,
    FileScore,
    Measured,
    Restore,
    Scores,
    Summary,
    evaluate_pairs,
    measure_pairs,
    summarise,
)

__all__ = [
    "Convention",
    "Distance",
    "FileScore",
    "Measured",
    "Restore",
    "Scores",
    "Summary",
    "csv_text",
    "evaluate_pairs",
    "header",
    "json_line",
    "json_totals",
    "measure_pairs",
    "row",
    "summarise",
    "totals",
]
