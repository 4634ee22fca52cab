"""What tests read out of the pages that ``--report`` leaves."""

from __future__ import annotations

import html
import re
from pathlib import Path


def read(page: Path) -> str:
    """A page without its pictures, script and style."""
    text = page.read_text(encoding="utf-8")
    assert text.endswith("</html>\n")
    return re.sub(r"(?s)<(style|script)>.*?</\1>|data:image/webp;base64,[^\"]*", "", text)


def names(page: Path) -> list[str]:
    """Of the photos that have an article, in order."""
    return [html.unescape(name) for name in re.findall(r"<h3><a [^>]*><bdi>(.*?)</bdi>", read(page))]


def settings(page: Path) -> dict[str, str]:
    return {key: html.unescape(text) for key, text in re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", read(page))}


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
