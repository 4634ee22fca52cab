"""What ``--mask`` may say, the masks that photos make of themselves, and what is said about a mask."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dfrestore.errors import FileFailure, UsageError
from dfrestore.photo import Origin, Photo, decode
from dfrestore.photo.mask import FAINT, coverage, dilated, feathered
from dfrestore.photo.mask_source import (
    LOSSY_TOLERANCE,
    AlphaMask,
    ColorMask,
    PathMask,
    RectMask,
    checked,
    describe,
    drawn,
    finished,
    parse,
    united,
)

MAGENTA = ColorMask((255, 0, 255))
DOT = np.zeros((20, 30), np.float32)
DOT[8:11, 9:14] = 1


# --- the option's text ---


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("alpha", AlphaMask()),
        ("./alpha", PathMask(Path("alpha"))),
        ("masks/wall.png", PathMask(Path("masks/wall.png"))),
        (r"C:\masks", PathMask(Path(r"C:\masks"))),
        ("./color:#fff", PathMask(Path("color:#fff"))),
        ("color:#ff00ff", MAGENTA),
        ("color:#F0f", MAGENTA),
        ("color:ff00ff", MAGENTA),
        ("color:#010203~16", ColorMask((1, 2, 3), 16)),
        ("color:#010203~0", ColorMask((1, 2, 3), 0)),
        ("rect:1,2,30,40", RectMask(1, 2, 30, 40)),
        ("rect: -5, 2, 30, 40", RectMask(-5, 2, 30, 40)),
    ],
)
def test_a_mask_is_a_path_alpha_a_colour_or_a_rectangle(text: str, source: object) -> None:
    assert parse(text) == source


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "--mask is empty"),
        ("color:", "color:#ff00ff"),
        ("color:magenta", "color:#ff00ff"),
        ("color:#ff00f", "color:#ff00ff"),
        ("color:#ff00ff~", "color:#ff00ff"),
        ("color:#ff00ff~-1", "color:#ff00ff"),
        ("color:#ff00ff~256", "from 0 to 255"),
        ("rect:1,2,3", "rect:x,y,w,h"),
        ("rect:1,2,3,4,5", "rect:x,y,w,h"),
        ("rect:1.5,2,3,4", "rect:x,y,w,h"),
        ("rect:1,2,0,4", "at least 1"),
        ("rect:1,2,3,-4", "at least 1"),
        ("colour:#ff00ff", "did you mean 'color'"),
        ("Rect:1,2,3,4", "did you mean 'rect'"),
    ],
)
def test_what_cannot_be_understood_is_told_with_the_way_out(text: str, told: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(text)
    assert told in str(error.value)
    assert text in str(error.value)


@given(st.tuples(*[st.integers(0, 255)] * 3), st.none() | st.integers(0, 255))
def test_every_colour_and_tolerance_can_be_written(color: tuple[int, int, int], tolerance: int | None) -> None:
    text = f"color:#{bytes(color).hex()}" + ("" if tolerance is None else f"~{tolerance}")
    assert parse(text) == ColorMask(color, tolerance)


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.integers(1, 10**6), st.integers(1, 10**6))
def test_every_rectangle_can_be_written(x: int, y: int, width: int, height: int) -> None:
    assert parse(f"rect:{x},{y},{width},{height}") == RectMask(x, y, width, height)


@given(st.text(max_size=20).map(lambda rest: f"rect:{rest}") | st.text(max_size=20).map(lambda rest: f"color:{rest}"))
def test_any_other_text_is_a_usage_error_of_one_line(text: str) -> None:
    told = ""
    try:
        assert isinstance(parse(text), RectMask | ColorMask)
    except UsageError as error:
        told = str(error)
    assert told.isprintable()


# --- drawn on the photo ---


def picture(rgb: np.ndarray, alpha: np.ndarray | None = None, **origin: object) -> Photo:
    levels = 65535 if rgb.dtype == np.uint16 else 255
    return Photo(rgb.astype(np.float32) / np.float32(levels), alpha, Origin(**origin))  # type: ignore[arg-type]


@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.integers(-15, 15),
    st.integers(-15, 15),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_a_rectangle_covers_exactly_its_pixels_in_the_picture(
    size: tuple[int, int], x: int, y: int, width: int, height: int
) -> None:
    rows, columns = np.indices(size)
    inside = (x <= columns) & (columns < x + width) & (y <= rows) & (rows < y + height)
    source, photo = RectMask(x, y, width, height), Photo(np.zeros((*size, 3), np.float32))
    if inside.any():
        mask = drawn(source, photo, "a.png")
        assert (mask.dtype, mask.shape) == (np.float32, size)
        assert np.array_equal(mask, inside)
    else:
        with pytest.raises(FileFailure):
            drawn(source, photo, "a.png")


def test_a_rectangle_outside_of_the_picture_is_told_with_its_size() -> None:
    with pytest.raises(FileFailure, match=r"^a\.png: the rectangle 5x6 at 30,2 lies outside .* 30x20$"):
        drawn(RectMask(30, 2, 5, 6), Photo(np.zeros((20, 30, 3), np.float32)), "a.png")


def test_a_rectangle_is_of_the_upright_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.zeros((4, 9, 3), np.uint8)
    stored[3, 0] = 255  # the left upper corner when turned to the right
    buffer = io.BytesIO()
    Image.fromarray(stored).save(buffer, "PNG", exif=exif.tobytes())
    photo = decode(buffer.getvalue(), "a.png")
    assert (photo.rgb[drawn(RectMask(0, 0, 1, 1), photo, "a.png") > 0] == 1).all()


@given(st.data())
@settings(max_examples=50)
def test_a_colour_covers_what_differs_by_no_more_than_the_tolerance_in_any_channel(data: st.DataObject) -> None:
    color = data.draw(st.tuples(*[st.integers(0, 255)] * 3))
    tolerance = data.draw(st.integers(0, 255))
    offsets = [-tolerance - 1, -tolerance, -1, 0, 1, tolerance, tolerance + 1]
    levels = np.array(color) + np.array(np.meshgrid(offsets, offsets, offsets)).reshape(3, -1).T
    levels = np.clip(levels, 0, 255).reshape(7, -1, 3)
    mask = drawn(ColorMask(color, tolerance), picture(levels.astype(np.uint8)), "a.png")
    assert np.array_equal(mask, (abs(levels - np.array(color)) <= tolerance).all(axis=2))


def test_a_painted_colour_is_found_exactly_in_a_file_without_loss() -> None:
    rgb = np.full((2, 3, 3), 255, np.uint8)
    rgb[0, :, 1] = 0, 1, 2
    assert drawn(MAGENTA, picture(rgb), "a.png").tolist() == [[1, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("quality", [75, 90])
def test_a_colour_painted_into_a_jpeg_is_found_without_a_tolerance(quality: int) -> None:
    rgb = np.random.default_rng(0).integers(60, 200, (64, 64, 3), dtype=np.uint8)
    rgb[16:48, 16:48] = 255, 0, 255
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    mask = drawn(MAGENTA, decode(buffer.getvalue(), "a.jpg"), "a.jpg")
    assert mask[18:46, 18:46].all()
    assert coverage(mask) <= 0.25
    exact = drawn(ColorMask(MAGENTA.color, 0), decode(buffer.getvalue(), "a.jpg"), "a.jpg")
    assert coverage(exact) < 0.2


def test_levels_of_16_bits_are_taken_to_the_nearest_of_8() -> None:
    rgb = np.zeros((1, 4, 3), np.uint16)
    rgb[0, :, 0] = 100 * 257 - 129, 100 * 257 - 128, 100 * 257 + 128, 100 * 257 + 129
    assert drawn(ColorMask((100, 0, 0)), picture(rgb, bits=16), "a.png").tolist() == [[0, 1, 1, 0]]


def test_colours_hidden_where_the_photo_is_transparent_do_not_count() -> None:
    alpha = np.array([[0, 1, 255]], np.uint8)
    mask = drawn(ColorMask((0, 0, 0)), picture(np.zeros((1, 3, 3), np.uint8), alpha), "a.png")
    assert mask.tolist() == [[0, 1, 1]]


def test_alpha_covers_what_is_transparent() -> None:
    alpha = np.array([[0, 51, 255]], np.uint8)
    photo = picture(np.zeros((1, 3, 3), np.uint8), alpha)
    assert np.allclose(drawn(AlphaMask(), photo, "a.png"), [[1, 0.8, 0]])
    with pytest.raises(FileFailure, match=r"a\.jpg: has no alpha"):
        drawn(AlphaMask(), Photo(photo.rgb), "a.jpg")


# --- united and finished ---


def test_several_masks_are_united_by_their_maximum() -> None:
    first, second = np.array([[0, 0.5, 1]], np.float32), np.array([[0.25, 0.75, 0]], np.float32)
    assert united([first, second]).tolist() == [[0.25, 0.75, 1]]
    assert first.tolist() == [[0, 0.5, 1]]
    with pytest.raises(ValueError):
        united([])


def test_a_mask_is_inverted_then_dilated_then_feathered() -> None:
    mask = finished(1 - DOT, invert=True, dilate=3, feather=4)
    soft = feathered(dilated(DOT, 3), 4)
    assert np.array_equal(mask, np.where(soft < FAINT, 0, soft))  # so that a saved mask means the same
    assert not np.array_equal(mask, dilated(feathered(DOT, 4), 3))
    assert mask.dtype == np.float32


def test_without_options_a_mask_stays_as_it_is() -> None:
    assert np.array_equal(finished(DOT), DOT)


# --- checked and told ---


def test_an_empty_mask_is_that_files_failure() -> None:
    with pytest.raises(FileFailure, match=r"^m\.png: nothing to fill: the mask is empty; paint .* white$"):
        checked(0 * DOT, "m.png", PathMask(Path("m.png")))


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        (AlphaMask(), "no pixel is transparent"),
        (MAGENTA, f"no pixel is #ff00ff; allow more levels, as in #ff00ff~{LOSSY_TOLERANCE}"),
        (ColorMask((0, 1, 2), 40), "no pixel is #000102 within 40 levels; allow more levels, as in #000102~80"),
    ],
)
def test_advice_on_an_empty_mask_depends_on_its_source(source: AlphaMask | ColorMask, advice: str) -> None:
    with pytest.raises(FileFailure) as error:
        checked(0 * DOT, "a.png", source)
    assert str(error.value).endswith(f"the mask is empty; {advice}")


@pytest.mark.parametrize("mask", [DOT * 0 + 1, np.where(DOT > 0, np.float32(1), np.float32(0.5))])
def test_a_mask_that_leaves_no_pixel_is_that_files_failure(mask: np.ndarray) -> None:
    with pytest.raises(FileFailure, match=r"^m\.png: nothing to fill from: the mask is full.*; --invert if"):
        checked(mask, "m.png")
    with pytest.raises(FileFailure, match="; leave out --invert if"):
        checked(mask, "m.png", invert=True)


@pytest.mark.parametrize("ground", [4 / 255, 0.1, 0.49])
def test_a_mask_that_is_nowhere_black_is_that_files_failure(ground: float) -> None:
    """A model sees only what is 0 in the mask, so that it would see nothing and fill with black."""
    mask = np.where(DOT > 0, np.float32(1), np.float32(ground))
    with pytest.raises(FileFailure, match=r"^m\.png: nothing to fill from: the mask covers every pixel.*black"):
        checked(mask, "m.png")


def test_a_mask_that_is_grey_in_most_places_is_warned_of() -> None:
    mask = np.where(np.arange(20)[:, None] < 12, np.float32(0.05), np.zeros((20, 30), np.float32))
    mask[0, 0] = 1
    assert (warning := checked(mask, "m.png")) is not None
    assert warning.startswith("mask covers 60.0 % of the picture a little")


@pytest.mark.parametrize(("rows", "warned"), [(1, False), (10, False), (11, True), (19, True)])
def test_a_mask_of_more_than_half_of_the_picture_is_warned_of(rows: int, warned: bool) -> None:
    mask = np.zeros((20, 30), np.float32)
    mask[:rows] = 1
    warning = checked(mask, "m.png")
    if warned:
        assert warning == f"mask covers {rows * 5}.0 % of the picture; --invert if it is the wrong way round"
    else:
        assert warning is None


@pytest.mark.parametrize(
    ("source", "plain", "inverted"),
    [
        (PathMask(Path("m.png")), "white is filled", "all but white is filled"),
        (AlphaMask(), "what is transparent is filled", "all but what is transparent is filled"),
        (MAGENTA, "#ff00ff is filled", "all but #ff00ff is filled"),
        (
            ColorMask((0, 1, 2), 16),
            "#000102 within 16 levels is filled",
            "all but #000102 within 16 levels is filled",
        ),
        (
            RectMask(1, 2, 3, 4),
            "the rectangle 3x4 at 1,2 is filled",
            "all but the rectangle 3x4 at 1,2 is filled",
        ),
    ],
)
def test_polarity_and_coverage_are_told(source: PathMask, plain: str, inverted: str) -> None:
    assert describe(DOT, source) == f"{plain}, 2.5 % of the picture"
    assert describe(DOT, source, invert=True) == f"{inverted}, 2.5 % of the picture"


def test_of_united_masks_each_kind_is_told_once() -> None:
    files = [PathMask(Path(name)) for name in ("a.png", "b.png")]
    assert describe(DOT, *files, AlphaMask()) == "white and what is transparent are filled, 2.5 % of the picture"


@pytest.mark.parametrize(("pixels", "told"), [(1, "less than 0.1 %"), (9_999, "more than 99.9 %"), (5_000, "50.0 %")])
def test_a_small_rest_is_not_rounded_away(pixels: int, told: str) -> None:
    mask = (np.arange(10_000).reshape(100, 100) < pixels).astype(np.float32)
    assert describe(mask, AlphaMask()).endswith(f"filled, {told} of the picture")
