"""A report as one HTML page: pure functions from what is known to strings, pictures inside as data URIs.

Nothing in the page is fetched from anywhere, and its Content-Security-Policy forbids it: only its own script and
style, known by their hashes, run, and only ``data:`` pictures show. All text from outside goes through
:func:`.html_words.text`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from dfrestore.evaluation import comparison_html
from dfrestore.evaluation.comparison import ComparisonSummary, FileComparison, change
from dfrestore.evaluation.html_slider import slider
from dfrestore.evaluation.html_words import in_db, js_number, scrolling, signed_db, text
from dfrestore.evaluation.report import columns
from dfrestore.evaluation.score import FileScore, Scores, Summary, gain
from dfrestore.evaluation.shots import LADDER, MOST_PHOTOS, PAGE_BYTES, Role, Shots

GENERATOR = '<meta name="generator" content="dfrestore">'
"""Stands in the head of every page, and tells a report of ours from other files."""
FEW = 8
"""Up to so many photos need no search and no other order."""

LABELS: Mapping[Role, str] = MappingProxyType({"before": "Before", "after": "After", "target": "Target"})


@dataclass(frozen=True)
class Entry:
    """One photo. number: from 1, its place in the page. facts: short words under its name; notes: lines of warning.

    shots: None where there is nothing to show. score: where there is a target; comparison: of several models.
    """

    number: int
    name: str
    shots: Shots | None = None
    facts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    score: FileScore | None = None
    comparison: FileComparison | None = None


@dataclass(frozen=True)
class About:
    """What the page says besides its photos.

    over, title, lead: above everything. settings: (name, value). failures: (file, line). lists: (what, files or
    lines) of inputs that are not shown. means, convention, scores: of an evaluation; scores as (number, score).
    compared, comparisons, models: of several models instead; models: what each is, in words.
    """

    title: str
    lead: str = ""
    over: str = "dfrestore"
    settings: Sequence[tuple[str, str]] = ()
    failures: Sequence[tuple[str, str]] = ()
    lists: Sequence[tuple[str, Sequence[str]]] = ()
    means: Summary | None = None
    convention: str = ""
    scores: Sequence[tuple[int, FileScore]] = field(default=())
    compared: ComparisonSummary | None = None
    comparisons: Sequence[tuple[int, FileComparison]] = field(default=())
    models: Sequence[str] = ()
    footer: str = ""


def frame(about: About, photos: int, reduced: bool = True) -> tuple[str, str]:
    """The page before and after its ``photos`` articles; reduced: at least one of them is shown smaller than it is."""
    style, script = _part("page.css"), _part("page.js")
    values = {
        "policy": (
            f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
            "base-uri 'none'; form-action 'none'"
        ),
        "title": text(about.title),
        "style": style,
        "script": script,
        "summary": "\n".join(_summary(about)),
        "toolbar": _toolbar(photos, about, reduced),
        "footer": text(about.footer),
    }
    before, after = _part("page.html").split("{{photos}}")
    return _filled(before, values), _filled(after, values)


def photo(entry: Entry, labels: Mapping[Role, str] = LABELS) -> str:
    """One photo's article."""
    keys = {"order": float(entry.number)}
    if entry.shots is not None:
        keys["change"] = entry.shots.change
    if entry.score is not None and entry.score.result is not None:
        keys["psnr"] = entry.score.result.psnr
        if entry.score.input is not None:
            keys["gain"] = gain(entry.score.input, entry.score.result)
    if entry.comparison is not None and entry.comparison.results:
        first, second, *_ = entry.comparison.results
        keys |= {"psnr": first.psnr, "gain": change(first, second)["PSNR"]}
    data = "".join(f' data-{key}="{js_number(value)}"' for key, value in keys.items())
    return (
        f'<article class="photo" id="p{entry.number}"{data}>\n'
        f'<h3><a href="#p{entry.number}"><bdi>{text(entry.name)}</bdi></a></h3>\n'
        f'<p class="facts">{_facts(entry)}</p>\n'
        f"{slider(entry.name, entry.shots, labels)}</article>\n"
    )


def _summary(about: About) -> Iterable[str]:
    yield f'<header>\n<p class="over">{text(about.over)}</p>\n<h1>{text(about.title)}</h1>'
    if about.lead:
        yield f'<p class="lead">{text(about.lead)}</p>'
    if about.means is not None and about.means.result is not None:
        yield _means(about.means, about.means.result)
    if about.compared is not None:
        yield comparison_html.means(about.compared, about.models)
    if about.convention:
        yield f'<p class="small">{text(about.convention)}</p>'
    yield "</header>"
    if about.failures:
        items = "\n".join(f"<li><b><bdi>{text(name)}</bdi></b> {text(line)}</li>" for name, line in about.failures)
        yield f'<section class="failures">\n<h2>{len(about.failures)} failed</h2>\n<ul>\n{items}\n</ul>\n</section>'
    folds = [_fold("Settings", _settings(about.settings))] if about.settings else []
    folds += [_fold(f"{what} ({len(names)})", _names(names)) for what, names in about.lists if names]
    if about.scores:
        folds.append(_fold(f"All scores ({len(about.scores)})", _table(about.scores)))
    if about.comparisons:
        table = comparison_html.table(about.comparisons, len(about.models))
        folds.append(_fold(f"All scores ({len(about.comparisons)})", table))
    if folds:
        yield '<section class="text">\n' + "\n".join(folds) + "\n</section>"


def _means(means: Summary, result: Scores) -> str:
    before = means.input
    psnr = "" if before is None else f"{signed_db(means.gain or 0.0)} from {in_db(before.psnr)}"
    ssim = "" if before is None else f"from {before.ssim:.4f}"
    tiles = [("Mean PSNR", f"{in_db(result.psnr)} dB", psnr), ("Mean SSIM", f"{result.ssim:.4f}", ssim)]
    if result.hole is not None:
        was = "" if before is None or before.hole is None else f"from {in_db(before.hole)}"
        tiles.append(("Mean PSNR in the hole", f"{in_db(result.hole)} dB", was))
    for title, value in result.others.items():
        tiles.append(
            (f"Mean {text(title)}", f"{value:.4f}", "" if before is None else f"from {before.others[title]:.4f}")
        )
    if means.seconds is not None:
        tiles.append(("Time a picture", f"{means.seconds:.2f} s", ""))
    items = "\n".join(f"<div><dt>{a}</dt><dd><b>{b}</b><span>{c}</span></dd></div>" for a, b, c in tiles)
    return f'<dl class="means">\n{items}\n</dl>'


def _fold(title: str, content: str) -> str:
    return f"<details>\n<summary>{text(title)}</summary>\n{content}\n</details>"


def _settings(settings: Sequence[tuple[str, str]]) -> str:
    items = "\n".join(f"<div><dt>{text(key)}</dt><dd>{text(value)}</dd></div>" for key, value in settings)
    return f'<dl class="settings">\n{items}\n</dl>'


def _names(names: Sequence[str]) -> str:
    return '<ul class="names">\n' + "\n".join(f"<li><bdi>{text(name)}</bdi></li>" for name in names) + "\n</ul>"


def _table(scores: Sequence[tuple[int, FileScore]]) -> str:
    restored = any(score.input is not None for _, score in scores)
    first = next((score.result for _, score in scores if score.result is not None), None)
    others = () if first is None else tuple(first.others)
    titles = columns(restored, others, first is not None and first.hole is not None)
    head = "".join(f'<th scope="col">{text(title)}</th>' for title in ("picture", *titles))
    rows = []
    for number, score in scores:
        name = f"<bdi>{text(score.name)}</bdi>"
        if score.result is None:
            rows.append(f'<tr><td>{name}</td><td class="wrong" colspan="{len(titles)}">failed</td></tr>')
            continue
        cells = [in_db(score.result.psnr), f"{score.result.ssim:.4f}"]
        if score.input is not None:
            up = signed_db(gain(score.input, score.result))
            cells = [in_db(score.input.psnr), cells[0], up, f"{score.input.ssim:.4f}", cells[1]]
        sides = [side for side in (score.input, score.result) if side is not None]
        cells += [in_db(side.hole) for side in sides if side.hole is not None]
        cells += [f"{side.others[title]:.4f}" for title in others for side in sides]
        cells = [f"<td>{cell}</td>" for cell in cells]
        rows.append(f'<tr><td><a href="#p{number}">{name}</a></td>{"".join(cells)}</tr>')
    return scrolling(head, rows)


def _toolbar(photos: int, about: About, reduced: bool) -> str:
    if not photos:
        return '<h2 id="photos-title">No photo to show</h2>'
    compared = about.compared is not None
    lines = ['<h2 id="photos-title">Photos</h2>', _how_shown(reduced, compared)]
    if photos > FEW:
        orders = [("order 1", "as worked through")]
        if compared:
            orders += comparison_html.ORDERS
        else:
            orders.append(("change -1", "most changed first"))
        if about.means is not None:
            orders += [("gain 1", "smallest gain first"), ("gain -1", "largest gain first")]
            orders += [("psnr 1", "lowest PSNR first"), ("psnr -1", "highest PSNR first")]
        options = "".join(f'<option value="{key}">{label}</option>' for key, label in orders)
        lines.append(
            '<div class="bar" role="search">'
            '<label>Name <input type="search" id="filter" autocomplete="off" spellcheck="false"></label>'
            f'<label>Order <select id="order" autocomplete="off">{options}</select></label>'
            f'<output id="count" for="filter" aria-live="polite">{photos} of {photos}</output></div>'
        )
    return "\n".join(lines)


def _how_shown(reduced: bool, compared: bool) -> str:
    most, divider = ("where A and B differ most", "a divider") if compared else ("that changed most", "the divider")
    copies = (
        f"Pictures are copies for this page: WebP, at most {LADDER[0][0]} pixels a side, smaller and coarser the more "
        f"photos there are (up to {PAGE_BYTES // 10**6} MB and {MOST_PHOTOS} photos in all). 100 % shows, in its own "
        f"pixels, the part of a photo {most}."
        if reduced
        else "Pictures are WebP copies for this page, not reduced in size."
    )
    return (
        f'<p class="small hint keys">Drag {divider}, or move it with the arrow keys. Click a picture, or press Z, for '
        "100 %; Ctrl and wheel, or +, for more. Then drag, or press Shift and an arrow key, to look around.</p>\n"
        f'<p class="small hint touch">Drag {divider}. Tap a picture for 100 %, and drag to look around; tap again to '
        "see all of it.</p>\n"
        f'<p class="small">{copies} Judge fine detail in the files themselves.</p>'
    )


def _facts(entry: Entry) -> str:
    parts = [] if entry.comparison is None else comparison_html.facts(entry.comparison)
    score = entry.score
    if score is not None and score.result is not None:
        before = score.input
        psnr = f"PSNR <b>{in_db(score.result.psnr)}</b> dB"
        ssim = f"SSIM <b>{score.result.ssim:.4f}</b>"
        if before is not None:
            up = signed_db(gain(before, score.result))
            psnr = f"PSNR {in_db(before.psnr)} → <b>{in_db(score.result.psnr)}</b> dB (<b>{up}</b>)"
            ssim = f"SSIM {before.ssim:.4f} → <b>{score.result.ssim:.4f}</b>"
        parts += [psnr, ssim]
        if score.result.hole is not None:
            was = "" if before is None or before.hole is None else f"{in_db(before.hole)} → "
            parts.append(f"in the hole {was}<b>{in_db(score.result.hole)}</b> dB")
        for title, value in score.result.others.items():
            was = "" if before is None else f"{before.others[title]:.4f} → "
            parts.append(f"{text(title)} {was}<b>{value:.4f}</b>")
    if entry.shots is not None:
        (width, height), shown = entry.shots.size, entry.shots.shown
        small = "" if shown == entry.shots.size else f", shown as {shown[0]} &times; {shown[1]}"
        parts.append(f"{width} &times; {height}{small}")
    parts += [text(fact) for fact in entry.facts if fact]
    notes = "".join(f'<em class="note">{text(note)}</em>' for note in entry.notes)
    return " · ".join(f"<span>{part}</span>" for part in parts) + notes


def _hash(part: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(part.encode()).digest()).decode("ascii")


def _filled(template: str, values: Mapping[str, str]) -> str:
    """In one pass, so that values are never looked into."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)


@cache
def _part(name: str) -> str:
    return (files("dfrestore.evaluation") / "page" / name).read_text(encoding="utf-8")
