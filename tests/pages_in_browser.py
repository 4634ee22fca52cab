"""What tests of pages in a real browser share: the browser, where things stand in it, and what colour they have."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from browser import Browser, NoBrowser, browsing, find_browser
from PIL import Image

COMMAND = find_browser()
needs_browser = pytest.mark.skipif(COMMAND is None, reason="no Chromium on PATH")

RED, GREEN, BLUE, WHITE = (200, 30, 30), (30, 180, 60), (40, 60, 200), (255, 255, 255)


def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for the tests of a module, which are skipped where it does not start."""
    assert COMMAND is not None
    try:
        with browsing(COMMAND, tmp_path_factory.mktemp("profile")) as browser:
            yield browser
    except NoBrowser as error:
        pytest.skip(str(error))


def box(browser: Browser, selector: str) -> tuple[float, float, float, float]:
    """(left, top, width, height) in the window."""
    x, y, width, height = browser.run(
        f"(() => {{ const b = document.querySelector({selector!r}).getBoundingClientRect();"
        " return [b.x, b.y, b.width, b.height]; })()"
    )
    return x, y, width, height


def show(browser: Browser, number: int) -> None:
    """Bring a photo into the window, decoded."""
    browser.run(f"document.querySelector('#p{number}').scrollIntoView({{block: 'start'}})")
    browser.run(
        f"Promise.all([...document.querySelectorAll('#p{number} img[src]')]"
        ".filter(i => getComputedStyle(i).display !== 'none').map(i => i.decode()))"
    )


def point(browser: Browser, number: int, across: float, down: float = 0.25) -> tuple[float, float]:
    """A place in the stage of a photo, from 0 to 1 each way."""
    x, y, width, height = box(browser, f"#p{number} .stage")
    return x + across * width, y + down * height


def colour(browser: Browser, number: int, across: float, down: float = 0.25) -> str:
    """What is seen there."""
    image = Image.open(io.BytesIO(browser.picture())).convert("RGB")
    x, y = point(browser, number, across, down)
    seen = np.array(image.getpixel((int(x), int(y))), float)
    named = {"red": RED, "green": GREEN, "blue": BLUE, "white": WHITE}
    name, value = min(named.items(), key=lambda item: np.abs(seen - item[1]).sum())
    assert np.abs(seen - value).max() < 25, f"{seen} is none of the colours"
    return name


def split(browser: Browser, number: int) -> float:
    return float(browser.run(f"document.querySelector('#p{number} .split').value"))
