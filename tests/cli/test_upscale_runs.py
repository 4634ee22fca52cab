"""``dfrestore upscale`` over folders and streams, what it makes beside the results, wrong usage, and the Python API.

"tasks N" in a docstring is a line of the complaints that were collected from public issue threads, with its source.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import report_pages
from conftest import Answer
from larger_and_filled import array_of, names, objects, plain, size_of
from numpy.typing import NDArray
from PIL import Image

from dfrestore.engine import speed
from dfrestore.restore import Restorer

MakePhoto = Callable[..., Path]
Run = Callable[..., Answer]


# -- limits, before any work


def test_what_is_written_is_bounded_before_any_work(upscale: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    """tasks 6: --max-pixels bounds what is written too."""
    source = make_photo(tmp_path / "a.png")
    answer = upscale(source, "--scale", 4, "--max-pixels", 6000)
    assert (answer.code, names(tmp_path)) == (1, ["a.png"])
    limit = "a result of 96x64 is more than the limit of 0.006 megapixels; raise it with --max-pixels"
    (line,) = answer.err.splitlines()  # and no start line
    assert line.startswith(f"dfrestore: {source}: {limit}")
    assert upscale(source, "--scale", 3, "--max-pixels", 6000).code == 0


def test_what_a_format_cannot_hold_is_refused_before_any_work_with_a_way_out(
    upscale: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    """tasks 5 and 6."""
    source = make_photo(tmp_path / "a.webp", size=(1200, 1))
    answer = upscale(source, "--scale", 14)
    assert (answer.code, names(tmp_path)) == (1, ["a.webp"])
    (line,) = answer.err.splitlines()
    assert "16800x14 is more than WEBP holds (16383 pixels a side); use --format png, or ask for a smaller" in line
    assert upscale(source, "--scale", 14, "--format", "png").code == 0
    assert size_of(tmp_path / "a_upscale.png") == (16800, 14)


def test_commands_that_keep_the_size_look_at_the_format_first_too(
    restore: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    source = make_photo(tmp_path / "a.png", size=(16384, 1))
    answer = restore(source, "--format", "webp")
    assert answer.code == 1
    limit = "a result of 16384x1 is more than WEBP holds (16383 pixels a side); use --format png"
    assert answer.err == f"dfrestore: {source}: {limit}\n"


def test_the_dry_run_finds_the_same_failures(upscale: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    """tasks 5."""
    source = make_photo(tmp_path / "a.webp", size=(1200, 1))
    for options in (["--scale", 14], ["--scale", 2, "--max-pixels", 2000], ["--size", "99999x"]):
        dry, done = upscale(source, *options, "--dry-run"), upscale(source, *options)
        assert dry.code == done.code == 1
        assert done.err in dry.err


# -- folders, records


def test_the_tree_of_a_folder_is_mirrored_with_larger_photos(upscale: Run, tmp_path: Path, photo_folder: Path) -> None:
    answer = upscale(photo_folder, "-o", tmp_path / "out", "--scale", 2)
    assert answer.code == 0
    made = [".dfrestore.jsonl", "a.png", "b.jpg", "sub/a.png", "sub/deep/c.tif"]
    assert names(tmp_path / "out") == made
    assert {size_of(tmp_path / "out" / name) for name in made[1:]} == {(48, 32)}


def test_what_was_made_in_the_same_size_is_skipped_and_in_another_left(
    upscale: Run, tmp_path: Path, photo_folder: Path
) -> None:
    run = [photo_folder, "-o", tmp_path / "out"]
    upscale(*run, "--scale", 2)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}
    assert "4 skipped (done before)" in upscale(*run, "--scale", "200%").err  # another way to write it
    for other in (["--scale", 3], ["--size", "48x32"], []):
        answer = upscale(*run, *other)
        assert answer.code == 0
        assert "4 outputs left as found (made with other settings)" in answer.err
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")} == before
    assert upscale(*run, "--scale", 3, "--overwrite").code == 0
    assert size_of(tmp_path / "out" / "a.png") == (72, 48)


def test_photos_that_were_copied_are_skipped_too(upscale: Run, tmp_path: Path, photo_folder: Path) -> None:
    """tasks 2: a run over a mixed folder can be started again."""
    run = [photo_folder, "-o", tmp_path / "out", "--min-size", "24x16"]
    assert upscale(*run).code == 0
    assert "4 skipped (done before)" in upscale(*run).err


def test_one_photo_that_cannot_be_enlarged_does_not_stop_the_rest(
    upscale: Run, tmp_path: Path, photo_folder: Path
) -> None:
    (photo_folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    answer = upscale(photo_folder, "-o", tmp_path / "out", "--scale", 2)
    assert (answer.code, len(answer.paths)) == (1, 4)
    assert "4 done, 1 failed" in answer.err


# -- what is made beside


def test_a_comparison_shows_the_photo_enlarged_beside_the_result(
    upscale: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    source = make_photo(tmp_path / "a.png", size=(120, 80))
    assert upscale(source, "--compare", tmp_path / "c.png", "--scale", 3).code == 0
    strip, result = array_of(tmp_path / "c.png"), array_of(tmp_path / "a_upscale.png")
    assert find(strip, result) is not None
    before = find(strip, plain(source, 240, 360))
    assert before is not None
    assert before < find(strip, result)  # to the left


def find(strip: NDArray[np.uint8], part: NDArray[np.uint8]) -> int | None:
    """The column at which a picture stands in another, to one level; None where it is not."""
    height, width = part.shape[:2]
    for top in range(strip.shape[0] - height + 1):
        for left in range(strip.shape[1] - width + 1):
            if (abs(strip[top : top + height, left].astype(int) - part[:, 0]) <= 1).all():
                here = strip[top : top + height, left : left + width].astype(int)
                if (abs(here - part) <= 1).all():
                    return left
    return None


def test_a_map_of_uncertainty_is_as_large_as_the_result(upscale: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    source = make_photo(tmp_path / "a.png")
    assert upscale(source, "--uncertainty", tmp_path / "u.png", "--ensemble", 2, "--scale", 3).code == 0
    assert size_of(tmp_path / "u.png") == size_of(tmp_path / "a_upscale.png") == (72, 48)


def test_the_report_page_shows_every_photo_before_and_after(upscale: Run, tmp_path: Path, photo_folder: Path) -> None:
    answer = upscale(photo_folder, "-o", tmp_path / "out", "--scale", 2, "--report", tmp_path / "page.html")
    assert answer.code == 0
    page = report_pages.read(tmp_path / "page.html")
    assert report_pages.names(tmp_path / "page.html") == ["a.png", "b.jpg", "sub/a.png", "sub/deep/c.tif"]
    assert page.count('class="layer before"') == page.count('class="layer after"') == 4
    assert "48 &times; 32" in page


def test_json_is_complete(upscale: Run, tmp_path: Path, photo_folder: Path, times4: Path) -> None:
    make = [photo_folder, "-o", tmp_path / "out", "--min-size", "30x20", "--json"]
    Image.new("RGB", (60, 40), "blue").save(photo_folder / "large.png")
    *files, last = objects(upscale(*make))
    found = {Path(item["input"]).name: item for item in files if "sub" not in item["input"]}
    assert found["a.png"]["size"] == [30, 20]
    assert (found["a.png"]["model"], found["a.png"]["seed"], found["a.png"]["warnings"]) == (str(times4), 0, [])
    assert found["large.png"]["size"] == [60, 40]
    assert found["large.png"]["warnings"] == ["large enough as it is; not enlarged"]
    assert last["totals"] | {"seconds": 0} == {
        "inputs": 5, "done": 5, "skipped": 0, "left": 0, "failed": 0, "seconds": 0
    }  # fmt: skip


def test_a_dry_run_warns_like_the_run(upscale: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    """tasks 3 and 5: a result that is smaller is said before any work."""
    source = make_photo(tmp_path / "a.png")
    answer = upscale(source, "--size", "12x12", "--dry-run", "--json")
    said = "the result is smaller than the photo (24x16 to 12x8); --size '12x12>' only ever enlarges"
    assert objects(answer)[0]["warnings"] == [said]
    assert f"dfrestore: {source}: {said}" in answer.err.splitlines()


def test_json_names_what_was_made_beside_and_nothing_else(upscale: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    """tasks 2: of a photo that is large enough there is a comparison, and no map of uncertainty."""
    source = make_photo(tmp_path / "a.png")
    extras = ["--compare", tmp_path / "c.png", "--uncertainty", tmp_path / "u.png"]
    done = objects(upscale(source, "--min-size", "24x16", *extras, "--json"))[0]
    assert (done["compare"], done["uncertainty"]) == (str(tmp_path / "c.png"), None)
    assert names(tmp_path) == ["a.png", "a_upscale.png", "c.png"]


# -- streams


def test_a_picture_from_standard_input_comes_out_larger(
    upscale: Run, tmp_path: Path, make_photo: MakePhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_photo(tmp_path / "a.png")
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(source.read_bytes())))
    monkeypatch.setattr(sys, "stdout", out)
    assert upscale("-", "-o", "-", "--scale", 2, "--format", "tiff").code == 0
    with Image.open(io.BytesIO(out.buffer.getvalue())) as image:
        assert (image.format, image.size) == ("TIFF", (48, 32))


# -- wrong usage


@pytest.mark.parametrize(
    "options",
    [["--scale", 2, "--size", "9x9"], ["--long-edge", 9, "--short-edge", 9], ["--scale", 2, "--min-size", "9x9"]],
)
def test_size_options_exclude_each_other(
    upscale: Run, tmp_path: Path, make_photo: MakePhoto, options: list[object]
) -> None:
    answer = upscale(make_photo(tmp_path / "a.png"), *options)
    assert answer.code == 2
    assert f"{options[0]} and {options[2]} exclude each other" in answer.err
    assert names(tmp_path) == ["a.png"]


def test_the_option_of_another_task_is_unknown(upscale: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    source = make_photo(tmp_path / "a.png")
    for options in (["--save-mask", "m.png"], ["--regions", "1,2,3,4"], ["--dilate", 3]):
        answer = upscale(source, *options)
        assert answer.code == 2
        assert f"unknown option '{options[0]}'" in answer.err
        assert ("(of dfrestore inpaint)" in answer.err) is (options[0] != "--regions")
    assert names(tmp_path) == ["a.png"]


def test_a_model_for_another_task_is_wrong_usage(
    dfrestore: Run, tmp_path: Path, make_photo: MakePhoto, identity_model: Path, times4: Path
) -> None:
    source = make_photo(tmp_path / "a.png")
    answer = dfrestore("upscale", source, "--model", identity_model)
    assert (answer.code, names(tmp_path)) == (2, ["a.png"])
    assert "is a model for derain, not for upscale: run 'dfrestore derain' with it" in answer.err
    answer = dfrestore("derain", source, "--model", times4)
    assert (answer.code, names(tmp_path)) == (2, ["a.png"])
    assert "run 'dfrestore upscale' with it" in answer.err


def test_the_help_tells_the_signs_with_quotes_for_the_shell(dfrestore: Run) -> None:
    answer = dfrestore("upscale", "--help")
    assert answer.code == 0
    for words in ("'WxH^' fills", "'WxH>' only ever enlarges", "--min-size", "at most 16"):
        assert words in " ".join(answer.out.split())
    assert "--dilate" not in answer.out


# -- the Python API


def test_the_api_takes_the_size_of_the_result(tmp_path: Path, make_photo: MakePhoto, times4: Path) -> None:
    restorer = Restorer.from_pretrained("upscale", times4, device="cpu", precision="fp32")
    source = make_photo(tmp_path / "a.png")
    assert restorer(array_of(source)).shape == (64, 96, 3)
    assert restorer(array_of(source), size=(20, 30)).shape == (20, 30, 3)
    assert restorer(source, size=(20, 30)).size == (30, 20)
    assert restorer(Image.open(source).convert("RGBA"), size=(48, 72)).mode == "RGBA"


def test_no_dark_rim_comes_out_of_the_api(times4: Path) -> None:
    """tasks 8."""
    picture = np.full((16, 24, 4), (250, 240, 200, 255), np.uint8)
    picture[:8] = 0
    picture[7, :, 3] = 100
    picture[7, :, :3] = (250, 240, 200)
    restorer = Restorer.from_pretrained("upscale", times4, device="cpu", precision="fp32")
    for image in (picture, Image.fromarray(picture)):
        result = np.asarray(restorer(image))
        assert np.abs(result[result[..., 3] > 0][:, :3].astype(int) - [250, 240, 200]).max() <= 1


@pytest.mark.parametrize("size", [(0, 30), (30,), (-1, 30)])
def test_the_api_refuses_sizes_that_no_picture_has(times4: Path, size: tuple[int, ...]) -> None:
    restorer = Restorer.from_pretrained("upscale", times4, device="cpu", precision="fp32")
    with pytest.raises(ValueError, match="size is"):
        restorer(np.zeros((8, 8, 3), np.uint8), size=size)


def test_steps_that_the_model_cannot_do_are_refused_first_of_all(
    upscale: Run, tmp_path: Path, photo_folder: Path
) -> None:
    def refused(*arguments: object) -> None:
        answer = upscale(*arguments, "--steps", 3)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err == "dfrestore: --steps is 4 for this model, not 3\n"

    out = tmp_path / "out"
    assert upscale(photo_folder, "-o", out).code == 0
    refused(photo_folder, "-o", out)  # all done before
    refused(photo_folder / "a.png", "-o", out / "a.png")  # exists already
    (tmp_path / "torn.png").write_bytes(b"no picture")
    refused(tmp_path / "torn.png")
    refused(photo_folder, "-o", tmp_path / "new", "--dry-run")


# -- how long


def test_the_expected_time_is_told_before_the_start(
    upscale: Run, tmp_path: Path, make_photo: MakePhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tasks 19, Real-ESRGAN#22, chaiNNer#3024: processors are slow, so it is said for how long."""
    monkeypatch.setenv("DFRESTORE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(speed, "_SMALL", 16)  # of the pictures that are measured
    monkeypatch.setattr(speed, "_LARGE", 32)
    Image.new("RGB", (1600, 1000)).save(tmp_path / "large.png")
    dry = upscale(tmp_path / "large.png", "--dry-run", "--json")  # has to measure the speed first
    assert objects(dry)[0]["expected_seconds"] > 0
    assert re.search(r"large\.png \(1600x1000 -> 6400x4000, [^)]*, about [0-9. minsh]+\)", dry.err)
    first, *_ = upscale(make_photo(tmp_path / "small.png")).err.splitlines()
    assert re.search(r"24x16 -> 96x64; .*, about [0-9.]+ s$", first)


# -- several as one


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--ensemble", 3], "its 3 members differ by how the photo is turned"),
        (["--uncertainty", "u.png"], "its 4 members differ by how the photo is turned"),
        (["--ensemble", 9], "of its 9 members 8 differ, by how the photo is turned"),
    ],
)
def test_an_ensemble_of_turns_alone_is_told(
    upscale: Run,
    tmp_path: Path,
    make_photo: MakePhoto,
    monkeypatch: pytest.MonkeyPatch,
    options: list[object],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = upscale(make_photo(tmp_path / "a.png"), *options)
    assert answer.code == 0
    told = [line for line in answer.err.splitlines() if line.startswith("dfrestore: ")]
    assert told == [f"dfrestore: --ensemble: this model hardly depends on the seed, so {words}"]
