"""What ``dfrestore evaluate`` prints: a row a picture as it comes, and the means at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dfrestore.cli.comparison import labels
from dfrestore.cli.evaluation_page import S
from dfrestore.errors import one_line

if TYPE_CHECKING:
    from dfrestore.evaluation import Convention, FileScore
    from dfrestore.evaluation.comparison import FileComparison


def print_scores(
    scores: Iterable[FileScore], convention: Convention, width: int, restored: bool, form: str, about: dict[str, Any]
) -> int:
    """Print each score, and the means; returns how many pictures failed.

    form: ``json``, ``csv``, or empty for a table. about: what is told beside the numbers.
    """
    from dfrestore.evaluation import csv_text, header, json_line, json_totals, row, summarise, totals

    if not form:
        print(header(width, restored, convention.titles, convention.hole))
    done = _printed(scores, form, json_line, lambda score: row(score, width, restored))
    summary = summarise(done)
    if form == "json":
        print(json_totals(summary, convention, about))
    elif form == "csv":
        print(csv_text(done, summary, convention), end="")
    else:
        print(totals(summary, convention, width, restored))
    return summary.failed


def print_comparisons(
    comparisons: Iterable[FileComparison],
    convention: Convention,
    width: int,
    form: str,
    own: Sequence[Mapping[str, Any]],
    about: Mapping[str, Any],
) -> int:
    """:func:`print_scores` of several models, and their differences. own: what is told of each; about: of all."""
    from dfrestore.evaluation.comparison import summarise_comparison
    from dfrestore.evaluation.comparison_report import csv_text, header, json_line, json_totals, row, totals

    models = len(own)
    if not form:
        print(header(width, convention, models))
    done = _printed(comparisons, form, json_line, lambda one: row(one, width, convention, models))
    summary = summarise_comparison(done, models)
    if form == "json":
        print(json_totals(summary, convention, own, about))
    elif form == "csv":
        print(csv_text(done, summary, convention), end="")
    else:
        print(totals(summary, convention, width, labels(own, about["seed"])))
    return summary.failed


def _printed(scores: Iterable[S], form: str, json_line: Callable[[S], str], row: Callable[[S], str]) -> list[S]:
    done = []
    for score in scores:
        done.append(score)
        if score.error is not None and (form or not sys.stdout.isatty()):  # a terminal shows it in the table
            print(f"{one_line(score.name)}: {score.error}", file=sys.stderr)
        for note in score.notes:
            print(f"{one_line(score.name)}: {one_line(note)}", file=sys.stderr)
        if form == "json":
            print(json_line(score), flush=True)
        elif not form:
            print(row(score), flush=True)
    return done
