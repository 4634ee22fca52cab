"""Rectangles of a photo: how they are written, cut, scaled, and how softly they come in."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfrestore.errors import FileFailure, UsageError
from dfrestore.photo import Origin, Photo
from dfrestore.photo.region import FEATHER, Region, cropped, parse_region, scaled, strength_of, within

SIZE = (60, 80)


@pytest.mark.parametrize("text", ["1,2,30,40", " 1 , 2 ,30, 40 "])
def test_a_region_is_four_whole_numbers(text: str) -> None:
    assert parse_region(text, "--region") == Region(1, 2, 30, 40)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "write x,y,w,h"),
        ("1,2,3", "write x,y,w,h"),
        ("1,2,3,4,5", "write x,y,w,h"),
        ("1.5,2,3,4", "write x,y,w,h"),
        ("a,b,c,d", "write x,y,w,h"),
        ("1,2,0,4", "at least 1"),
        ("1,2,3,-4", "at least 1"),
        ("-1,2,3,4", "at least 0"),
        ("1,-2,3,4", "at least 0"),
    ],
)
def test_anything_else_is_wrong_usage_that_names_the_option(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_region(text, "--preview")
    assert str(caught.value).startswith(f"--preview {text}: ")


def test_a_region_is_cut_at_the_edge_of_the_picture() -> None:
    assert within(Region(70, 50, 30, 30), SIZE, "a.png") == Region(70, 50, 10, 10)
    assert within(Region(0, 0, 80, 60), SIZE, "a.png") == Region(0, 0, 80, 60)


@pytest.mark.parametrize("region", [Region(80, 0, 5, 5), Region(0, 60, 5, 5)])
def test_one_wholly_outside_is_a_failure_that_tells_the_pictures_size(region: Region) -> None:
    with pytest.raises(FileFailure) as caught:
        within(region, SIZE, "a.png")
    assert str(caught.value) == f"a.png: the region {region} lies outside of the picture, which is 80x60"


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_a_region_grows_with_the_picture(factor: int) -> None:
    region = Region(7, 5, 11, 3)
    grown = scaled(region, SIZE, (60 * factor, 80 * factor))
    assert grown.numbers == tuple(factor * number for number in region.numbers)


@given(st.integers(1, 90), st.integers(1, 300), st.lists(st.integers(0, 90), min_size=1, max_size=5, unique=True))
def test_neighbours_stay_neighbours_at_any_size(side: int, result: int, cuts: list[int]) -> None:
    edges = sorted({0, side, *(cut % side for cut in cuts)})
    regions = [Region(a, 0, b - a, side) for a, b in pairwise(edges)]
    grown = [scaled(region, (side, side), (result, result)) for region in regions]
    for one in grown:
        assert one.width >= 1
        assert 0 <= one.x < one.x + one.width <= result
    if result >= side:
        assert [one.x + one.width for one in grown] == [*(one.x for one in grown[1:]), result]


def test_a_region_comes_in_softly_and_inside_alone() -> None:
    region = Region(10, 5, 60, 50)
    strength = strength_of([region], SIZE)
    inside = np.zeros(SIZE, bool)
    inside[region.slices] = True
    assert not strength[~inside].any()
    assert (strength[inside] > 0).all()
    row = strength[30, 10:40]
    assert (np.diff(row) >= 0).all()
    assert row[0] < 0.1
    assert np.abs(np.diff(row)).max() < 0.2  # no step
    assert (strength[5 + 12 : 55 - 12, 10 + 12 : 70 - 12] == 1).all()  # a quarter of 50


def test_the_edge_is_no_wider_than_so_many_pixels() -> None:
    strength = strength_of([Region(0, 40, 300, 200)], (400, 300))
    assert (strength[40 + FEATHER : 240 - FEATHER] == 1).all()
    assert strength[40 + FEATHER // 2, 100] < 1


def test_the_edge_of_the_picture_is_none_of_the_region() -> None:
    assert (strength_of([Region(0, 0, 500, 500)], SIZE) == 1).all()
    assert (strength_of([Region(40, 0, 500, 500)], SIZE)[:, 60:] == 1).all()


def test_regions_that_touch_are_one() -> None:
    apart = [Region(0, 0, 40, 60), Region(40, 0, 40, 60)]
    assert (strength_of(apart, SIZE) == 1).all()


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5])
def test_a_tiny_region_still_counts(side: int) -> None:
    strength = strength_of([Region(20, 20, side, side)], SIZE)
    assert (strength[20 : 20 + side, 20 : 20 + side] > 0).all()
    assert strength.max() > 0.5


@pytest.mark.parametrize("alpha", [False, True])
def test_a_part_of_a_photo_has_all_that_belongs_to_it(alpha: bool) -> None:
    rgb = np.random.default_rng(0).random((60, 80, 3), np.float32)
    opacity = (rgb[..., 0] * 255).astype(np.uint8) if alpha else None
    part = cropped(Photo(rgb, opacity, Origin(bits=16, icc=b"x"), ("note",)), Region(3, 4, 5, 6))
    assert np.array_equal(part.rgb, rgb[4:10, 3:8])
    assert (part.alpha is None) == (opacity is None)
    assert opacity is None or np.array_equal(part.alpha, opacity[4:10, 3:8])
    assert (part.origin, part.warnings) == (Origin(bits=16, icc=b"x"), ("note",))
