"""The words for attention windows: one form each, read back to what they say, refused where they say nothing."""

from __future__ import annotations

import pytest

from dfrestore.windows import GLOBAL, MOST_WINDOW, Windows, described, normalised, parse


@pytest.mark.parametrize(
    ("given", "windows", "words"),
    [
        ("global", None, GLOBAL),
        ("GLOBAL", None, GLOBAL),
        (384, Windows(384), 384),
        ("384", Windows(384), 384),
        ("384@2", Windows(384, (2,)), "384@2"),
        ("64@3,1,3", Windows(64, (1, 3)), "64@1,3"),
    ],
)
def test_words_have_one_form(given: object, windows: Windows | None, words: object) -> None:
    assert parse(given) == windows
    assert normalised(given) == words
    assert parse(normalised(given)) == windows


@pytest.mark.parametrize(
    "given",
    [
        7,
        "7",
        0,
        -64,
        MOST_WINDOW + 1,
        "",
        "384@",
        "384@0",
        "384@2,",
        "@2",
        "384@x",
        " 384",
        "3e2",
        64.0,
        True,
        None,
        [64],
    ],
)
def test_what_says_nothing_is_refused(given: object) -> None:
    with pytest.raises(ValueError, match="is neither 'global' nor a number of pixels from 8"):
        parse(given)


def test_a_level_has_windows_where_none_or_it_is_named() -> None:
    assert [Windows(64).at(level) for level in (1, 2, 3, 4)] == [64] * 4
    assert [Windows(64, (2, 3)).at(level) for level in (1, 2, 3, 4)] == [None, 64, 64, None]


def test_people_read_them_as_sentences() -> None:
    assert described("global") == "global (the whole picture)"
    assert described(384) == "384 pixels"
    assert described("384@2") == "384 pixels at level 2"
    assert described("384@1,2") == "384 pixels at levels 1, 2"
