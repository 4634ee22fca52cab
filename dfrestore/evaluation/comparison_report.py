"""Comparisons of models as text: an aligned table, CSV, or one JSON object a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dfrestore.evaluation.bootstrap import LEAST, LEVEL, RESAMPLES, SEED
from dfrestore.evaluation.comparison import (
    IN_DB,
    LETTERS,
    ComparisonSummary,
    Difference,
    FileComparison,
    change,
    values,
)
from dfrestore.evaluation.report import SECONDS, dump, key, mean_label, mean_score, record_of, table_line
from dfrestore.evaluation.score import Convention, FileScore, Scores

INTERVALS = (
    f"{100 * LEVEL:.0f} % intervals: percentile bootstrap of the mean difference over pictures, paired, "
    f"{RESAMPLES:,} resamples, seed {SEED}"
)


def minus(number: int) -> str:
    """``B-A``: the name of the difference between model ``number`` (from 1) and the first one."""
    return f"{LETTERS[number]}-{LETTERS[0]}"


def header(width: int, convention: Convention, models: int) -> str:
    """The table's first line; ``width``: of the column of names."""
    titles = columns(convention, models)
    return table_line("picture", width, titles, titles)


def row(comparison: FileComparison, width: int, convention: Convention, models: int) -> str:
    """One picture's line, its numbers or its error."""
    if comparison.error is not None or comparison.input is None:
        return f"{comparison.name:<{width}}  failed: {comparison.error}"
    results = comparison.results
    changes = [change(results[0], result) for result in results[1:]]
    cells = _cells(comparison.input, results, changes, [score.seconds for score in comparison.scores])
    return table_line(comparison.name, width, cells, columns(convention, models))


def totals(summary: ComparisonSummary, convention: Convention, width: int, labels: Sequence[str]) -> str:
    """The means, which model is which, the differences with their intervals, and the convention.

    labels: what each model is, in words.
    """
    models = len(labels)
    lines = []
    first, results = summary.models[0].input, [one.result for one in summary.models if one.result is not None]
    if first is not None:
        changes = [{one.title: one.mean for one in differences} for differences in summary.differences]
        cells = _cells(first, results, changes, [one.seconds for one in summary.models])
        label = mean_label(summary.count, summary.failed)
        lines.append(table_line(label, width, cells, columns(convention, models)))
    lines += [f"{letter}: {label}" for letter, label in zip(LETTERS, labels, strict=False)]
    for number, differences in enumerate(summary.differences, 1):
        titles = max(len(difference.title) for difference in differences)
        lines += (
            f"{LETTERS[number]} - {LETTERS[0]}: {difference.title:<{titles}}  {verdict(difference, number, summary)}"
            for difference in differences
        )
    lines.append(convention.describe() + "; mean over pictures")
    if summary.count >= LEAST:
        lines.append(INTERVALS)
    return "\n".join(lines)


def verdict(difference: Difference, number: int, summary: ComparisonSummary) -> str:
    """``+0.13 dB, 95 % interval +0.02 to +0.25: B is better``, or why there is no such thing."""
    if difference.mean is None:
        return "has no mean, for a result equals its target"
    unit = " dB" if difference.title in IN_DB else ""
    mean = f"{_signed(difference.title, difference.mean)}{unit}"
    if difference.interval is None:
        return f"{mean} (with fewer than {LEAST} pictures an interval is not meaningful)"
    low, high = (_signed(difference.title, end) for end in difference.interval)
    better = {1: f"{LETTERS[number]} is better", -1: f"{LETTERS[0]} is better", 0: "no clear difference"}
    return f"{mean}, {100 * LEVEL:.0f} % interval {low} to {high}{unit}: {better[difference.better]}"


def columns(convention: Convention, models: int) -> tuple[str, ...]:
    """Titles of the columns of numbers: each metric of the input, of each model, and the differences; then seconds."""
    letters = LETTERS[:models]
    sides = ("input", *letters, *(minus(number) for number in range(1, models)))
    metrics = list(values(_blank(convention)))
    return (*(f"{side} {title}" for title in metrics for side in sides), *(f"{letter} {SECONDS}" for letter in letters))


def csv_text(comparisons: Sequence[FileComparison], summary: ComparisonSummary, convention: Convention) -> str:
    """All numbers as CSV: a line per picture, the means, and the lower and upper ends of the intervals."""
    models = len(summary.models)
    letters = [letter.lower() for letter in LETTERS[:models]]
    sides = ["input", *letters, *(minus(number).lower() for number in range(1, models))]
    metrics = [_field(title) for title in values(_blank(convention))]
    fields = ["name", *(f"{side}_{metric}" for metric in metrics for side in sides)]
    fields += [*(f"{letter}_{SECONDS}" for letter in letters), "error", "convention"]
    out = io.StringIO()
    writer = csv.DictWriter(out, fields, lineterminator="\n")
    writer.writeheader()
    for record in (*map(_flat, comparisons), *_flat_ends(summary)):
        writer.writerow({**record, "convention": convention.describe()})
    return out.getvalue()


def json_line(comparison: FileComparison) -> str:
    """One picture as a JSON object. PSNR is null where it is infinite, and ``identical`` is true then."""
    record: dict[str, Any] = {"name": comparison.name}
    if comparison.scores:
        record |= _of_input(comparison.scores[0])
        record["models"] = {letter: _of_model(score) for letter, score in zip(LETTERS, comparison.scores, strict=False)}
        record["differences"] = {
            minus(number): _changes(comparison, number) for number in range(1, len(comparison.scores))
        }
    if comparison.error is not None:
        record["error"] = comparison.error
    if comparison.notes:
        record["warnings"] = list(comparison.notes)
    return dump(record)


def json_totals(
    summary: ComparisonSummary, convention: Convention, models: Sequence[Mapping[str, Any]], about: Mapping[str, Any]
) -> str:
    """The last JSON object: means, differences with their intervals, counts, the convention.

    models: what is told of each; about: of all of them.
    """
    means = [mean_score(one) for one in summary.models]
    record = {"name": "mean", **_of_input(means[0])}
    record["models"] = {
        letter: {**told, **_of_model(mean, identical=False)}
        for letter, told, mean in zip(LETTERS, models, means, strict=False)
    }
    record["differences"] = {
        minus(number): {_field(difference.title): _interval(difference) for difference in differences}
        for number, differences in enumerate(summary.differences, 1)
    }
    record["interval"] = {"level": LEVEL, "resamples": RESAMPLES, "seed": SEED, "least_pictures": LEAST}
    record |= {"pictures": summary.count, "failed": summary.failed, "channel": convention.channel}
    record |= {"rounded": convention.rounded, "border": convention.border, "convention": convention.describe()}
    if convention.scale > 1:
        record["scale"] = convention.scale
    return dump(record | dict(about))


def _interval(difference: Difference) -> dict[str, Any]:
    low, high = difference.interval or (None, None)
    clear = None if difference.interval is None else difference.better != 0
    return {"mean": difference.mean, "low": low, "high": high, "clear": clear}


def _of_input(score: FileScore) -> dict[str, Any]:
    return {name: value for name, value in record_of(score).items() if name.startswith("input_")}


def _of_model(score: FileScore, *, identical: bool = True) -> dict[str, Any]:
    left_out = {"name", "warnings", *([] if identical else ["identical"])}
    record = record_of(score)
    return {name: value for name, value in record.items() if name not in left_out and not name.startswith("input_")}


def _changes(comparison: FileComparison, number: int) -> dict[str, float]:
    found = change(comparison.results[0], comparison.results[number])
    return {_field(title): value for title, value in found.items()}


def _flat(comparison: FileComparison) -> dict[str, Any]:
    """One picture's line of CSV."""
    record: dict[str, Any] = {"name": comparison.name}
    if comparison.error is not None:
        return record | {"error": comparison.error}
    if comparison.input is not None:
        record |= _side("input", comparison.input)
    for letter, score in zip(LETTERS.lower(), comparison.scores, strict=False):
        if score.result is not None:
            record |= _side(letter, score.result) | {f"{letter}_{SECONDS}": score.seconds}
    for number in range(1, len(comparison.scores)):
        side = minus(number).lower()
        record |= {f"{side}_{name}": value for name, value in _changes(comparison, number).items()}
    return record


def _flat_ends(summary: ComparisonSummary) -> Iterator[dict[str, Any]]:
    """The lines of the means, and of the lower and upper ends of the intervals."""
    mean: dict[str, Any] = {"name": "mean"}
    low, high = {"name": "interval low"}, {"name": "interval high"}
    if summary.models[0].input is not None:
        mean |= _side("input", summary.models[0].input)
    for letter, one in zip(LETTERS.lower(), summary.models, strict=False):
        if one.result is not None:
            mean |= _side(letter, one.result) | {f"{letter}_{SECONDS}": one.seconds}
    for number, differences in enumerate(summary.differences, 1):
        for difference in differences:
            name = f"{minus(number).lower()}_{_field(difference.title)}"
            ends = _interval(difference)
            for record, end in ((mean, "mean"), (low, "low"), (high, "high")):
                record[name] = ends[end]
    yield from (mean, low, high)


def _side(side: str, scores: Scores) -> dict[str, float]:
    return {f"{side}_{_field(title)}": value for title, value in values(scores).items()}


def _field(title: str) -> str:
    """A metric's name in JSON and CSV."""
    return {"hole": "psnr_hole"}.get(title, key(title))


def _blank(convention: Convention) -> Scores:
    """Scores with the convention's metrics, for their titles."""
    return Scores(0.0, 0.0, dict.fromkeys(convention.titles, 0.0), 0.0 if convention.hole else None)


def _cells(
    first: Scores,
    results: Sequence[Scores],
    changes: Sequence[Mapping[str, float | None]],
    seconds: Sequence[float | None],
) -> tuple[str, ...]:
    sides = [values(first), *map(values, results)]
    cells = []
    for title in sides[0]:
        cells += [f"{side[title]:.{_decimals(title)}f}" for side in sides]
        cells += ["-" if (value := one[title]) is None else _signed(title, value) for one in changes]
    return (*cells, *("" if one is None else f"{one:.2f}" for one in seconds))


def _signed(title: str, value: float) -> str:
    return f"{value:+.{_decimals(title)}f}"


def _decimals(title: str) -> int:
    return 2 if title in IN_DB else 4
