"""GIF and BMP: their first picture is read with all that belongs to it, and written as PNG."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import photo_files as files
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dfrestore import photo
from dfrestore.errors import PhotoReadError
from dfrestore.photo import decode, encode, format_of_content, gif_bmp, is_candidate, is_unread


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def colours(seed: int = 0) -> Image.Image:
    """A palette picture of 17x13 with some forty colours."""
    return Image.fromarray(files.noise("RGB", seed=seed) // 85 * 85).quantize(64)


def bytes_of(array: np.ndarray) -> np.ndarray:
    return np.round(array * 255).astype(np.uint8)


def test_a_gif_is_read_as_its_colours() -> None:
    picture = colours()
    taken = decode(saved(picture, "GIF"), "a.gif")
    assert np.array_equal(bytes_of(taken.rgb), np.asarray(picture.convert("RGB")))
    assert (taken.alpha, taken.origin.format, taken.origin.bits, taken.origin.lossless) == (None, "GIF", 8, True)
    assert taken.warnings == ("palette picture: the result is RGB",)


@pytest.mark.parametrize("mode", ["L", "P"])
def test_a_transparent_colour_is_alpha_and_colours_below_it_stay(mode: str) -> None:
    picture = colours() if mode == "P" else Image.fromarray(files.noise("L"))
    indices = np.asarray(picture)
    taken = decode(saved(picture, "GIF", transparency=int(indices[2, 3])), "a.gif")
    assert taken.alpha is not None
    assert np.array_equal(taken.alpha == 0, indices == indices[2, 3])
    assert set(np.unique(taken.alpha)) == {0, 255}
    assert np.array_equal(bytes_of(taken.rgb), np.asarray(picture.convert("RGB")))
    result, _ = encode(taken, taken.rgb)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(result)))[..., -1], taken.alpha)


def test_of_an_animation_the_first_frame_is_taken_and_said_once() -> None:
    data = saved(colours(0), "GIF", save_all=True, append_images=[colours(1), colours(2)], duration=40)
    taken = decode(data, "a.gif")
    assert np.array_equal(bytes_of(taken.rgb), np.asarray(colours(0).convert("RGB")))
    assert [note for note in taken.warnings if "frame" in note] == ["frame 1 of 3 taken"]


def test_a_later_frame_that_is_damaged_does_not_stop_the_first() -> None:
    data = saved(colours(0), "GIF", save_all=True, append_images=[colours(1)], duration=40)
    taken = decode(data[:-40], "a.gif")
    assert np.array_equal(bytes_of(taken.rgb), np.asarray(colours(0).convert("RGB")))
    assert "frame 1 of 2 taken" in taken.warnings


def test_grey_stays_grey_whatever_the_palette() -> None:
    few = Image.fromarray(files.noise("L") // 64 * 64).convert("RGB").quantize(8)
    for format in ("GIF", "BMP"):
        taken = decode(saved(few, format), "a")
        assert taken.origin.grey
        result, _ = encode(taken, taken.rgb)
        assert Image.open(io.BytesIO(result)).mode == "L"


def test_what_a_gif_says_of_itself_is_kept_and_comments_are_dropped_aloud() -> None:
    icc = files.profile("P3")
    pieces = b"".join(bytes([len(icc[i : i + 255])]) + icc[i : i + 255] for i in range(0, len(icc), 255))
    trailer = b"\x01" + bytes(range(255, -1, -1))
    more = b"!\xff\x0bXMP DataXMP" + files.XMP + trailer + b"\0!\xff\x0bICCRGBG1012" + pieces + b"\0"
    data = saved(colours(), "GIF", comment=b"hello")
    taken = decode(data[:-1] + more + data[-1:], "a.gif")
    assert (taken.origin.icc, taken.origin.xmp) == (icc, files.XMP)
    result, notes = encode(taken, taken.rgb)
    assert decode(result, "a.png").origin.icc == icc
    assert notes == ["text comments dropped: they belong to GIF"]


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_a_bmp_is_read_exactly(mode: str) -> None:
    picture = colours().convert("RGB") if mode == "RGB" else colours() if mode == "P" else colours().convert(mode)
    taken = decode(saved(picture, "BMP", dpi=(300, 300)), "a.bmp")
    assert np.array_equal(bytes_of(taken.rgb), np.asarray(picture.convert("RGB")))
    assert taken.origin.grey == (mode in ("L", "1"))
    assert taken.origin.dpi == pytest.approx((300, 300), rel=1e-3)


def test_the_alpha_of_a_bmp_is_kept() -> None:
    pixels = files.noise("RGBA")
    taken = decode(saved(Image.fromarray(pixels), "BMP"), "a.bmp")
    if taken.alpha is not None:  # Pillow writes 32 bits without saying that the fourth is alpha
        assert np.array_equal(taken.alpha, pixels[..., 3])
    masks = b"".join(mask.to_bytes(4, "little") for mask in (0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    head = (108).to_bytes(4, "little") + (17).to_bytes(4, "little") + (13).to_bytes(4, "little")
    head += b"\1\0\x20\0\3\0\0\0" + bytes(20) + masks
    rows = pixels[::-1, :, [2, 1, 0, 3]].tobytes()
    file = b"BM" + bytes(8) + (14 + 108).to_bytes(4, "little") + head.ljust(108, b"\0") + rows
    taken = decode(file, "a.bmp")
    assert taken.alpha is not None
    assert np.array_equal(taken.alpha, pixels[..., 3])
    assert np.array_equal(bytes_of(taken.rgb), pixels[..., :3])


def test_the_profile_of_a_bmp_is_kept() -> None:
    pixels, icc = files.noise("RGB"), files.profile("P3")
    taken = decode(files.bmp_with_profile(pixels, icc), "a.bmp")
    assert np.array_equal(bytes_of(taken.rgb), pixels)
    assert taken.origin.icc == icc
    assert taken.origin.dpi == pytest.approx((300, 300), rel=1e-3)


def test_they_are_told_by_content_and_taken_from_folders() -> None:
    for format, name in (("GIF", "a.GIF"), ("BMP", "a.bmp")):
        assert format_of_content(saved(colours(), format)[:64]) == format
        assert is_candidate(name)
        assert not is_unread(name)
    assert format_of_content(b"BMW is a maker of cars, and this is a text".ljust(64)) is None


@pytest.mark.parametrize("format", ["GIF", "BMP"])
def test_cut_off_files_are_refused_in_one_line(format: str) -> None:
    data = saved(colours(), format)
    for length in range(20, len(data) - 2, 7):
        with pytest.raises(PhotoReadError, match=f"a: damaged or cut-off {format}"):
            decode(data[:length], "a")


@pytest.mark.parametrize(("format", "size"), [("GIF", 6), ("BMP", 18)])
def test_a_picture_that_claims_to_be_huge_is_refused_before_it_is_decoded(format: str, size: int) -> None:
    data = bytearray(saved(colours(), format))
    width = 2 if format == "GIF" else 4
    data[size : size + 2 * width] = (60_000).to_bytes(width, "little") * 2
    with pytest.raises(PhotoReadError, match="60000 x 60000 is more than the limit"):
        decode(bytes(data), "a")


@given(st.binary(max_size=200))
def test_any_bytes_behind_the_head_of_a_gif_are_walked_to_an_end(tail: bytes) -> None:
    data = saved(colours(), "GIF")[:13] + tail
    assert len(list(gif_bmp._blocks(data))) <= len(tail)
    gif_bmp.read_metadata(data, "GIF")


def test_results_are_png_unless_another_format_is_asked_for_which_is_said_once(
    restore: Callable[..., Any], tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.gif", "b.GIF", "c.bmp"):
        (folder / name).write_bytes(saved(colours(), "BMP" if name.endswith("p") else "GIF"))
    answer = restore(folder, "-o", tmp_path / "out")
    assert [Path(path).name for path in answer.paths] == ["a.png", "b.png", "c.png"]
    assert answer.err.count(".gif can be read but not written, so the result is PNG; --format chooses another") == 1
    assert answer.err.count(".bmp can be read but not written, so the result is PNG; --format chooses another") == 1
    assert photo.read(tmp_path / "out" / "a.png").size == (13, 17)
    again = restore(folder, "-o", tmp_path / "out")
    assert "3 skipped" in again.err
    other = restore(folder / "a.gif", "-o", tmp_path / "a.webp")
    assert (other.code, "not written" in other.err) == (0, False)
