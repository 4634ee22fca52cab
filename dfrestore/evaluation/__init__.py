"""Measuring restored pictures against clean ones: pairs of files, their scores, tables of them; and the HTML report.

The formulas are in ``metrics``; running a model is handed in as a function, so nothing here knows of networks. The
parts of the report and of comparisons of models are imported on their own: ``shots`` (pictures), ``html`` (the page),
``page_file`` (its file), ``comparison``; and so is ``made`` (pairs made from clean pictures), which needs torch.
"""

from __future__ import annotations

from dfrestore.evaluation.cases import Case, Open, open_hollowed, open_pair
from dfrestore.evaluation.comparison import compare_pairs
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
    "Case",
    "Convention",
    "Distance",
    "FileScore",
    "Measured",
    "Open",
    "Restore",
    "Scores",
    "Summary",
    "compare_pairs",
    "csv_text",
    "evaluate_pairs",
    "header",
    "json_line",
    "json_totals",
    "measure_pairs",
    "open_hollowed",
    "open_pair",
    "row",
    "summarise",
    "totals",
]
