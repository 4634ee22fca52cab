"""What a page says of several models: their means and differences, the facts of a photo, the table of all scores."""

from __future__ import annotations

from collections.abc import Sequence

from dfrestore.evaluation.comparison import (
    IN_DB,
    LETTERS,
    ComparisonSummary,
    FileComparison,
    change,
    values,
)
from dfrestore.evaluation.comparison_report import minus, verdict
from dfrestore.evaluation.html_words import in_db, scrolling, signed_db, text
from dfrestore.evaluation.score import Scores

ORDERS = [
    ("change -1", "A and B differ most first"),
    ("gain 1", "B worst against A first"),
    ("gain -1", "B best against A first"),
    ("psnr 1", "lowest PSNR of A first"),
    ("psnr -1", "highest PSNR of A first"),
]
"""Orders of the photos: key and direction for the script, and their words."""


def means(summary: ComparisonSummary, models: Sequence[str]) -> str:
    """The input's and each model's means as a table, and one line a difference."""
    first = summary.models[0]
    if first.input is None:
        return ""
    titles = list(values(first.input))
    head = "".join(f'<th scope="col">{text(title)}</th>' for title in ("mean", *titles, "seconds"))
    rows = [_row("Input", first.input, "")]
    for letter, label, one in zip(LETTERS, models, summary.models, strict=False):
        seconds = "" if one.seconds is None else f"{one.seconds:.2f}"
        rows += [] if one.result is None else [_row(f"{letter}: {label}", one.result, seconds)]
    lines = [
        f"<li>{LETTERS[number]} &minus; {LETTERS[0]}: {text(difference.title)} "
        f"{text(verdict(difference, number, summary)).replace('-', '&minus;')}</li>"
        for number, differences in enumerate(summary.differences, 1)
        for difference in differences
    ]
    return scrolling(head, rows, "Means") + '\n<ul class="differences">\n' + "\n".join(lines) + "\n</ul>"


def facts(comparison: FileComparison) -> list[str]:
    """The metrics of one photo: the input's, each model's, and what the later ones add to the first."""
    if comparison.input is None or not comparison.results:
        return []
    first, *others = comparison.results
    changes = [change(first, other) for other in others]
    parts = []
    for title, before in values(comparison.input).items():
        sides = " · ".join(
            f"{letter} <b>{_number(title, values(result)[title])}</b>"
            for letter, result in zip(LETTERS, comparison.results, strict=False)
        )
        added = ", ".join(
            f"{minus(number).replace('-', '&minus;')} <b>{_signed(title, one[title])}</b>"
            for number, one in enumerate(changes, 1)
        )
        parts.append(f"{text(title)} {_number(title, before)} → {sides}{' dB' if title in IN_DB else ''} ({added})")
    return parts


def table(comparisons: Sequence[tuple[int, FileComparison]], models: int) -> str:
    """All scores, the input's and each model's, with the differences."""
    done = next((one for _, one in comparisons if one.input is not None), None)
    titles = [] if done is None or done.input is None else list(values(done.input))
    sides = ("input", *LETTERS[:models], *(minus(number) for number in range(1, models)))
    heads = ("picture", *(f"{side} {title}" for title in titles for side in sides))
    head = "".join(f'<th scope="col">{text(title)}</th>' for title in heads)
    return scrolling(head, [_scores(number, one, max(1, len(heads) - 1)) for number, one in comparisons])


def _scores(number: int, comparison: FileComparison, columns: int) -> str:
    name = f"<bdi>{text(comparison.name)}</bdi>"
    if comparison.input is None or not comparison.results:
        return f'<tr><td>{name}</td><td class="wrong" colspan="{columns}">failed</td></tr>'
    first, *others = comparison.results
    sides = [values(comparison.input), *map(values, comparison.results)]
    changes = [change(first, other) for other in others]
    cells = []
    for title in sides[0]:
        cells += [_number(title, side[title]) for side in sides]
        cells += [_signed(title, one[title]) for one in changes]
    columns_of_it = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr><td><a href="#p{number}">{name}</a></td>{columns_of_it}</tr>'


def _row(name: str, scores: Scores, seconds: str) -> str:
    cells = [_number(title, value) for title, value in values(scores).items()]
    return f"<tr><td>{text(name)}</td>{''.join(f'<td>{cell}</td>' for cell in (*cells, seconds))}</tr>"


def _number(title: str, value: float) -> str:
    return in_db(value) if title in IN_DB else f"{value:.4f}"


def _signed(title: str, value: float) -> str:
    return signed_db(value) if title in IN_DB else f"{value:+.4f}".replace("-", "&minus;")
