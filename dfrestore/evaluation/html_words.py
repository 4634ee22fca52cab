"""Text, numbers and tables as a page shows them."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

from dfrestore.errors import one_line


def text(value: object) -> str:
    """Text for an element or a quoted attribute; control characters and what is not Unicode are made visible."""
    return html.escape(one_line(value), quote=True)


def in_db(psnr: float) -> str:
    return f"{psnr:.2f}" if math.isfinite(psnr) else "∞"


def signed_db(value: float) -> str:
    return (f"{value:+.2f}" if math.isfinite(value) else "+∞" if value > 0 else "-∞").replace("-", "&minus;")


def js_number(value: float) -> str:
    """A number as JavaScript reads it."""
    return f"{value:g}" if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def numbers(values: Iterable[int]) -> str:
    return " ".join(str(value) for value in values)


def scrolling(head: str, rows: Sequence[str], label: str = "All scores") -> str:
    """A table that scrolls sideways where the window is narrow. head: its cells; rows: each a whole row."""
    body = "\n".join(rows)
    return (
        f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">\n'
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )
