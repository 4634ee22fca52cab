"""``--preview``: a part of the result alone, as it is in the whole, and never taken for the whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Answer, pixels
from larger_and_filled import array_of, names, objects, sideways, size_of
from PIL import Image

from dfrestore import photo

MakePhoto = Callable[..., Path]
Run = Callable[..., Answer]

SIZE = (64, 48)
PART = "20,10,30,16"
ROWS, COLUMNS = slice(10, 26), slice(20, 50)


@pytest.fixture
def source(tmp_path: Path, make_photo: MakePhoto) -> Path:
    return make_photo(tmp_path / "photo.png", 0, SIZE)


# -- its pixels


@pytest.mark.parametrize(
    "more",
    [(), ("--region", "0,0,40,30"), ("--strength", "0.5", "--grain", "30%"), ("--ensemble", "2"), ("--tile", "64")],
)
def test_its_pixels_are_those_of_the_whole_result(
    derain: Run, tmp_path: Path, source: Path, more: tuple[str, ...]
) -> None:
    assert derain(source, "-o", tmp_path / "whole.png", *more).code == 0
    answer = derain(source, "--preview", PART, *more)
    assert (answer.code, answer.paths) == (0, [str(tmp_path / "photo_derain_preview.png")])
    part, whole = array_of(tmp_path / "photo_derain_preview.png"), array_of(tmp_path / "whole.png")
    assert part.shape == (16, 30, 3)
    assert np.array_equal(part, whole[ROWS, COLUMNS])
    assert not np.array_equal(part, array_of(source)[ROWS, COLUMNS])


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("grey", [False, True])
def test_depth_grey_and_alpha_are_kept(derain: Run, tmp_path: Path, name: str, bits: int, grey: bool) -> None:
    draw = np.random.default_rng(0)
    colour = draw.random((48, 64, 1 if grey else 3), np.float32).repeat(3 if grey else 1, axis=2)
    kind = np.uint16 if bits == 16 else np.uint8
    alpha = draw.integers(0, np.iinfo(kind).max, (48, 64)).astype(kind)
    photo.write(tmp_path / name, photo.Photo(colour, alpha, photo.Origin(bits=bits, grey=grey)), colour)
    whole = photo.read(Path(derain(tmp_path / name).paths[0]))
    part = photo.read(Path(derain(tmp_path / name, "--preview", PART).paths[0]))
    assert (part.origin.bits, part.origin.grey) == (bits, grey)
    assert np.array_equal(part.rgb, whole.rgb[ROWS, COLUMNS])
    assert whole.alpha is not None
    assert part.alpha is not None
    assert np.array_equal(part.alpha, whole.alpha[ROWS, COLUMNS])


def test_it_is_counted_in_the_upright_photo_and_keeps_what_belongs_to_it(derain: Run, tmp_path: Path) -> None:
    path = sideways(tmp_path / "a.jpg")
    assert derain(path, "-o", tmp_path / "whole.png").code == 0
    assert derain(path, "-o", tmp_path / "part.png", "--preview", "2,14,8,6").code == 0
    assert np.array_equal(array_of(tmp_path / "part.png"), array_of(tmp_path / "whole.png")[14:20, 2:10])
    with Image.open(tmp_path / "part.png") as image:
        exif = image.getexif()
        assert (exif[0x010F], exif[0x0112]) == ("Maker", 1)
        assert exif.get_ifd(0x8769)[0xA002] == 8


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
@pytest.mark.parametrize(("scale", "box"), [("4", (80, 40, 200, 104)), ("1.5", (30, 15, 75, 39))])
def test_of_a_larger_result_it_is_the_same_part_larger(
    upscale: Run, tmp_path: Path, mode: str, scale: str, box: tuple[int, ...]
) -> None:
    image = Image.fromarray(pixels(*SIZE)).convert(mode)
    if mode != "RGB":
        image.putalpha(Image.fromarray(pixels(*SIZE, 1)[..., 0]))
    image.save(tmp_path / "a.png")
    assert upscale(tmp_path / "a.png", "--scale", scale, "-o", tmp_path / "whole.png").code == 0
    answer = upscale(tmp_path / "a.png", "--scale", scale, "--preview", PART)
    left, top, right, bottom = box
    whole = array_of(tmp_path / "whole.png")[top:bottom, left:right]
    assert np.array_equal(array_of(Path(answer.paths[0])), whole)


def test_of_a_photo_that_is_large_enough_it_is_that_part(upscale: Run, tmp_path: Path, source: Path) -> None:
    answer = upscale(source, "--min-size", "20x20", "--preview", PART)
    assert answer.code == 0
    assert np.array_equal(array_of(Path(answer.paths[0])), array_of(source)[ROWS, COLUMNS])


def test_of_a_filled_photo(dfrestore: Run, filling: Path, tmp_path: Path, source: Path) -> None:
    run = ["inpaint", source, "--mask", "rect:30,15,40,20", "--model", filling, "--precision", "fp32"]
    assert dfrestore(*run, "-o", tmp_path / "whole.png").code == 0
    answer = dfrestore(*run, "--preview", PART)
    assert answer.paths == [str(tmp_path / "photo_inpaint_preview.png")]
    assert np.array_equal(array_of(Path(answer.paths[0])), array_of(tmp_path / "whole.png")[ROWS, COLUMNS])


def test_one_partly_outside_is_cut_and_that_is_said(derain: Run, tmp_path: Path, source: Path) -> None:
    done = objects(derain(source, "--preview", "50,40,99,99", "--json"))[0]
    assert (done["size"], done["preview"]) == ([14, 8], [50, 40, 14, 8])
    assert "cut at the picture's edge" in done["warnings"][0]
    assert size_of(tmp_path / "photo_derain_preview.png") == (14, 8)


# -- what stands beside it


def test_strip_and_map_show_its_part(derain: Run, tmp_path: Path, source: Path) -> None:
    run = [source, "--uncertainty", tmp_path / "u.png", "--compare", tmp_path / "c.png", "--ensemble", "2"]
    assert derain(*run, "--preview", PART).code == 0
    with Image.open(tmp_path / "u.png") as part:
        assert part.width < 60
    with Image.open(tmp_path / "c.png") as strip:
        small = strip.size
    assert derain(*run, "--overwrite").code == 0
    with Image.open(tmp_path / "c.png") as strip:
        assert strip.height > small[1]


@pytest.mark.parametrize("option", [("--report", "r.html"), ("--trace", "t.gif")])
def test_what_shows_whole_photos_does_not_go_with_it(
    derain: Run, tmp_path: Path, source: Path, option: tuple[str, str]
) -> None:
    answer = derain(source, "--preview", PART, option[0], tmp_path / option[1])
    assert answer.code == 2
    assert f"--preview and {option[0]} exclude each other" in answer.err
    assert names(tmp_path) == ["photo.png"]


def test_it_goes_to_standard_output(random_model: Path, source: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dfrestore", "derain", source, "-o", "-", "--preview", PART]
    done = subprocess.run([*command, "--model", random_model], capture_output=True, check=True)
    (tmp_path / "o.png").write_bytes(done.stdout)
    assert size_of(tmp_path / "o.png") == (30, 16)


def test_it_is_told(derain: Run, source: Path) -> None:
    planned = objects(derain(source, "--preview", PART, "--dry-run", "--json"))[0]
    assert (planned["size"], planned["preview"]) == ([30, 16], [20, 10, 30, 16])
    assert "; 64x48 -> 30x16; preview of 30x16 at 20,10; " in derain(source, "--preview", PART).err.splitlines()[0]


# -- it is never taken for the whole, nor the whole for it


def test_in_a_folder_neither_counts_as_the_other(derain: Run, tmp_path: Path, photo_folder: Path) -> None:
    out = tmp_path / "out"
    part = ("--preview", "2,2,9,9")
    assert "4 done" in derain(photo_folder, "-o", out, *part).err
    assert names(out) == [
        *(".dfrestore.jsonl", "a_preview.png", "b_preview.jpg"),
        *("sub/a_preview.png", "sub/deep/c_preview.tif"),
    ]
    assert "4 done" in derain(photo_folder, "-o", out).err
    assert size_of(out / "a.png") == (24, 16)
    for more in ((), part):
        assert "4 skipped" in derain(photo_folder, "-o", out, *more).err


def test_beside_the_photos_previews_are_no_inputs(derain: Run, photo_folder: Path) -> None:
    assert "4 done" in derain(photo_folder, "--preview", "2,2,9,9").err
    assert (photo_folder / "sub" / "a_derain_preview.png").exists()
    assert "4 done" in derain(photo_folder).err
    assert "4 skipped" in derain(photo_folder).err


def test_under_the_same_name_a_whole_result_and_a_preview_are_other_settings(
    derain: Run, tmp_path: Path, source: Path
) -> None:
    out = tmp_path / "o.png"
    for first, second in (((), ("--preview", PART)), (("--preview", PART), ())):
        assert derain(source, "-o", out, *first, "--overwrite").code == 0
        before = out.read_bytes()
        answer = derain(source, "-o", out, *second)
        assert (answer.code, out.read_bytes()) == (1, before)
        assert "made with other settings" in answer.err


def test_another_preview_of_the_photo_replaces_it(derain: Run, tmp_path: Path, source: Path) -> None:
    out = tmp_path / "photo_derain_preview.png"
    for more, size in (((PART,), (30, 16)), (("0,0,8,9",), (8, 9)), (("0,0,8,9", "--seed", 5), (8, 9))):
        assert derain(source, "--preview", *more).code == 0
        assert size_of(out) == size
    assert "1 skipped" in derain(source, "--preview", "0,0,8,9", "--seed", 5).err
    out.write_bytes(b"mine")
    assert derain(source, "--preview", PART).code == 1
    assert out.read_bytes() == b"mine"


def test_in_a_folder_another_preview_replaces_it(derain: Run, tmp_path: Path, photo_folder: Path) -> None:
    out = tmp_path / "out"
    assert "4 done" in derain(photo_folder, "-o", out, "--preview", "2,2,9,9").err
    (out / "a_preview.png").write_bytes(b"mine")
    assert "3 done, 1 left" in derain(photo_folder, "-o", out, "--preview", "2,2,5,5").err
    assert (out / "a_preview.png").read_bytes() == b"mine"
    assert size_of(out / "sub" / "a_preview.png") == (5, 5)
