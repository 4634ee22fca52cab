"""The page of a report as text and as a file: what is in it, that it fetches nothing, that it is whole or not there."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfrestore.errors import PhotoWriteError, one_line
from dfrestore.evaluation import FileScore, Scores, summarise
from dfrestore.evaluation.html import FEW, About, Entry, frame, photo
from dfrestore.evaluation.page_file import PageFile, is_report
from dfrestore.evaluation.shots import Shot, Shots, Source, shots

NASTY = 'a"><script>alert(1)</script>&amp;\n\t☂️ \udcff\u202egnp.jpg'
ADDRESSES = {"src", "href", "data-src", "srcset", "action", "poster", "data", "formaction", "background", "xlink:href"}


class Page(HTMLParser):
    """What a browser would make of it. tags: (tag, attributes); texts: by the tag that they stand in."""

    VOID = frozenset({"img", "input", "meta", "link"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open = [""]
        self.feed(text)
        self.close()
        assert self._open == [""], "not every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, "elements cross"

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._open[-1], []).append(data)

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        return [found for name, found in self.tags if name == tag and wanted.items() <= found.items()]


def pictures(targets: bool = True) -> Shots:
    rng = np.random.default_rng(0)
    roles = ("before", "after", "target")[: 3 if targets else 2]
    found = shots([Source(role, rng.integers(0, 256, (700, 1000, 3), dtype=np.uint8)) for role in roles], 300_000)
    assert found is not None
    return found


SHOTS = pictures()
SCORE = FileScore("a", Scores(31.256, 0.91239), Scores(25.0, 0.7), 0.5)


def text(about: About, *entries: Entry) -> str:
    before, after = frame(about, len(entries))
    return before + "".join(photo(entry) for entry in entries) + after


def full_page() -> str:
    scores = [SCORE, FileScore("b", error="b: broken")]
    about = About(
        title="2 photos",
        settings=[("Model", NASTY)],
        failures=[(NASTY, f"{NASTY}: broken")],
        lists=[("Left", [NASTY])],
        means=summarise(scores),
        scores=list(enumerate(scores, 1)),
        footer=NASTY,
    )
    return text(about, *(Entry(number, NASTY, SHOTS, ("1.0 s",), (NASTY,), SCORE) for number in range(1, FEW + 3)))


def test_nothing_in_the_page_comes_from_elsewhere() -> None:
    page = full_page()
    for _, attributes in Page(page).tags:
        for key in ADDRESSES & attributes.keys():
            assert attributes[key].startswith(("data:", "#")), attributes[key][:80]
    assert re.findall("http(?!-equiv)", page) == []
    assert re.findall(r"url\(|@import|//[a-z]", re.sub(r'"data:[^"]*"', "", page)) == []


def test_the_policy_lets_nothing_in_but_the_pages_own_script_and_style_and_pictures_inside_it() -> None:
    page = full_page()
    (policy,) = [found["content"] for found in Page(page).all("meta", **{"http-equiv": "Content-Security-Policy"})]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag in ("script", "style"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert set(rules) == {"default-src", "img-src", "style-src", "script-src", "base-uri", "form-action"}
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_there_is_one_script_and_no_handler_or_style_in_attributes() -> None:
    page = Page(full_page())
    assert len(page.all("script")) == 1
    assert not [key for _, found in page.tags for key in found if key.startswith("on") or key == "style"]


@settings(deadline=None)
@given(st.text(st.characters(codec=None), min_size=1, max_size=30))
def test_any_name_is_shown_as_itself_with_what_does_not_print_made_visible(name: str) -> None:
    page = Page(photo(Entry(1, name, SHOTS, score=SCORE)))
    assert "".join(page.texts["bdi"]) == one_line(name)
    assert page.all("img")[0]["alt"] == f"{one_line(name)}, before"
    assert page.all("input")[0]["aria-label"] == f"{one_line(name)}: divider"
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in Page(photo(Entry(1, "a", SHOTS, score=SCORE))).tags]


def test_a_page_can_always_be_encoded() -> None:
    assert "\\udcff\\u202e" in full_page().encode().decode()


def test_every_failure_is_listed_with_its_line() -> None:
    failures = [(f"{number}.jpg", f"{number}.jpg: damaged; copy it <again>") for number in range(300)]
    page = text(About("x", failures=failures))
    found = Page(page)
    assert found.texts["bdi"] == [name for name, _ in failures]
    assert [line.strip() for line in found.texts["li"]] == [line for _, line in failures]
    assert found.texts["h2"][0] == "300 failed"


def test_settings_lists_and_convention_are_in_the_page() -> None:
    about = About("x", settings=[("Seed", "7")], lists=[("Left as found", ["a.jpg", "b.jpg"]), ("None", [])])
    page = Page(text(About(**{**vars(about), "convention": "PSNR and SSIM on Y; peak 255"})))
    assert "Seed" in page.texts["dt"]
    assert "7" in page.texts["dd"]
    assert "Left as found (2)" in page.texts["summary"]
    assert "None (0)" not in page.texts["summary"]
    assert any("PSNR and SSIM on Y; peak 255" in words for words in page.texts["p"])


def test_scores_stand_beside_each_photo_and_their_means_above() -> None:
    other = FileScore("b", Scores(29.0, 0.8), Scores(28.0, 0.7), 1.5)
    about = About("x", means=summarise([SCORE, other]), scores=[(1, SCORE), (2, other)])
    page = text(about, Entry(1, "a", SHOTS, score=SCORE), Entry(2, "b", SHOTS, score=other))
    assert "<b>30.13 dB</b><span>+3.63 from 26.50</span>" in page
    assert "PSNR 25.00 → <b>31.26</b> dB (<b>+6.26</b>)" in page
    assert "SSIM 0.7000 → <b>0.9124</b>" in page
    assert [found.get("href") for found in Page(page).all("a")].count("#p2") == 2  # in the table and at the photo


def test_identical_pictures_have_an_infinite_psnr_that_sorts() -> None:
    same = FileScore("a", Scores(math.inf, 1.0), Scores(25.0, 0.7))
    page = Page(photo(Entry(1, "a", SHOTS, score=same)))
    assert page.all("article")[0]["data-psnr"] == "Infinity"
    assert "∞" in "".join(page.texts["b"])


def test_only_pairs_that_are_there_can_be_compared() -> None:
    assert [
        found["data-right"] for found in Page(photo(Entry(1, "a", SHOTS))).all("button") if "data-right" in found
    ] == [
        "after",
        "target",
        "target",
    ]
    two = Page(photo(Entry(1, "a", pictures(targets=False))))
    assert not [found for found in two.all("button") if "data-right" in found]


def test_the_slider_is_a_labelled_range_and_every_picture_has_a_text() -> None:
    page = Page(full_page())
    ranges = page.all("input", type="range")
    assert len(ranges) == FEW + 2
    assert all(found["aria-label"] and found["aria-valuetext"] == "Before 50 %, After 50 %" for found in ranges)
    assert all(found["alt"] for found in page.all("img"))
    assert all(found["loading"] == "lazy" for found in page.all("img", **{"class": "whole"}))


def test_parts_at_full_size_wait_until_they_are_asked_for() -> None:
    parts = Page(photo(Entry(1, "a", SHOTS))).all("img", **{"class": "part"})
    assert len(parts) == 3
    assert all("src" not in found and found["data-src"].startswith("data:image/webp;base64,") for found in parts)


def test_the_page_says_that_pictures_are_reduced_only_where_they_are() -> None:
    assert "at most 900 pixels a side" in "".join(frame(About("x"), 1, reduced=True))
    assert "not reduced in size" in "".join(frame(About("x"), 1, reduced=False))


def test_a_photo_without_pictures_says_why() -> None:
    page = Page(photo(Entry(1, "a", notes=("no pictures: a.jpg: does not exist",))))
    assert not page.all("img")
    assert "no pictures: a.jpg: does not exist" in page.texts["em"]


def test_few_photos_need_no_search() -> None:
    assert 'id="filter"' not in "".join(frame(About("x"), FEW))
    assert 'id="filter"' in "".join(frame(About("x"), FEW + 1))


# -- the file


def written(path: Path, *numbers: int, overwrite: bool = False) -> int:
    with PageFile(path, overwrite=overwrite) as file:
        for number in numbers:
            file.add(Entry(number, f"photo {number}", SHOTS))
        return file.finish(About("x"))


def test_photos_stand_in_order_of_their_numbers_whenever_they_come(tmp_path: Path) -> None:
    size = written(tmp_path / "a.html", 3, 1, 2)
    assert size == (tmp_path / "a.html").stat().st_size
    names = Page((tmp_path / "a.html").read_text(encoding="utf-8")).texts["bdi"]
    assert names == ["photo 1", "photo 2", "photo 3"]


def test_nothing_is_seen_before_the_page_is_whole_nor_after_one_that_was_given_up(tmp_path: Path) -> None:
    with PageFile(tmp_path / "new" / "a.html") as file:
        file.add(Entry(1, "a", SHOTS))
        assert list((tmp_path / "new").iterdir()) == []
    assert list((tmp_path / "new").iterdir()) == []


def test_a_report_is_replaced_and_any_other_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    written(path, 1)
    assert is_report(path)
    written(path, 1, 2)
    assert "photo 2" in path.read_text(encoding="utf-8")
    path.write_text("<html>my own page</html>")
    assert not is_report(path)
    with pytest.raises(PhotoWriteError, match=r"a\.html: exists already, and is no report"):
        written(path, 1)
    assert path.read_text() == "<html>my own page</html>"
    written(path, 1, overwrite=True)
    assert is_report(path)


def test_a_place_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PhotoWriteError, match="cannot be written"):
        PageFile(tmp_path / "file" / "a.html")


def test_five_hundred_photos_do_not_gather_in_memory(tmp_path: Path) -> None:
    data = bytes(50_000)
    large = Shots(tuple(Shot(role, data, data) for role in ("before", "after")), (9, 9), (9, 9), (0, 0, 9, 9), 0.0)
    tracemalloc.start()
    try:
        with PageFile(tmp_path / "a.html") as file:
            for number in range(500):
                file.add(Entry(number, "a", large))
            size = file.finish(About("x"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 100_000_000
    assert peak < 5_000_000
