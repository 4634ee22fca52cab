"""The page of a report in a real browser: the slider, zoom, keys, many photos, and that nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser
from pages_in_browser import BLUE, GREEN, RED, WHITE, box, colour, needs_browser, point, show, split, started

from dfrestore.evaluation import FileScore, Scores, summarise
from dfrestore.evaluation.html import About, Entry
from dfrestore.evaluation.page_file import PageFile
from dfrestore.evaluation.shots import Source, shots

pytestmark = needs_browser

NASTY = "a\"'><script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>.jpg"
SPOT = (1500, 900)  # of a photo of 1800 x 1200, where the result is white


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    yield from started(tmp_path_factory)


def page_of(path: Path, photos: int) -> Path:
    """A page of red photos, green results with a white spot, and blue targets; the second one is not reduced."""
    layers = [np.full((1200, 1800, 3), colour, np.uint8) for colour in (RED, GREEN, BLUE)]
    layers[1][SPOT[1] - 50 : SPOT[1] + 50, SPOT[0] - 50 : SPOT[0] + 50] = WHITE
    roles = ("before", "after", "target")
    large = shots([Source(role, layer) for role, layer in zip(roles, layers, strict=True)])
    small = shots([Source(role, layer[:300, :480]) for role, layer in zip(roles, layers, strict=True)])
    scores = [FileScore(f"photo {n}", Scores(30.0 + n % 7, 0.9), Scores(25.0, 0.7)) for n in range(1, photos + 1)]
    names = {3: NASTY}
    with PageFile(path) as file:
        for number, score in enumerate(scores, 1):
            name = names.get(number, f"photo {number}")
            file.add(Entry(number, name, small if number == 2 else large, ("1.0 s",), score=score))
        about = About(
            title=f"{photos} photos",
            settings=[("Model", NASTY * 3)],
            failures=[(NASTY, f"{NASTY}: broken")],
            means=summarise(scores),
            scores=list(enumerate(scores, 1)),
        )
        file.finish(about)
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(tmp_path_factory.mktemp("page") / "a.html", 3)


@pytest.fixture(scope="module")
def large_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(tmp_path_factory.mktemp("page") / "many.html", 200)


@pytest.fixture
def opened(browser: Browser, page: Path) -> Browser:
    browser.open(page)
    show(browser, 1)
    return browser


def test_the_divider_parts_before_from_after(opened: Browser) -> None:
    assert [colour(opened, 1, across) for across in (0.1, 0.4, 0.6, 0.9)] == ["red", "red", "green", "green"]


def test_dragging_moves_the_divider(opened: Browser) -> None:
    opened.drag(point(opened, 1, 0.5), point(opened, 1, 0.2))
    assert split(opened, 1) == pytest.approx(20, abs=1)
    assert [colour(opened, 1, across) for across in (0.1, 0.4, 0.9)] == ["red", "green", "green"]


def test_dragging_anywhere_on_a_picture_that_fits_moves_the_divider(opened: Browser) -> None:
    opened.drag(point(opened, 1, 0.1), point(opened, 1, 0.8))
    assert split(opened, 1) == pytest.approx(80, abs=1)
    assert colour(opened, 1, 0.7) == "red"


def test_arrow_keys_move_the_divider_and_tell_where_it_is(opened: Browser) -> None:
    opened.run("document.querySelector('#p1 .split').focus()")
    for _ in range(40):
        opened.press("ArrowLeft")
    assert split(opened, 1) == 30
    assert colour(opened, 1, 0.4) == "green"
    told = opened.run("document.querySelector('#p1 .split').getAttribute('aria-valuetext')")
    assert told == "Before 30 %, After 70 %"


def test_the_focus_is_seen_when_it_comes_by_keyboard(opened: Browser) -> None:
    opened.run("document.querySelector('#p1 h3 a').focus()")
    opened.press("Tab")
    assert opened.run("document.activeElement === document.querySelector('#p1 .split')")
    outline = "getComputedStyle(document.querySelector('#p1 .divider'), '::before').outlineStyle"
    assert opened.run(outline) == "solid"


@pytest.mark.parametrize(
    ("right", "left", "seen"),
    [
        ("target", "after", ["green", "blue"]),
        ("target", "before", ["red", "blue"]),
        ("after", "before", ["red", "green"]),
    ],
)
def test_any_two_of_before_after_and_target_can_be_compared(
    opened: Browser, left: str, right: str, seen: list[str]
) -> None:
    opened.run(f"document.querySelector('#p1 [data-left={left}][data-right={right}]:not(.stage)').click()")
    assert [colour(opened, 1, across) for across in (0.1, 0.9)] == seen


def test_full_size_shows_the_part_that_changed_pixel_for_pixel(opened: Browser) -> None:
    opened.resize(1000, 800)  # one photo beside the other would leave less room
    show(opened, 1)
    opened.run("document.querySelector('#p1 [data-to=\"1\"]').click()")
    show(opened, 1)
    natural, shown = opened.run("(i => [i.naturalWidth, i.clientWidth])(document.querySelector('#p1 .after .part'))")
    assert natural == shown == 900
    left, top, width, height = map(int, opened.run("document.querySelector('#p1 .stage').dataset.box").split())
    assert colour(opened, 1, (SPOT[0] - left) / width, (SPOT[1] - top) / height) == "white"
    opened.run("document.querySelector('#p1 [data-to=\"0\"]').click()")
    assert colour(opened, 1, SPOT[0] / 1800, SPOT[1] / 1200) == "white"


def test_a_click_goes_to_full_size_and_back(opened: Browser) -> None:
    for zoom in (1, 0):
        opened.drag(point(opened, 1, 0.8), point(opened, 1, 0.8))
        assert opened.run("Number(document.querySelector('#p1 .stage').dataset.zoom || 0)") == zoom
        pressed = "document.querySelector('#p1 [data-to][aria-pressed=true]').dataset.to"
        assert opened.run(pressed) == str(zoom)


def test_a_click_on_a_picture_that_is_not_reduced_goes_there(browser: Browser, page: Path) -> None:
    browser.open(page, 390, 844)
    show(browser, 2)
    browser.drag(point(browser, 2, 0.95), point(browser, 2, 0.95))
    left, _, width, _ = box(browser, "#p2 .after .part")
    stage_left, _, stage_width, _ = box(browser, "#p2 .stage")
    assert width == 480
    assert left + width == pytest.approx(stage_left + stage_width, abs=1)  # its right end is in sight


def test_control_and_wheel_zoom_and_the_wheel_alone_scrolls(opened: Browser) -> None:
    zoom = "Number(document.querySelector('#p1 .stage').dataset.zoom || 0)"
    at = point(opened, 1, 0.7)
    opened.wheel(at, -100, control=True)
    opened.wait_for(f"{zoom} === 1")
    opened.run("new Promise(done => setTimeout(done, 200))")  # one turn of a wheel is many events, and one step
    opened.wheel(at, 100, control=True)
    opened.wait_for(f"{zoom} === 0")
    before = opened.run("scrollY")
    opened.wheel(at, 200)
    opened.wait_for(f"scrollY > {before}")
    assert opened.run(zoom) == 0


def test_a_zoomed_picture_is_moved_by_dragging_and_by_shift_and_arrows(opened: Browser) -> None:
    opened.run("document.querySelector('#p1 [data-to=\"2\"]').click()")
    left, top, _, _ = box(opened, "#p1 .after .part")
    opened.drag(point(opened, 1, 0.8), (point(opened, 1, 0.8)[0] - 100, point(opened, 1, 0.8)[1] - 50))
    assert box(opened, "#p1 .after .part")[:2] == pytest.approx((left - 100, top - 50), abs=1)
    assert box(opened, "#p1 .before .part")[:2] == box(opened, "#p1 .after .part")[:2]
    opened.run("document.querySelector('#p1 .split').focus()")
    opened.press("ArrowLeft", shift=True)
    assert box(opened, "#p1 .after .part")[0] == pytest.approx(left - 60, abs=1)
    assert split(opened, 1) == 50
    for _ in range(60):
        opened.press("ArrowLeft", shift=True)
    assert box(opened, "#p1 .after .part")[0] == pytest.approx(box(opened, "#p1 .stage")[0], abs=1)  # no further


def test_z_and_escape_are_keys_of_the_slider(opened: Browser) -> None:
    opened.run("document.querySelector('#p1 .split').focus()")
    zoom = "Number(document.querySelector('#p1 .stage').dataset.zoom || 0)"
    seen = []
    for key in ("z", "+", "Escape"):
        opened.press(key)
        seen.append(opened.run(zoom))
    assert seen == [1, 2, 0]


def test_photos_stand_side_by_side_as_wide_as_the_window_lets_them(browser: Browser, page: Path) -> None:
    browser.open(page, 1280, 800)
    assert box(browser, "#p1")[1] == box(browser, "#p2")[1]
    boxes = [box(browser, f"#p{number} .stage") for number in (1, 2)]
    assert boxes[0][2] > 560
    assert boxes[1][0] > boxes[0][0] + boxes[0][2]
    assert box(browser, "#list")[2] > 0.9 * 1265
    browser.open(page, 1000, 800)
    boxes = [box(browser, f"#p{number} .stage") for number in (1, 2)]
    assert boxes[0][2] == 900
    assert boxes[1][1] > boxes[0][1] + boxes[0][3]


def test_a_single_photo_has_the_whole_width(browser: Browser, tmp_path: Path) -> None:
    browser.open(page_of(tmp_path / "one.html", 1), 1280, 800)
    assert box(browser, "#p1 .stage")[2] == 900  # all that the copy has


@pytest.mark.parametrize("touch", [False, True])
def test_keys_are_spoken_of_where_there_are_some(browser: Browser, page: Path, touch: bool) -> None:
    browser.call("Emulation.setTouchEmulationEnabled", enabled=touch)
    try:
        for width, spoken in ((1280, not touch), (360, False)):
            browser.open(page, width, 800)
            said = browser.run("document.querySelector('#photos').innerText")
            assert ("arrow keys" in said, "press" in said) == (spoken, spoken)
            assert ("Tap a picture" in said) is not spoken
    finally:
        browser.call("Emulation.setTouchEmulationEnabled", enabled=False)


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_the_window_in_either_scheme(browser: Browser, page: Path, width: int, dark: bool) -> None:
    browser.open(page, width, 800, dark=dark)
    browser.run("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    for number in (1, 2, 3):
        show(browser, number)
        x, _, wide, high = box(browser, f"#p{number} .stage")
        assert x >= 0
        assert x + wide <= width
        assert high <= 800
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    red, _, _ = map(int, browser.run("getComputedStyle(document.body).backgroundColor").strip("rgb()").split(","))
    assert (red < 60) == dark


def test_all_pictures_load(opened: Browser) -> None:
    for number in (1, 2, 3):
        show(opened, number)
        opened.run(f"document.querySelector('#p{number} [data-to=\"1\"]').click()")
    opened.run("Promise.all([...document.images].map(i => i.decode()))")
    sizes = opened.run("[...document.images].map(i => i.naturalWidth)")
    assert len(sizes) == 18
    assert min(sizes) > 0


def test_names_do_nothing_but_stand_there(opened: Browser) -> None:
    show(opened, 3)
    assert opened.run("document.querySelector('#p3 h3').textContent") == NASTY
    assert opened.run("window.pwned === undefined")
    assert opened.errors == []


def test_nothing_is_requested_but_the_page(opened: Browser) -> None:
    for number in (1, 2, 3):
        show(opened, number)
        opened.run(f"document.querySelector('#p{number} [data-to=\"1\"]').click()")
    opened.picture()
    assert len(opened.requests) > 3
    assert [address for address in opened.requests if not address.startswith("data:")] == [opened.run("location.href")]
    assert opened.errors == []


def test_the_policy_stops_what_would_be_fetched_or_run(opened: Browser) -> None:
    stopped = opened.run(
        """new Promise((resolve) => {
          const seen = [];
          setTimeout(() => resolve(seen), 5000);
          document.addEventListener('securitypolicyviolation', (event) => {
            seen.push(event.effectiveDirective);
            if (seen.length === 4) resolve(seen);
          });
          new Image().src = 'http://127.0.0.1:9/a.png';
          fetch('http://127.0.0.1:9/').catch(() => {});
          document.body.insertAdjacentHTML('beforeend', '<p onclick="window.pwned = 1" style="color: red">x</p>');
          document.body.lastElementChild.click();  // newer browsers look at a handler when it is to run
        })"""
    )
    assert sorted(stopped) == ["connect-src", "img-src", "script-src-attr", "style-src-attr"]
    assert opened.run("window.pwned === undefined")


def test_two_hundred_photos_open_and_scroll(browser: Browser, large_page: Path) -> None:
    browser.open(large_page)
    assert browser.run("document.querySelectorAll('.photo').length") == 200
    drawn = "[...document.querySelectorAll('.stage')].filter(s => s.checkVisibility({contentVisibilityAuto: true}))"
    assert browser.run(f"{drawn}.length") < 10
    for number in (50, 100, 150, 200):
        show(browser, number)
        assert [colour(browser, number, across) for across in (0.2, 0.8)] == ["red", "green"]
    assert browser.run(f"{drawn}.length") < 10  # what is out of sight is not kept laid out
    assert not browser.run("document.querySelectorAll('.part[src]').length")  # nor decoded before it is asked for
    assert box(browser, "#p200 .stage")[1] < 800


def test_photos_are_found_by_name_and_put_in_order(browser: Browser, large_page: Path) -> None:
    browser.open(large_page)

    def give(name: str, value: str) -> None:
        browser.run(
            f"(f => {{ f.value = {value!r}; f.dispatchEvent(new Event('input', {{bubbles: true}})); }})"
            f"(document.getElementById({name!r}))"
        )

    give("filter", "PHOTO 19")
    shown = "[...document.querySelectorAll('.photo')].filter(p => !p.hidden).map(p => p.id)"
    assert browser.run(shown) == ["p19", *(f"p{n}" for n in range(190, 200))]
    assert browser.run("document.getElementById('count').textContent") == "11 of 200"
    give("order", "gain -1")
    assert browser.run(shown)[:2] == ["p195", "p19"]
    give("filter", "")
    give("order", "order 1")
    assert browser.run(shown) == [f"p{n}" for n in range(1, 201)]


def test_without_scripts_the_pictures_stand_side_by_side(browser: Browser, page: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page)
        show(browser, 1)
        assert [colour(browser, 1, across) for across in (0.1, 0.5, 0.9)] == ["red", "green", "blue"]
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
