"""JSON that a strict parser reads, whatever numbers and names are in it."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st
from strict_parser import parsed

from dfrestore.strict_json import dumps


def test_numbers_that_json_does_not_have_become_null_wherever_they_stand() -> None:
    value = {"a": -math.inf, "b": [math.nan, (1.5, math.inf)], "c": {"d": {"e": math.nan}}, "f": 2, "g": True}
    assert parsed(dumps(value)) == {"a": None, "b": [None, [1.5, None]], "c": {"d": {"e": None}}, "f": 2, "g": True}


def test_names_stay_readable_where_that_is_wanted() -> None:
    assert dumps({"name": "Straße"}, ascii=False) == '{"name": "Straße"}'
    assert dumps({"name": "Straße"}) == '{"name": "Stra\\u00dfe"}'


def test_a_name_that_is_not_unicode_is_escaped() -> None:
    text = dumps({"name": "a\udcff"}, ascii=False)
    assert parsed(text.encode().decode()) == {"name": "a\udcff"}


@given(
    st.recursive(st.none() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_whatever_is_written_is_valid(value: object) -> None:
    for ascii in (True, False):
        text = dumps(value, ascii=ascii)
        parsed(text.encode().decode())
        assert json.loads(text) == parsed(text)
