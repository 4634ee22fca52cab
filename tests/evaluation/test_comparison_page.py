"""The page of a comparison: its tables as text, and its slider of three pictures, also in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser
from pages_in_browser import BLUE, GREEN, RED, WHITE, box, colour, needs_browser, point, show, started
from report_pages import read

from dfrestore.evaluation import FileScore, Scores
from dfrestore.evaluation.comparison import Compared, FileComparison, summarise_comparison
from dfrestore.evaluation.html import About, Entry, photo
from dfrestore.evaluation.page_file import PageFile
from dfrestore.evaluation.score import Measured
from dfrestore.evaluation.shots import Shots, shots_of_comparison

LABELS = {"before": "Before", "after": "A", "second": "B", "third": "C", "target": "Target"}


def of(psnr: float) -> FileScore:
    return FileScore("a", Scores(psnr, 0.9), Scores(25.0, 0.5), 1.0)


def layer(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((600, 1400, 3), colour, np.uint8)


def compared(models: int) -> Compared:
    """Red input, results in green, blue and green again, white target; B differs from A at the right."""
    before, target = layer(RED), layer(WHITE)
    afters = [layer(GREEN), layer(GREEN), layer(GREEN)]
    afters[1][:, 1000:] = BLUE
    pictures = tuple(Measured(of(30.0 + n), before, afters[n], target) for n in range(models))
    return Compared(FileComparison("a", tuple(one.score for one in pictures)), pictures)


def shots_of(models: int) -> Shots:
    found = shots_of_comparison(compared(models))
    assert found is not None
    return found


def page_of(path: Path, models: int) -> Path:
    one = compared(models)
    with PageFile(path) as file:
        for number in (1, 2):
            file.add(Entry(number, f"photo {number}", shots_of(models), comparison=one.score), LABELS)
        summary = summarise_comparison([one.score] * 5, models)
        labels = ("derain/compact, 1 step", "<b>mine</b>, 4 steps", "another")[:models]
        file.finish(About("x", compared=summary, comparisons=[(1, one.score)], models=labels))
    return path


# -- as text


def test_the_part_at_full_size_is_where_a_and_b_differ() -> None:
    left, _, width, _ = shots_of(2).box
    assert left > 400  # the input differs from A everywhere
    assert left + width > 1000
    assert shots_of(2).change == pytest.approx(np.abs(np.subtract(GREEN, BLUE)).mean() * 400 / 1400, rel=0.02)


def test_a_failed_pair_has_no_pictures() -> None:
    assert shots_of_comparison(Compared(FileComparison("a", error="broken"))) is None


def test_the_means_and_differences_stand_above_and_each_photos_numbers_beside_it(tmp_path: Path) -> None:
    page = read(page_of(tmp_path / "a.html", 2))
    assert "<tr><td>A: derain/compact, 1 step</td><td>30.00</td><td>0.9000</td><td>1.00</td></tr>" in page
    assert "B: &lt;b&gt;mine&lt;/b&gt;, 4 steps</td><td>31.00</td>" in page
    assert "B &minus; A: PSNR +1.00 dB, 95 % interval +1.00 to +1.00 dB: B is better</li>" in page
    assert "PSNR 25.00 → A <b>30.00</b> · B <b>31.00</b> dB (B&minus;A <b>+1.00</b>)" in page
    assert '<th scope="col">B-A PSNR</th>' in page
    assert "where A and B differ most" in page


@pytest.mark.parametrize(
    ("models", "views"),
    [
        (2, ["Before | A | B", "A | B | Target", "A | B"]),
        (3, [*(f"Before | {pair}" for pair in ("A | B", "A | C", "B | C")), "A | B | Target", "A | C | Target"]),
    ],
)
def test_any_two_models_can_be_seen_with_the_input_or_the_target(models: int, views: list[str]) -> None:
    article = photo(Entry(1, "a", shots_of(models)), LABELS)
    _, buttons = article.split('aria-label="Compare">')
    found = [button.split(">")[1].split("<")[0] for button in buttons.split("<button")[1:]]
    assert found[: len(views)] == views
    assert len(found) == {2: 3, 3: 7}[models]


def test_each_divider_is_a_labelled_range() -> None:
    article = photo(Entry(1, "a", shots_of(2)), LABELS)
    assert 'aria-label="a: divider" aria-valuetext="Before 33 %, A 34 %, B 33 %"' in article
    assert 'aria-label="a: second divider" aria-valuetext="Before 33 %, A 34 %, B 33 %"' in article


# -- in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    yield from started(tmp_path_factory)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(tmp_path_factory.mktemp("page") / "a.html", 3)


@pytest.fixture
def opened(browser: Browser, page: Path) -> Browser:
    browser.open(page)
    show(browser, 1)
    return browser


def ends(browser: Browser) -> list[float]:
    """Where both dividers are."""
    return [float(end) for end in browser.run("[...document.querySelectorAll('#p1 .split')].map(r => r.value)")]


def seen(browser: Browser, *places: float) -> list[str]:
    return [colour(browser, 1, place) for place in places]


def choose(browser: Browser, words: str) -> None:
    browser.run(f"[...document.querySelectorAll('#p1 .seg button')].find(b => b.textContent === {words!r}).click()")


@needs_browser
def test_two_dividers_part_three_pictures(opened: Browser) -> None:
    assert seen(opened, 0.2, 0.5, 0.9) == ["red", "green", "blue"]
    assert box(opened, "#p1 .divider.next")[0] == pytest.approx(point(opened, 1, 0.67)[0], abs=2)


@needs_browser
def test_dragging_moves_the_nearer_divider_and_pushes_the_other(opened: Browser) -> None:
    opened.drag(point(opened, 1, 0.67), point(opened, 1, 0.9))
    assert ends(opened) == pytest.approx([33, 90], abs=1)
    assert seen(opened, 0.2, 0.8, 0.95) == ["red", "green", "blue"]
    opened.drag(point(opened, 1, 0.33), point(opened, 1, 0.96))
    assert ends(opened) == pytest.approx([96, 96], abs=1)
    assert seen(opened, 0.2, 0.9) == ["red", "red"]
    opened.drag(point(opened, 1, 0.955), point(opened, 1, 0.1))  # of two in one place the left one goes left
    assert ends(opened) == pytest.approx([10, 96], abs=1)


@needs_browser
def test_both_dividers_are_moved_and_told_by_keyboard(opened: Browser) -> None:
    opened.run("document.querySelector('#p1 .split').focus()")
    opened.press("Tab")
    assert opened.run("document.activeElement === document.querySelector('#p1 .split.next')")
    outlines = opened.run(
        "[...document.querySelectorAll('#p1 .divider')].map(d => getComputedStyle(d, '::before').outlineStyle)"
    )
    assert outlines == ["none", "solid"]
    for _ in range(20):
        opened.press("ArrowRight")
    assert ends(opened) == [33, 77]
    told = opened.run("[...document.querySelectorAll('#p1 .split')].map(r => r.getAttribute('aria-valuetext'))")
    assert told == ["Before 33 %, A 44 %, B 23 %"] * 2


@needs_browser
def test_two_models_alone_have_one_divider_in_the_middle(opened: Browser) -> None:
    choose(opened, "A | B | Target")
    assert seen(opened, 0.2, 0.6, 0.9) == ["green", "green", "white"]
    choose(opened, "A | B | C")
    assert seen(opened, 0.2, 0.9) == ["green", "green"]


@needs_browser
def test_a_pair_has_one_divider_and_three_pictures_get_their_second_one_back(browser: Browser, tmp_path: Path) -> None:
    browser.open(page_of(tmp_path / "two.html", 2))
    show(browser, 1)
    choose(browser, "A | B")
    assert ends(browser)[0] == 50
    assert seen(browser, 0.1, 0.6, 0.9) == ["green", "green", "blue"]
    assert box(browser, "#p1 .divider.next")[2] == 0
    told = browser.run("document.querySelector('#p1 .split').getAttribute('aria-valuetext')")
    assert told == "A 50 %, B 50 %"
    choose(browser, "Before | A | B")
    assert ends(browser) == [33, 67]
    assert seen(browser, 0.1, 0.5, 0.9) == ["red", "green", "blue"]


@needs_browser
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_of_three_models_fits_the_window(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width, 800)
    browser.run("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    show(browser, 1)
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    x, _, wide, _ = box(browser, "#p1 .tools")
    assert x + wide <= width
    assert seen(browser, 0.2, 0.5, 0.9) == ["red", "green", "blue"]


@needs_browser
def test_nothing_is_requested_and_nothing_goes_wrong(opened: Browser) -> None:
    opened.run("document.querySelector('#p1 [data-to=\"1\"]').click()")
    assert opened.run("document.querySelectorAll('#p1 .part[src]').length") == 5
    asked = [address for address in opened.requests if not address.startswith("data:")]
    assert asked == [opened.run("location.href")]
    assert opened.errors == []
