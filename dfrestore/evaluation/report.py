"""Scores as text: an aligned table, CSV, or one JSON object a line."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dfrestore import strict_json
from dfrestore.evaluation.score import Convention, FileScore, Scores, Summary, gain

# Columns after the name. The short table is for pictures that are restored already.
SHORT = ("PSNR", "SSIM")
LONG = ("input PSNR", "PSNR", "gain", "input SSIM", "SSIM")
HOLE = "hole"
SECONDS = "seconds"


def columns(restored: bool, others: Sequence[str] = (), hole: bool = False) -> tuple[str, ...]:
    """Titles of the columns of scores; others: titles of distances; hole: PSNR inside of it is measured too."""
    more = [HOLE, *others] if hole else others
    if not restored:
        return (*SHORT, *more)
    return (*LONG, *(title for other in more for title in (f"input {other}", other)))


def header(width: int, restored: bool, others: Sequence[str] = (), hole: bool = False) -> str:
    """The table's first line; ``width``: of the column of names; ``restored``: a restoration was run.

    others, hole: as of :func:`columns`.
    """
    titles = _titles(restored, others, hole)
    return table_line("picture", width, titles, titles)


def row(score: FileScore, width: int, restored: bool) -> str:
    """One picture's line, its numbers or its error."""
    if score.result is None:
        return f"{score.name:<{width}}  failed: {score.error}"
    cells = _cells(score.result, score.input, score.seconds, restored)
    titles = _titles(restored, tuple(score.result.others), score.result.hole is not None)
    return table_line(score.name, width, cells, titles)


def totals(summary: Summary, convention: Convention, width: int, restored: bool) -> str:
    """The means, and the convention that they were made with."""
    lines = []
    if summary.result is not None:
        cells = _cells(summary.result, summary.input, summary.seconds, restored)
        titles = _titles(restored, convention.titles, convention.hole)
        lines.append(table_line(mean_label(summary.count, summary.failed), width, cells, titles))
    lines.append(convention.describe() + "; mean over pictures")
    return "\n".join(lines)


def csv_text(scores: Sequence[FileScore], summary: Summary, convention: Convention) -> str:
    """All scores as CSV: a line per picture, then the means; the convention has a column of its own."""
    out = io.StringIO()
    keys = [*(["psnr_hole"] if convention.hole else []), *map(key, convention.titles)]
    fields = ["name", "psnr", "ssim", *keys, "input_psnr", "input_ssim", *(f"input_{name}" for name in keys)]
    fields += ["gain", "seconds", "error", "convention"]
    writer = csv.DictWriter(out, fields, lineterminator="\n")
    writer.writeheader()
    for score in [*scores, mean_score(summary)]:
        record = {name: value for name, value in record_of(score).items() if name in fields}
        writer.writerow({**record, "convention": convention.describe()})
    return out.getvalue()


def json_line(score: FileScore) -> str:
    """One picture as a JSON object. PSNR is null where it is infinite, and ``identical`` is true then."""
    return dump(record_of(score))


def json_totals(summary: Summary, convention: Convention, about: Mapping[str, Any]) -> str:
    """The last JSON object: means, counts, the convention, and ``about`` (task, model, steps, ...)."""
    mean = record_of(mean_score(summary))
    record = {name: value for name, value in mean.items() if name not in ("error", "identical")}
    record |= {"pictures": summary.count, "failed": summary.failed, "channel": convention.channel}
    record |= {"rounded": convention.rounded, "border": convention.border, "convention": convention.describe()}
    if convention.scale > 1:
        record["scale"] = convention.scale
    return dump(record | dict(about))


def key(title: str) -> str:
    """A distance's name in JSON and CSV: ``LPIPS alex`` -> ``lpips_alex``."""
    return title.lower().replace(" ", "_")


def mean_score(summary: Summary) -> FileScore:
    """The means as if they were a picture's scores."""
    return FileScore("mean", summary.result, summary.input, summary.seconds)


def mean_label(count: int, failed: int) -> str:
    """What the line of the means is called."""
    return f"mean of {count}" + (f", {failed} failed" if failed else "")


def record_of(score: FileScore) -> dict[str, Any]:
    """What JSON and CSV tell of one picture."""
    record: dict[str, Any] = {"name": score.name}
    if score.result is not None:
        record |= {"psnr": score.result.psnr, "ssim": score.result.ssim, "identical": math.isinf(score.result.psnr)}
        record |= _further(score.result, "")
    if score.result is not None and score.input is not None:
        record |= {"input_psnr": score.input.psnr, "input_ssim": score.input.ssim}
        record |= _further(score.input, "input_")
        record |= {"gain": gain(score.input, score.result)}
    if score.seconds is not None:
        record["seconds"] = score.seconds
    if score.error is not None:
        record["error"] = score.error
    if score.notes:
        record["warnings"] = list(score.notes)
    return record


def _further(scores: Scores, prefix: str) -> dict[str, float]:
    hole = {} if scores.hole is None else {f"{prefix}psnr_hole": scores.hole}
    return hole | {f"{prefix}{key(title)}": value for title, value in scores.others.items()}


def dump(record: Mapping[str, Any]) -> str:
    """One JSON object; null for numbers that are not finite, however deep."""
    return strict_json.dumps(record, ascii=False)


def _cells(result: Scores, before: Scores | None, seconds: float | None, restored: bool) -> tuple[str, ...]:
    if not restored:
        return (f"{result.psnr:.2f}", f"{result.ssim:.4f}", *(cell for cells in _more(result) for cell in cells))
    if before is None:
        raise ValueError("a restoration's row needs the scores of its input")
    return (
        f"{before.psnr:.2f}",
        f"{result.psnr:.2f}",
        f"{gain(before, result):+.2f}",
        f"{before.ssim:.4f}",
        f"{result.ssim:.4f}",
        *(cell for cells in _more(before, result) for cell in cells),
        "" if seconds is None else f"{seconds:.2f}",
    )


def _more(*sides: Scores) -> Iterator[list[str]]:
    """The hole and the distances: the cells of each, one a side."""
    if sides[-1].hole is not None:
        yield [f"{side.hole:.2f}" for side in sides]
    for title in sides[-1].others:
        yield [f"{side.others[title]:.4f}" for side in sides]


def _titles(restored: bool, others: Sequence[str], hole: bool) -> tuple[str, ...]:
    titles = columns(restored, others, hole)
    return (*titles, SECONDS) if restored else titles


def table_line(name: str, width: int, cells: Sequence[str], titles: Sequence[str]) -> str:
    """One line of a table; a column is as wide as its title, at least 6."""
    widths = [max(len(title), 6) for title in titles]
    numbers = "  ".join(f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True))
    return f"{name:<{width}}  {numbers}"
