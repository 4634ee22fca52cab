"""How large a result is to be: what the options mean, what they make of a picture, and what formats can hold."""

from __future__ import annotations

import io
import struct
from decimal import Decimal
from fractions import Fraction

import imagecodecs
import numpy as np
import pytest
from hypothesis import assume, given, reject
from hypothesis import strategies as st
from PIL import Image

from dfrestore.errors import FileFailure, PhotoWriteError, UsageError
from dfrestore.photo import Origin, Photo, avif, decode, encode
from dfrestore.photo.target_size import MAX_FACTOR, ResultSize, TargetSize, check_format_limit

SIDES = st.integers(1, 3000)
PICTURES = st.tuples(SIDES, SIDES)
BOXES = st.tuples(st.integers(1, 40_000), st.integers(1, 40_000))
FACTORS = st.decimals(1, 16, places=3)


def result(size: tuple[int, int], /, native: int = 4, **options: str | int) -> tuple[int, int]:
    """(width, height) for a picture of (width, height)."""
    made = TargetSize.parse(**options).result_size(size[1], size[0], native, "photo.jpg")
    return made.width, made.height


def made_or_discard(size: tuple[int, int], target: TargetSize) -> ResultSize:
    """For a drawn picture of (width, height); those whose result were too many times as large are not looked at."""
    try:
        return target.result_size(size[1], size[0], 4, "photo.jpg")
    except FileFailure:
        reject()


def result_or_discard(size: tuple[int, int], /, **options: str | int) -> tuple[int, int]:
    """(width, height) in the same way."""
    made = made_or_discard(size, TargetSize.parse(**options))
    return made.width, made.height


def refused(**options: str | int) -> str:
    with pytest.raises(UsageError) as caught:
        TargetSize.parse(**options)
    return str(caught.value)


@st.composite
def targets(draw: st.DrawFn, most: int = 40_000) -> TargetSize:
    """Any that :meth:`TargetSize.parse` can make, with sides up to ``most``."""
    width, height = draw(st.integers(1, most)), draw(st.integers(1, most))
    option = draw(st.sampled_from(["none", "scale", "size", "side", "long_edge", "short_edge", "min_size"]))
    only_larger = draw(st.sampled_from(["", ">"]))
    if option == "none":
        return TargetSize.parse()
    if option == "scale":
        return TargetSize.parse(scale=str(draw(FACTORS)))
    if option == "size":
        return TargetSize.parse(size=f"{width}x{height}{draw(st.sampled_from(['', '^', '!']))}{only_larger}")
    if option == "side":
        return TargetSize.parse(size=draw(st.sampled_from([f"{width}x", f"x{height}"])) + only_larger)
    if option == "min_size":
        return TargetSize.parse(min_size=f"{width}x{height}")
    return TargetSize.parse(**{option: width})


# What is asked for


@pytest.mark.parametrize("text", ["4", "4.0", "400%", " 400 % ", "x4", "4x", "X4", "0004.000"])
def test_a_factor_may_be_written_in_several_ways(text: str) -> None:
    assert TargetSize.parse(scale=text) == TargetSize.parse(scale="4")
    assert TargetSize.parse(scale=text).describe() == "x4"
    assert result((30, 20), scale=text) == (120, 80)


@pytest.mark.parametrize(("text", "size"), [("1.5", (45, 30)), ("133.4%", (40, 27)), ("16", (480, 320))])
def test_a_factor_need_not_be_whole(text: str, size: tuple[int, int]) -> None:
    assert result((30, 20), scale=text) == size


def test_without_an_option_the_model_decides() -> None:
    assert result((30, 20), native=2) == (60, 40)
    assert result((30, 20), native=4) == (120, 80)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("900x900", (900, 600)),
        ("900x300", (450, 300)),
        ("900x900^", (1350, 900)),
        ("900x300^", (900, 600)),
        ("900x900!", (900, 900)),
        ("900x", (900, 600)),
        ("900", (900, 600)),
        ("x900", (1350, 900)),
        (" 900 X 900 ^ ", (1350, 900)),
        ("150x150", (150, 100)),
        ("150x150>", (300, 200)),
        ("900x900>", (900, 600)),
        ("900x150>", (300, 200)),  # inside 900x150 it would be 225x150
        ("900x900^>", (1350, 900)),
        ("900x900>^", (1350, 900)),
        ("150x150^>", (300, 200)),
        ("900x100!>", (900, 200)),
        ("100x100!>", (300, 200)),
        ("150>", (300, 200)),
        ("x300>", (450, 300)),
    ],
)
def test_size_of_a_picture_of_300_by_200(text: str, size: tuple[int, int]) -> None:
    assert result((300, 200), size=text) == size


def test_edges_follow_the_picture_not_its_turn() -> None:
    assert result((300, 200), long_edge=900) == (900, 600)
    assert result((200, 300), long_edge=900) == (600, 900)
    assert result((300, 200), short_edge=900) == (1350, 900)
    assert result((200, 300), short_edge=900) == (900, 1350)


def test_min_size_enlarges_what_is_too_small_and_leaves_the_rest() -> None:
    assert result((300, 200), min_size="600x600") == (900, 600)
    assert result((900, 601), min_size="600x600") == (900, 601)
    assert result((900, 599), min_size="600x600") == (902, 600)  # 901.5


def test_sides_are_rounded_half_up() -> None:
    assert result((10, 30), scale="1.15") == (12, 35)  # 11.5, 34.5; in binary a little less
    assert result((3, 5), scale="1.5") == (5, 8)  # 4.5, 7.5
    assert result((10, 12), scale="1.24") == (12, 15)  # 12.4, 14.88


def test_a_side_never_vanishes() -> None:
    assert result((1000, 1), size="100x100") == (100, 1)


# What is refused


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"scale": "4", "size": "800x600"}, "--scale and --size"),
        ({"long_edge": 3, "short_edge": 3}, "--long-edge and --short-edge"),
        ({"size": "", "min_size": "9x9"}, "--size and --min-size"),
        ({"scale": "4", "long_edge": 9, "min_size": "9x9"}, "--scale and --long-edge and --min-size"),
    ],
)
def test_options_that_exclude_each_other_are_named(options: dict[str, str | int], names: str) -> None:
    assert refused(**options) == f"{names} exclude each other; give one of them"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "four",
        "nan",
        "inf",
        "-inf",
        "1e1",
        "1,5",
        "4%%",
        "x4x",
        "x200%",
        "4.",
        ".5",
        "4 4",
        "\u0664",
        "9" * 5000,
    ],
)
def test_what_is_no_factor_is_refused_with_an_example(text: str) -> None:
    message = refused(scale=text)
    assert message.endswith("is not a factor like 4, 1.5 or 200%")
    assert len(message) < 200


@pytest.mark.parametrize("text", ["0", "-0", "-2", "0.99", "50%", "99.99%"])
def test_factors_below_1_are_refused(text: str) -> None:
    assert refused(scale=text) == f"--scale: '{text}' is not a factor from 1 to 16"


@pytest.mark.parametrize("text", ["16.01", "22", "1601%", "1600.000000000001%", "9" * 30])
def test_a_factor_above_16_is_refused_and_the_message_names_size(text: str) -> None:
    message = refused(scale=text)
    assert f"'{text}' is not a factor from 1 to 16; " in message
    assert "--size 3840x2160" in message


@pytest.mark.parametrize(
    "text",
    ["", "x", "^", "800x600x400", "800*600", "800 600", "800x600%", "50%", "8e2x600", "1.5x2", "^800x600", "800x^600",
     "\u0668x9", "800x" + " " * 99 + "600", "800x600>>>>>", "9" * 31 + "x9", "9" * 5000]
)  # fmt: skip
def test_what_is_no_size_is_refused_with_examples(text: str) -> None:
    message = refused(size=text)
    assert "is not a size like 3840x2160 (fits inside), '3840x2160^' (fills)" in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("800x600^!", "exclude each other"),
        ("800x600!>^", "exclude each other"),
        ("800x600^^", "twice; write it once"),
        ("800x600<", "> is what only ever enlarges here"),
        ("800!", "! needs a width and a height"),
        ("x600!>", "! needs a width and a height"),
        ("800^", "there is --short-edge"),
        ("x600^", "^ needs a width and a height"),
    ],
)
def test_signs_that_make_no_sense_are_refused(text: str, cause: str) -> None:
    message = refused(size=text)
    assert message.startswith(f"--size: '{text}': ")
    assert cause in message


@pytest.mark.parametrize("text", ["", "800", "800x", "x600", "800x600^", "800x600>", "large", "9" * 5000])
def test_min_size_is_a_width_and_a_height(text: str) -> None:
    assert refused(min_size=text).endswith("is not a width and a height like 3840x2160")


@pytest.mark.parametrize(
    "number", [0, -1, 2**32, 10**5000, -(10**5000)], ids=["0", "-1", "2**32", "10**5000", "-10**5000"]
)
def test_sides_that_no_picture_has_are_refused_by_name(number: int) -> None:
    for option in ("long_edge", "short_edge"):
        message = refused(**{option: number})
        assert message.startswith(f"--{option.replace('_', '-')}: ")
        assert message.endswith(" is not a side from 1 to 4294967295 pixels")
        assert len(message) < 100


@pytest.mark.parametrize("text", ["0x600", "800x0", "-800x600", "800x-600", "4294967296x600", "9" * 30 + "x600"])
def test_boxes_with_sides_that_no_picture_has_are_refused_by_name(text: str) -> None:
    assert "is not a side from 1 to 4294967295 pixels" in refused(size=text)
    assert refused(min_size=text).startswith("--min-size: ")


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({"size": "8000x8000"}, "--size 8000x8000 is 40 times"),
        ({"size": " 8000 x 8000 ! "}, "--size 8000x8000! is 80 times"),
        ({"size": "8000x9!"}, "--size 8000x9! is 40 times"),
        ({"size": "9x8000!"}, "--size 9x8000! is 80 times"),
        ({"size": "8000"}, "--size 8000x is 40 times"),
        ({"long_edge": 8000}, "--long-edge 8000 is 40 times"),
        ({"short_edge": 1601}, "--short-edge 1601 is 16.1 times"),
        ({"min_size": "8000x10"}, "--min-size 8000x10 is 40 times"),
    ],
)
def test_more_than_16_times_is_that_photos_failure(options: dict[str, str | int], asked: str) -> None:
    with pytest.raises(FileFailure) as caught:
        result((200, 100), **options)
    assert str(caught.value) == f"photo.jpg: {asked} its size; at most 16 times, 3200x1600 here"


def test_a_model_of_more_than_16_times_is_refused_too() -> None:
    with pytest.raises(FileFailure, match=r"photo\.jpg: the model's own factor is 32 times its size"):
        result((200, 100), native=32)
    assert result((200, 100), native=32, scale="2") == (400, 200)


@given(PICTURES, targets())
def test_whatever_is_asked_for_16_times_is_the_most(size: tuple[int, int], target: TargetSize) -> None:
    made = made_or_discard(size, target)
    assert 1 <= made.width <= MAX_FACTOR * size[0]
    assert 1 <= made.height <= MAX_FACTOR * size[1]


def test_exactly_16_times_is_allowed() -> None:
    assert result((200, 100), size="3200x1600") == (3200, 1600)
    assert result((200, 100), short_edge=1600) == (3200, 1600)


# What always holds


def keeps_aspect(size: tuple[int, int], made: tuple[int, int]) -> bool:
    """Whether one factor, with each side rounded to whole pixels and at least one, gives both."""
    bounds = []
    for before, after in zip(size, made, strict=True):
        low = Fraction(0) if after == 1 else (after - Fraction(1, 2)) / before
        bounds.append((low, (after + Fraction(1, 2)) / before))
    return max(low for low, _ in bounds) < min(high for _, high in bounds)


@given(PICTURES, targets())
def test_aspect_is_kept_but_for_exact_sizes(size: tuple[int, int], target: TargetSize) -> None:
    assume(target.fit != "exact")
    made = made_or_discard(size, target)
    assert keeps_aspect(size, (made.width, made.height))


@given(PICTURES, BOXES)
def test_a_plain_size_fits_inside_and_touches_one_side(size: tuple[int, int], box: tuple[int, int]) -> None:
    width, height = result_or_discard(size, size=f"{box[0]}x{box[1]}")
    assert width <= box[0]
    assert height <= box[1]
    assert width == box[0] or height == box[1]


@given(PICTURES, BOXES)
def test_a_size_to_fill_is_reached_by_both_sides_and_met_by_one(size: tuple[int, int], box: tuple[int, int]) -> None:
    width, height = result_or_discard(size, size=f"{box[0]}x{box[1]}^")
    assert width >= box[0]
    assert height >= box[1]
    assert width == box[0] or height == box[1]


@given(PICTURES, BOXES)
def test_an_exact_size_is_met_by_both_sides(size: tuple[int, int], box: tuple[int, int]) -> None:
    assert result_or_discard(size, size=f"{box[0]}x{box[1]}!") == box


@given(PICTURES, SIDES)
def test_a_single_side_is_met(size: tuple[int, int], side: int) -> None:
    assert result_or_discard(size, size=f"{side}x")[0] == side
    assert result_or_discard(size, size=f"x{side}")[1] == side
    assert max(result_or_discard(size, long_edge=side)) == side
    assert min(result_or_discard(size, short_edge=side)) == side


@given(PICTURES, BOXES, st.sampled_from(["", "^", "!"]))
def test_only_ever_enlarging_never_shrinks_and_else_changes_nothing(
    size: tuple[int, int], box: tuple[int, int], sign: str
) -> None:
    made = result_or_discard(size, size=f"{box[0]}x{box[1]}{sign}>")
    assert made[0] >= size[0]
    assert made[1] >= size[1]
    plain = result_or_discard(size, size=f"{box[0]}x{box[1]}{sign}")
    if plain[0] >= size[0] and plain[1] >= size[1]:
        assert made == plain
    elif sign != "!":
        assert made == size


@given(PICTURES, BOXES)
def test_min_size_is_reached_and_large_pictures_stay(size: tuple[int, int], box: tuple[int, int]) -> None:
    made = result_or_discard(size, min_size=f"{box[0]}x{box[1]}")
    assert made[0] >= max(size[0], box[0])
    assert made[1] >= max(size[1], box[1])
    assert (made == size) == (size[0] >= box[0] and size[1] >= box[1])


@given(PICTURES, FACTORS, FACTORS)
def test_a_larger_factor_never_gives_less(size: tuple[int, int], one: Decimal, other: Decimal) -> None:
    small, large = (result(size, scale=str(factor)) for factor in sorted((one, other)))
    assert size[0] <= small[0] <= large[0]
    assert size[1] <= small[1] <= large[1]


@given(PICTURES, BOXES, st.integers(0, 500), st.integers(0, 500), st.sampled_from(["", "^", "!", ">", "^>", "!>"]))
def test_a_larger_box_never_gives_less(
    size: tuple[int, int], box: tuple[int, int], wider: int, taller: int, signs: str
) -> None:
    small = result_or_discard(size, size=f"{box[0]}x{box[1]}{signs}")
    large = result_or_discard(size, size=f"{box[0] + wider}x{box[1] + taller}{signs}")
    assert small[0] <= large[0]
    assert small[1] <= large[1]


# What the caller is told


def test_a_result_that_is_smaller_is_said_with_a_way_out() -> None:
    made = TargetSize.parse(long_edge=1920).result_size(3000, 4000, 4, "photo.jpg")
    assert made.size == (1440, 1920)
    assert made.note == (
        "the result is smaller than the photo (4000x3000 to 1920x1440); --size '1920x1920>' only ever enlarges"
    )
    assert result((4000, 3000), size="1920x1920>") == (4000, 3000)


@pytest.mark.parametrize(
    ("text", "words"), [("800x100!", "300x200 to 800x100"), ("100x800!", "300x200 to 100x800"), ("x150", "to 225x150")]
)
def test_one_side_that_is_smaller_is_said_too(text: str, words: str) -> None:
    note = TargetSize.parse(size=text).result_size(200, 300, 4, "photo.jpg").note
    assert note is not None
    assert words in note
    assert f"--size '{text}>' only ever enlarges" in note


@given(PICTURES, targets())
def test_a_note_stands_where_a_side_becomes_smaller_and_nowhere_else(size: tuple[int, int], target: TargetSize) -> None:
    made = made_or_discard(size, target)
    assert (made.note is not None) == (made.width < size[0] or made.height < size[1])


@pytest.mark.parametrize(
    "options", [{"min_size": "300x200"}, {"min_size": "10x200"}, {"size": "300x200>"}, {"size": "9x9!>"}]
)
def test_a_picture_that_is_large_enough_is_left_untouched(options: dict[str, str]) -> None:
    made = TargetSize.parse(**options).result_size(200, 300, 4, "photo.jpg")
    assert (made.size, made.untouched, made.note) == ((200, 300), True, None)


@pytest.mark.parametrize("options", [{"scale": "1"}, {"size": "300x200"}, {"size": "300x200!"}, {"long_edge": 300}])
def test_restoring_without_enlarging_is_not_leaving_untouched(options: dict[str, str | int]) -> None:
    made = TargetSize.parse(**options).result_size(200, 300, 4, "photo.jpg")
    assert (made.size, made.untouched, made.note) == ((200, 300), False, None)


def test_a_picture_that_is_enlarged_is_not_untouched() -> None:
    assert not TargetSize.parse(min_size="301x200").result_size(200, 300, 4, "photo.jpg").untouched


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "native"),
        ({"scale": "200%"}, "x2"),
        ({"scale": "2"}, "x2"),
        ({"scale": "1.50"}, "x1.5"),
        ({"scale": "10"}, "x10"),
        ({"size": " 3840 X 2160 ^"}, "3840x2160^"),
        ({"size": "3840x2160>!"}, "3840x2160!>"),
        ({"size": "3840"}, "width 3840"),
        ({"size": "3840x>"}, "width 3840>"),
        ({"size": "x4"}, "height 4"),
        ({"size": "x2160>"}, "height 2160>"),
        ({"long_edge": 3840}, "3840x3840"),
        ({"short_edge": 2160}, "2160x2160^"),
        ({"min_size": "3840x2160"}, "3840x2160^>"),
    ],
)
def test_a_target_is_described_in_one_way(options: dict[str, str | int], words: str) -> None:
    assert TargetSize.parse(**options).describe() == words


@given(targets())
def test_a_description_is_read_back_to_an_equal_target(target: TargetSize) -> None:
    words = target.describe()
    if target.factor is not None:
        assert TargetSize.parse(scale=words) == target
    elif words == "native":
        assert TargetSize.parse() == target
    else:
        assert TargetSize.parse(size=words.replace("height ", "x").removeprefix("width ")) == target


@given(targets(most=2), targets(most=2))
def test_targets_are_equal_when_their_descriptions_are(one: TargetSize, other: TargetSize) -> None:
    assert (one == other) == (one.describe() == other.describe())


# What formats can hold

LIMITS = [("JPEG", 65500, 8), ("WEBP", 16383, 8), ("AVIF", 32768, 8), ("PNG", 1_000_000, 8), ("PNG", 1_000_000, 16)]


@pytest.mark.parametrize("tall", [False, True])
@pytest.mark.parametrize(("format", "side", "bits"), LIMITS)
def test_what_is_within_a_limit_is_written_and_read_again(format: str, side: int, bits: int, tall: bool) -> None:
    size = (side, 1) if tall else (1, side)
    check_format_limit(format, *size, "photo")
    photo = Photo(np.zeros((*size, 3), np.float32), origin=Origin(bits=bits))
    data, _ = encode(photo, photo.rgb, format)
    assert decode(data, "photo").size == size


@pytest.mark.parametrize("tall", [False, True])
@pytest.mark.parametrize(("format", "side", "bits"), LIMITS)
def test_what_is_beyond_a_limit_cannot_be_written_or_read_again(format: str, side: int, bits: int, tall: bool) -> None:
    size = (side + 1, 1) if tall else (1, side + 1)
    with pytest.raises(FileFailure):
        check_format_limit(format, *size, "photo")
    with pytest.raises((OSError, ValueError, RuntimeError)):  # as each library says it
        written_and_read(format, np.zeros(size, np.uint16 if bits == 16 else np.uint8))


@pytest.mark.parametrize("tall", [False, True])
@pytest.mark.parametrize(("format", "side", "bits"), LIMITS)
def test_what_is_beyond_a_limit_is_not_encoded(format: str, side: int, bits: int, tall: bool) -> None:
    size = (side + 1, 1) if tall else (1, side + 1)
    photo = Photo(np.zeros((*size, 3), np.float32), origin=Origin(bits=bits))
    others = "TIFF" if side == 1_000_000 else "PNG or TIFF"
    with pytest.raises(PhotoWriteError, match=rf"than {format} can hold \({side} pixels a side\); use {others}$"):
        encode(photo, photo.rgb, format)


def written_and_read(format: str, grey: np.ndarray) -> None:
    """By the libraries alone, whose limits are to be seen."""
    if format == "PNG":
        imagecodecs.png_decode(imagecodecs.png_encode(grey))
        return
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, format)
    Image.open(buffer).load()


def test_an_avif_of_more_pixels_than_libavif_reads_is_refused() -> None:
    buffer = io.BytesIO()
    Image.new("L", (64, 64)).save(buffer, "AVIF")
    before, _, after = buffer.getvalue().partition(b"ispe\0\0\0\0")

    def claiming(width: int, height: int) -> bytes:
        return before + b"ispe\0\0\0\0" + struct.pack(">II", width, height) + after[8:]

    assert avif.read_header(claiming(16384, 16384)).width == 16384
    check_format_limit("AVIF", 16384, 16384, "photo.avif")
    with pytest.raises(OSError, match="cannot identify"):
        avif.read_header(claiming(16385, 16384))
    with pytest.raises(FileFailure, match="16385x16384 is more than AVIF holds \\(268 megapixels\\)"):
        check_format_limit("AVIF", 16384, 16385, "photo.avif")


@pytest.mark.parametrize(
    ("format", "size", "message"),
    [
        (
            "jpg",
            (100, 65501),
            "65501x100 is more than JPEG holds (65500 pixels a side); use --format png, or ask for a",
        ),
        (".WebP", (16384, 9), "9x16384 is more than WEBP holds (16383 pixels a side); use --format png, or ask for a"),
        ("HEIF", (9, 70_000), "70000x9 is more than JPEG holds (65500 pixels a side); use --format png, or ask for a"),
        ("JPEG", (9, 1_000_001), "is more than JPEG holds (65500 pixels a side); use --format tiff, or ask for a"),
        ("png", (9, 1_000_001), "is more than PNG holds (1000000 pixels a side); use --format tiff, or ask for a"),
        ("tif", (9, 2**32), "is more than TIFF holds (4294967295 pixels a side); ask for a smaller size"),
    ],
)
def test_a_format_that_is_too_small_is_named_with_its_limit_and_a_way_out(
    format: str, size: tuple[int, int], message: str
) -> None:
    with pytest.raises(FileFailure) as caught:
        check_format_limit(format, *size, "photo.jpg")
    assert str(caught.value).startswith("photo.jpg: a result of ")
    assert message in str(caught.value)


def test_where_no_other_size_can_be_asked_for_none_is_suggested() -> None:
    with pytest.raises(FileFailure) as caught:
        check_format_limit("webp", 9, 16384, "photo.png", fixed=True)
    assert str(caught.value).endswith("is more than WEBP holds (16383 pixels a side); use --format png")


def test_a_format_that_is_not_written_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="'bmx' is not written"):
        check_format_limit("bmx", 10, 10, "photo.bmx")
