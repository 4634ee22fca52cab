"""``--region`` and ``--mask`` of the tasks that fill nothing: where a photo changes, and that it does nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Answer, command, pixels
from larger_and_filled import array_of, changed, names, objects, sideways
from numpy.typing import NDArray
from PIL import Image

from dfrestore import photo
from dfrestore.photo.encode import quantise
from dfrestore.photo.enlarged import enlarged
from dfrestore.photo.region import Region
from dfrestore.tasks import restoring_tasks

MakePhoto = Callable[..., Path]
Run = Callable[..., Answer]

SIZE = (64, 48)
REGION = "10,8,32,24"
"""Half as wide and as high as the photo."""


@pytest.fixture
def upscale(dfrestore: Run, times2: Path) -> Run:
    return command(dfrestore, "upscale", times2)


@pytest.fixture
def source(tmp_path: Path, make_photo: MakePhoto) -> Path:
    return make_photo(tmp_path / "photo.png", 0, SIZE)


def inside(region: str = REGION, size: tuple[int, int] = SIZE) -> NDArray[np.bool_]:
    mask = np.zeros(size[::-1], bool)
    mask[Region(*map(int, region.split(","))).slices] = True
    return mask


def save(path: Path, strength: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(strength).save(path)
    return path


# -- what changes, and what does not


def test_only_the_region_changes_and_its_middle_is_that_of_the_whole_result(
    derain: Run, tmp_path: Path, source: Path
) -> None:
    whole, part = tmp_path / "whole.png", tmp_path / "part.png"
    assert derain(source, "-o", whole).code == 0
    assert derain(source, "-o", part, "--region", REGION).code == 0
    there = changed(source, part)
    assert not there[~inside()].any()
    assert there[inside()].mean() > 0.9
    middle = inside("16,14,20,12")  # a quarter of 24 pixels is the soft edge
    assert np.array_equal(array_of(part)[middle], array_of(whole)[middle])


def test_several_regions_are_united(derain: Run, tmp_path: Path, source: Path) -> None:
    regions = ("0,0,16,16", "40,30,16,16")
    assert derain(source, "-o", tmp_path / "o.png", "--region", regions[0], "--region", regions[1]).code == 0
    there = changed(source, tmp_path / "o.png")
    assert not there[~(inside(regions[0]) | inside(regions[1]))].any()
    for region in regions:
        assert there[inside(region)].mean() > 0.9


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *((name, mode) for name in ("a.png", "a.tif") for mode in ("RGB", "RGBA", "L", "LA")),
        *(("a.webp", "RGB"), ("a.webp", "RGBA"), ("a.jpg", "RGB"), ("a.jpg", "L")),
    ],
)
def test_outside_of_the_region_8_bit_stay_exact(derain: Run, tmp_path: Path, name: str, mode: str) -> None:
    image = Image.fromarray(pixels(*SIZE)).convert(mode)
    if "A" in mode:
        image.putalpha(Image.fromarray(pixels(*SIZE, 1)[..., 0]))
    image.save(tmp_path / name, **({"lossless": True, "exact": True} if name == "a.webp" else {}))
    kept = () if name != "a.jpg" else ("--format", "png")
    answer = derain(tmp_path / name, "--region", REGION, *kept)
    assert answer.code == 0
    before, after = array_of(tmp_path / name), array_of(Path(answer.paths[0]))
    assert before.dtype == after.dtype
    assert before.shape == after.shape
    assert np.array_equal(before[~inside()], after[~inside()])
    assert not np.array_equal(before, after)
    if "A" in mode:
        assert np.array_equal(before[..., -1], after[..., -1])


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_outside_of_the_region_16_bit_stay_exact(
    derain: Run, tmp_path: Path, name: str, grey: bool, alpha: bool
) -> None:
    draw = np.random.default_rng(0)
    samples = draw.integers(0, 65536, (48, 64, 1 if grey else 3)).astype(np.float32) / 65535
    colour = samples.repeat(3, axis=2) if grey else samples
    opacity = draw.integers(0, 65536, (48, 64)).astype(np.uint16) if alpha else None
    photo.write(tmp_path / name, photo.Photo(colour, opacity, photo.Origin(bits=16, grey=grey)), colour)
    answer = derain(tmp_path / name, "--region", REGION)
    before, after = photo.read(tmp_path / name), photo.read(Path(answer.paths[0]))
    assert (after.origin.bits, after.origin.grey, after.alpha is None) == (16, grey, not alpha)
    there = (before.rgb != after.rgb).any(axis=2)
    assert not there[~inside()].any()
    assert there[inside()].mean() > 0.9
    assert before.alpha is None or np.array_equal(before.alpha, after.alpha)


def test_coordinates_are_those_of_the_upright_photo(derain: Run, tmp_path: Path) -> None:
    """Stored as 24x16, upright 16x24."""
    path = sideways(tmp_path / "a.jpg")
    assert derain(path, "-o", tmp_path / "o.png", "--region", "2,14,12,8").code == 0
    before, after = photo.read(path), photo.read(tmp_path / "o.png")
    there = (before.rgb != after.rgb).any(axis=2)
    assert there.shape == (24, 16)
    assert not there[~inside("2,14,12,8", (16, 24))].any()
    assert there.any()


# -- masks


def test_a_grey_picture_is_a_strength_per_pixel(derain: Run, tmp_path: Path, source: Path) -> None:
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[:, :20], mask[:, 20:40] = 255, 102  # 0.4
    assert derain(source, "-o", tmp_path / "full.png").code == 0
    assert derain(source, "-o", tmp_path / "o.png", "--mask", save(tmp_path / "m.png", mask)).code == 0
    before, full, made = (array_of(path).astype(float) for path in (source, tmp_path / "full.png", tmp_path / "o.png"))
    assert np.array_equal(made[:, 40:], before[:, 40:])
    assert np.array_equal(made[:, :20], full[:, :20])
    blended = before + 0.4 * (full - before)
    assert np.abs(made - blended)[:, 20:40].max() <= 1
    assert np.abs(made - before)[:, 20:40].max() > 1


def test_strength_and_mask_multiply(derain: Run, tmp_path: Path, source: Path) -> None:
    mask = save(tmp_path / "m.png", np.full(SIZE[::-1], 128, np.uint8))
    assert derain(source, "-o", tmp_path / "a.png", "--mask", mask, "--strength", 0.5).code == 0
    assert derain(source, "-o", tmp_path / "b.png", "--strength", 0.25).code == 0
    difference = array_of(tmp_path / "a.png").astype(int) - array_of(tmp_path / "b.png")
    assert np.abs(difference).max() <= 1


def test_the_alpha_of_a_mask_counts(derain: Run, tmp_path: Path, source: Path) -> None:
    drawn = np.zeros((*SIZE[::-1], 4), np.uint8)
    drawn[:, :30] = 255
    assert derain(source, "-o", tmp_path / "o.png", "--mask", save(tmp_path / "m.png", drawn)).code == 0
    there = changed(source, tmp_path / "o.png")
    assert not there[:, 30:].any()
    assert there[:, :30].mean() > 0.9


def test_grey_levels_of_a_jpeg_are_strengths_too(derain: Run, tmp_path: Path, source: Path) -> None:
    Image.fromarray(np.full(SIZE[::-1], 102, np.uint8)).save(tmp_path / "m.jpg")
    assert derain(source, "-o", tmp_path / "a.png", "--mask", tmp_path / "m.jpg").code == 0
    assert derain(source, "-o", tmp_path / "b.png", "--strength", 0.4).code == 0
    difference = array_of(tmp_path / "a.png").astype(int) - array_of(tmp_path / "b.png")
    assert np.abs(difference).max() <= 1


def test_a_mask_and_a_region_are_united(derain: Run, tmp_path: Path, source: Path) -> None:
    drawn = np.zeros(SIZE[::-1], np.uint8)
    drawn[40:, :] = 255
    options = ("--mask", save(tmp_path / "m.png", drawn), "--region", "0,0,16,16")
    assert derain(source, "-o", tmp_path / "o.png", *options).code == 0
    there = changed(source, tmp_path / "o.png")
    assert not there[(drawn == 0) & ~inside("0,0,16,16")].any()
    assert there[drawn > 0].mean() > 0.9
    assert there[inside("0,0,16,16")].mean() > 0.9


def test_a_mask_that_was_stored_sideways_is_turned_like_a_photo(derain: Run, tmp_path: Path, source: Path) -> None:
    drawn = np.zeros(SIZE[::-1], np.uint8)
    drawn[:, :30] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter clockwise
    Image.fromarray(np.rot90(drawn)).save(tmp_path / "m.png", exif=exif)
    assert derain(source, "-o", tmp_path / "o.png", "--mask", tmp_path / "m.png").code == 0
    there = changed(source, tmp_path / "o.png")
    assert there[:, :30].mean() > 0.9
    assert not there[:, 30:].any()


def test_a_folder_of_masks_is_matched_by_the_photos_names(
    derain: Run, tmp_path: Path, photo_folder: Path, make_photo: MakePhoto
) -> None:
    left = np.zeros((16, 24), np.uint8)
    left[:, :10] = 255
    save(tmp_path / "masks" / "a.png", left)
    save(tmp_path / "masks" / "b_mask.png", 255 - left)
    answer = derain(photo_folder, "--no-recursive", "--mask", tmp_path / "masks", "-o", tmp_path / "out")
    assert answer.code == 0
    assert not changed(photo_folder / "a.png", tmp_path / "out" / "a.png")[:, 10:].any()
    assert changed(photo_folder / "a.png", tmp_path / "out" / "a.png").any()
    without = derain(photo_folder, "--mask", tmp_path / "masks", "-o", tmp_path / "out")
    assert without.code == 1
    assert "no mask for" in without.err


@pytest.mark.parametrize("size", [(32, 24), (128, 96), (127, 95)])
def test_a_mask_of_another_size_and_the_same_aspect_is_resized_and_that_is_said(
    derain: Run, tmp_path: Path, source: Path, size: tuple[int, int]
) -> None:
    left = np.zeros(size[::-1], np.uint8)
    left[:, : size[0] // 2] = 255
    answer = derain(source, "--mask", save(tmp_path / "m.png", left), "-o", tmp_path / "o.png")
    assert answer.code == 0
    assert f"mask resized ({size[0]}x{size[1]} to 64x48)" in answer.err
    there = changed(source, tmp_path / "o.png")
    assert there[:, :32].mean() > 0.9
    assert not there[:, 32:].any()


@pytest.mark.parametrize("size", [(64, 50), (7, 50), (48, 64)])
def test_a_mask_of_another_aspect_is_that_photos_failure(
    derain: Run, tmp_path: Path, source: Path, make_photo: MakePhoto, size: tuple[int, int]
) -> None:
    mask = save(tmp_path / "m.png", np.full(size[::-1], 255, np.uint8))
    fits = make_photo(tmp_path / "fits.png", 1, size)
    answer = derain(source, fits, "--mask", mask, "-o", tmp_path / "out")
    assert answer.code == 1
    (line,) = [line for line in answer.err.splitlines() if "do not fit" in line]
    assert f"{size[0]}x{size[1]} pixels do not fit the photo's 64x48" in line
    assert str(source) in line
    assert answer.paths == [str(tmp_path / "out" / "fits.png")]


def test_an_empty_mask_is_that_photos_failure(derain: Run, tmp_path: Path, source: Path) -> None:
    answer = derain(source, "--mask", save(tmp_path / "m.png", np.zeros(SIZE[::-1], np.uint8)))
    assert answer.code == 1
    assert "nothing would change: the mask is empty" in answer.err
    assert names(tmp_path) == ["m.png", "photo.png"]


# -- larger results


def test_outside_of_a_region_a_larger_result_is_the_plain_resize(upscale: Run, tmp_path: Path, source: Path) -> None:
    assert upscale(source, "-o", tmp_path / "o.png", "--region", "16,8,32,24").code == 0
    made = array_of(tmp_path / "o.png").astype(int)
    plain = quantise(enlarged(photo.read(source), 96, 128).rgb, 8, grey=False).astype(int)
    there = inside("32,16,64,48", (128, 96))
    assert np.array_equal(made[~there], plain[~there])
    middle = inside("48,32,32,16", (128, 96))
    repeated = array_of(source).repeat(2, axis=0).repeat(2, axis=1)
    assert np.abs(made - repeated)[middle].max() <= 1


def test_a_mask_grows_with_the_picture(upscale: Run, tmp_path: Path, source: Path) -> None:
    drawn = np.zeros(SIZE[::-1], np.uint8)
    drawn[:, :32] = 255
    mask = save(tmp_path / "m.png", drawn)
    assert upscale(source, "-o", tmp_path / "o.png", "--mask", mask, "--scale", 1.5).code == 0
    made = array_of(tmp_path / "o.png").astype(int)
    plain = quantise(enlarged(photo.read(source), 72, 96).rgb, 8, grey=False).astype(int)
    assert np.array_equal(made[:, 48:], plain[:, 48:])
    assert (made[:, :46] != plain[:, :46]).any(axis=2).mean() > 0.9


# -- what is wrong


@pytest.mark.parametrize("region", ["1,2,3", "1,2,3,x", "1,2,0,4", "1,2,3,-4", "-1,2,3,4", "1.5,2,3,4", ""])
@pytest.mark.parametrize("option", ["--region", "--preview"])
def test_impossible_values_are_wrong_usage_before_any_work(
    dfrestore: Run, tmp_path: Path, source: Path, option: str, region: str
) -> None:
    answer = dfrestore("derain", source, option, region, "--model", "no-such-model")
    assert answer.code == 2
    assert answer.err.startswith(f"dfrestore: {option} {region}: ")
    assert len(answer.err.splitlines()) == 1
    assert names(tmp_path) == ["photo.png"]


@pytest.mark.parametrize("option", ["--region", "--preview"])
def test_a_region_outside_of_a_photo_is_that_photos_failure_alone(
    derain: Run, tmp_path: Path, source: Path, make_photo: MakePhoto, option: str
) -> None:
    small = make_photo(tmp_path / "small.png")
    answer = derain(small, source, option, "30,4,20,20", "-o", tmp_path / "out")
    assert answer.code == 1
    (line,) = [line for line in answer.err.splitlines() if "outside" in line]
    assert line == f"dfrestore: {small}: the region 20x20 at 30,4 lies outside of the picture, which is 24x16"
    assert len(answer.paths) == 1


def test_a_region_partly_outside_is_cut_and_that_is_said(derain: Run, tmp_path: Path, source: Path) -> None:
    answer = derain(source, "--region", "40,30,999,999", "--json")
    assert answer.code == 0
    done = objects(answer)[0]
    assert done["regions"] == [[40, 30, 24, 18]]
    assert "cut at the picture's edge, to 24x18 at 40,30" in done["warnings"][0]
    there = changed(source, tmp_path / "photo_derain.png")
    assert not there[~inside("40,30,24,18")].any()
    assert there[-1, -1]  # the picture's own edge is not soft


@pytest.mark.parametrize("mask", ["rect:1,2,3,4", "alpha", "color:#ff00ff"])
def test_only_inpaint_draws_masks(dfrestore: Run, source: Path, mask: str) -> None:
    answer = dfrestore("denoise", source, "--mask", mask)
    assert answer.code == 2
    assert f"--mask {mask}: denoise takes a FILE or a FOLDER; --region x,y,w,h marks a rectangle" in answer.err


@pytest.mark.parametrize("option", ["--region", "--mask", "--preview"])
def test_the_tasks_have_the_option(dfrestore: Run, option: str) -> None:
    having = {task for task in restoring_tasks() if f"  {option} " in dfrestore(task, "--help").out}
    assert having == set(restoring_tasks()) - ({"inpaint"} if option == "--region" else set())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["derain.mask=photo.png"], "derain.mask: --mask holds for the whole chain"),
        (["derain.region=1,2,3,4"], "derain.region: --region holds for the whole chain"),
        (["--mask", "alpha"], "--mask alpha: derain takes a FILE or a FOLDER"),
        (["--mask", "m.png", "--mask", "n.png"], "--mask names m.png and n.png"),
        (["--region", "1,2,3"], "--region 1,2,3: "),
        (["--preview", "1,2,3"], "--preview 1,2,3: "),
    ],
)
def test_a_chain_takes_parts_as_a_whole(dfrestore: Run, source: Path, arguments: list[str], words: str) -> None:
    answer = dfrestore("run", "derain,denoise", source, *arguments)
    assert answer.code == 2
    assert words in answer.err


# -- what is told and remembered


def test_what_may_change_is_told(derain: Run, tmp_path: Path, source: Path) -> None:
    answer = derain(source, "--region", REGION)
    assert "; only the region 32x24 at 10,8 may change, " in answer.err.splitlines()[0]
    assert " inside the region, " in answer.err.splitlines()[-1]
    mask = save(tmp_path / "m.png", np.full(SIZE[::-1], 255, np.uint8))
    run = [source, "--mask", mask, "--region", REGION, "--region", "0,0,4,4", "-o", tmp_path / "o.png", "--json"]
    for seen in (objects(derain(*run, "--dry-run"))[0], objects(derain(*run))[0]):
        assert seen["mask"] == [str(mask)]
        assert seen["regions"] == [[10, 8, 32, 24], [0, 0, 4, 4]]
        assert seen["covers"] == 1
        assert "filled" not in seen
    assert "regions" not in objects(derain(source, "-o", tmp_path / "p.png", "--json"))[0]


def test_the_change_is_that_of_the_part(derain: Run, tmp_path: Path, source: Path) -> None:
    whole = objects(derain(source, "-o", tmp_path / "a.png", "--json"))[0]["change"]
    part = objects(derain(source, "-o", tmp_path / "b.png", "--region", "0,0,64,24", "--json"))[0]["change"]
    assert part["mean"] == pytest.approx(whole["mean"], rel=0.3)


def test_the_same_regions_and_mask_are_skipped_and_others_are_other_settings(
    derain: Run, tmp_path: Path, source: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    source.rename(folder / "photo.png")
    mask = save(tmp_path / "m.png", np.full(SIZE[::-1], 255, np.uint8))
    run = [folder, "-o", out]
    assert "1 done" in derain(*run, "--region", REGION).err
    assert "1 skipped" in derain(*run, "--region", REGION).err
    for other in (["--region", "0,0,8,8"], ["--region", REGION, "--region", "0,0,8,8"], ["--mask", mask], []):
        assert "made with other settings" in derain(*run, *other).err
    assert derain(*run, "--mask", mask, "--overwrite").code == 0
    assert "1 skipped" in derain(*run, "--mask", mask).err
    save(mask, np.full(SIZE[::-1], 254, np.uint8)[:, :])
    assert "1 done" in derain(*run, "--mask", mask).err


def test_a_report_tells_of_the_regions(derain: Run, tmp_path: Path, source: Path) -> None:
    assert derain(source, "--region", REGION, "--report", tmp_path / "r.html").code == 0
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "<dd>32x24 at 10,8</dd>" in text
    assert "inside the region" in text
