"""``dfrestore derain``: what it takes, makes, prints and returns."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Answer, save_model, tiny_spec
from PIL import Image, ImageCms

MakePhoto = Callable[..., Path]
Run = Callable[..., Answer]


def names(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def objects(answer: Answer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.paths]


# -- files


def test_the_result_of_a_file_stands_beside_it(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    source = make_photo(tmp_path / "photo.png")
    answer = restore(source)
    assert (answer.code, answer.paths) == (0, [str(tmp_path / "photo_derain.png")])
    assert np.array_equal(Image.open(tmp_path / "photo_derain.png"), Image.open(source))
    assert names(tmp_path) == ["photo.png", "photo_derain.png"]


def test_out_names_the_file_and_its_format(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    source = make_photo(tmp_path / "photo.png")
    assert restore(source, "-o", tmp_path / "new" / "result.webp").code == 0
    with Image.open(tmp_path / "new" / "result.webp") as image:
        assert image.format == "WEBP"


def test_out_without_an_ending_is_a_folder(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    answer = restore(make_photo(tmp_path / "photo.tif"), "-o", tmp_path / "new" / "result")
    assert answer.paths == [str(tmp_path / "new" / "result" / "photo.tif")]
    with Image.open(answer.paths[0]) as image:
        assert image.format == "TIFF"


def test_out_without_an_ending_is_the_file_of_that_name_where_there_is_one(
    restore: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    (tmp_path / "result").write_bytes(b"old")
    source = make_photo(tmp_path / "photo.tif")
    assert restore(source, "-o", tmp_path / "result").code == 1
    assert restore(source, "-o", tmp_path / "result", "--overwrite").code == 0
    with Image.open(tmp_path / "result") as image:
        assert image.format == "TIFF"


@pytest.mark.parametrize("out", ["two.png", "two.xyz", "holiday.2024"])
def test_a_name_with_an_ending_is_no_folder_for_several_results(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, out: str
) -> None:
    sources = [make_photo(tmp_path / "a.png"), make_photo(tmp_path / "b.png")]
    answer = restore(*sources, "-o", tmp_path / out)
    assert (answer.code, names(tmp_path)) == (2, ["a.png", "b.png"])
    assert "several results need a folder; end it with / if it is one" in answer.err
    assert restore(*sources, "-o", f"{tmp_path / out}/").code == 0  # or where it exists
    assert "2 skipped" in restore(*sources, "-o", tmp_path / out).err


def test_an_output_that_exists_is_refused_without_overwrite(
    restore: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    source, there = make_photo(tmp_path / "a.png"), make_photo(tmp_path / "b.png", 7)
    before = there.read_bytes()
    answer = restore(source, "-o", there)
    assert answer.code == 1
    assert answer.err == f"dfrestore: {there}: exists already; --overwrite replaces it\n"
    assert there.read_bytes() == before
    assert restore(source, "-o", there, "--overwrite").code == 0
    assert np.array_equal(Image.open(there), Image.open(source))


@pytest.mark.parametrize("more", [(), ("-o", "new.png"), ("-o", "out/")])
def test_the_same_command_again_is_skipped_and_leaves_nothing_beside_the_photo(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, more: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_photo(tmp_path / "a.png")
    (output,) = restore("a.png", *more).paths
    assert names(tmp_path) == sorted(["a.png", output])
    before = snapshot(tmp_path)
    answer = restore("a.png", *more)
    assert (answer.code, answer.out) == (0, "")
    assert f"{output}: made before, with the same settings; --overwrite makes it again" in answer.err
    assert "1 skipped (done before)" in answer.err
    assert snapshot(tmp_path) == before
    assert restore("a.png", *more, "--overwrite").paths == [output]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("settings", "made with other settings"),
        ("input", "made from this photo before it changed"),
        ("output", "exists already; --overwrite replaces it"),
    ],
)
def test_an_output_that_another_command_made_or_of_another_input_is_refused(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, change: str, why: str
) -> None:
    source = make_photo(tmp_path / "a.png")
    assert restore(source).code == 0
    if change != "settings":
        make_photo(tmp_path / {"input": "a.png", "output": "a_derain.png"}[change], 7, (32, 20))
    before = snapshot(tmp_path)
    answer = restore(source, *(("--seed", 3) if change == "settings" else ()))
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (1, "", 1)
    assert why in answer.err
    assert snapshot(tmp_path) == before


def test_several_named_files_are_skipped_too_and_changed_ones_redone(
    restore: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    sources = [make_photo(tmp_path / "a.png"), make_photo(tmp_path / "b.png", 1)]
    assert len(restore(*sources).paths) == 2
    assert "2 skipped (done before)" in restore(*sources).err
    make_photo(tmp_path / "b.png", 2, (30, 20))
    assert restore(*sources).paths == [str(tmp_path / "b_derain.png")]


def test_where_the_cache_cannot_be_written_all_else_works(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DFRESTORE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    source = make_photo(tmp_path / "a.png")
    answer = restore(source)
    assert (answer.code, "cache" in answer.err) == (0, False)
    assert restore(source).code == 1


def test_an_output_over_an_input_is_wrong_usage(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    source = make_photo(tmp_path / "a.png")
    before = snapshot(tmp_path)
    assert restore(source, "-o", source, "--overwrite").code == 2
    assert snapshot(tmp_path) == before


def test_results_can_be_restored_again_when_named(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    restore(make_photo(tmp_path / "a.png"))
    assert restore(tmp_path / "a_derain.png").paths == [str(tmp_path / "a_derain_derain.png")]


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(
    restore: Run, random_model: Path, tmp_path: Path, make_photo: MakePhoto
) -> None:
    source = make_photo(tmp_path / "a.png")
    made = []
    for name, seed in (("1.png", 5), ("2.png", 5), ("3.png", 6)):
        assert restore(source, "-o", tmp_path / name, "--seed", seed, model=random_model).code == 0
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1] != made[2]


def test_strength_zero_gives_the_input_back(
    restore: Run, random_model: Path, tmp_path: Path, make_photo: MakePhoto
) -> None:
    source = make_photo(tmp_path / "a.png")
    assert restore(source, "-o", tmp_path / "b.png", "--strength", 0, model=random_model).code == 0
    assert np.array_equal(Image.open(tmp_path / "b.png"), Image.open(source))


def test_an_ensemble_of_one_writes_the_bytes_of_a_single_restoration(
    restore: Run, random_model: Path, tmp_path: Path, make_photo: MakePhoto
) -> None:
    source = make_photo(tmp_path / "a.png")
    for name, more in (("1.png", []), ("2.png", ["--ensemble", 1]), ("3.png", ["--ensemble", 2])):
        assert restore(source, "-o", tmp_path / name, *more, model=random_model).code == 0
    single, one, two = ((tmp_path / name).read_bytes() for name in ("1.png", "2.png", "3.png"))
    assert single == one != two


def test_an_ensemble_is_told(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    answer = restore(make_photo(tmp_path / "a.png"), "--ensemble", 3, "--json")
    assert objects(answer)[0]["ensemble"] == 3
    assert "seed 0, ensemble of 3;" in answer.err.splitlines()[0]


def test_colours_are_kept_when_asked_to(
    restore: Run, random_model: Path, tmp_path: Path, make_photo: MakePhoto
) -> None:
    source = make_photo(tmp_path / "a.png", 0, (64, 64))
    means = []
    for name, more in (("plain.png", []), ("kept.png", ["--keep-color"])):
        assert restore(source, "-o", tmp_path / name, *more, model=random_model).code == 0
        means.append(np.asarray(Image.open(tmp_path / name), float).mean(axis=(0, 1)))
    before = np.asarray(Image.open(source), float).mean(axis=(0, 1))
    plain, kept = (np.ptp(mean - before) for mean in means)  # what differs between the channels is colour
    assert kept < plain


def test_tiles_and_window_can_be_chosen(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    source = make_photo(tmp_path / "a.png", 0, (96, 80))
    answer = restore(source, "--tile", 64, "--window", "global", "--json")
    assert "tiles of 64" in objects(answer)[0]["plan"]
    assert np.array_equal(Image.open(tmp_path / "a_derain.png"), Image.open(source))


@pytest.mark.skipif(os.name == "nt", reason="such names need POSIX")
@pytest.mark.parametrize("name", ["ä 雨.png", "line\nbreak.png", "-dash.png"])
def test_any_name_works_and_prints_as_one_line(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_photo(tmp_path / name)
    answer = restore(f"./{name}")
    assert answer.code == 0
    assert len(answer.paths) == 1
    assert Path(name.replace(".png", "_derain.png")).is_file()


def test_what_belongs_to_a_photo_is_in_its_result(restore: Run, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 6  # taken with the camera on its side
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8))
    picture.save(tmp_path / "a.jpg", exif=exif.tobytes(), icc_profile=profile, dpi=(300, 300))
    assert restore(tmp_path / "a.jpg").code == 0
    with Image.open(tmp_path / "a_derain.jpg") as result:
        assert (result.format, result.size) == ("JPEG", (16, 24))
        assert result.info["icc_profile"] == profile
        assert result.info["dpi"] == (300, 300)
        assert (result.getexif()[0x010F], result.getexif()[0x0112]) == ("Maker", 1)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_result_that_is_none_is_a_failure_and_no_file(
    dfrestore: Run, tmp_path: Path, make_photo: MakePhoto, precision: str
) -> None:
    wild = save_model(tmp_path / "wild.safetensors", tiny_spec(), 3e38)
    answer = dfrestore("derain", make_photo(tmp_path / "a.png"), "--model", wild, "--precision", precision)
    assert (answer.code, answer.out) == (1, "")
    assert "a.png: the model gave values that are not finite" in answer.err
    assert names(tmp_path) == ["a.png", "wild.safetensors"]


# -- folders


def test_the_tree_of_a_folder_is_mirrored(restore: Run, tmp_path: Path, photo_folder: Path) -> None:
    answer = restore(photo_folder, "-o", tmp_path / "out")
    assert answer.code == 0
    assert names(tmp_path / "out") == [".dfrestore.jsonl", "a.png", "b.jpg", "sub/a.png", "sub/deep/c.tif"]
    assert len(answer.paths) == 4


def test_a_folder_without_out_is_restored_in_place_once(restore: Run, photo_folder: Path) -> None:
    assert restore(photo_folder).code == 0
    once = snapshot(photo_folder)
    again = restore(photo_folder)
    assert (again.code, again.out) == (0, "")
    assert "4 skipped" in again.err
    assert snapshot(photo_folder) == once


def test_thirty_files_of_which_three_are_broken(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    for number in range(27):
        make_photo(tmp_path / "in" / f"{number:02}.png", number, (16, 8))
    for name in ("x.jpg", "y.png", "z.tif"):
        (tmp_path / "in" / name).write_bytes(b"\x89PNG\r\n\x1a\n torn")
    answer = restore(tmp_path / "in", "-o", tmp_path / "out", "--steps", 1)
    assert answer.code == 1
    assert len(answer.paths) == 27
    failures = [line for line in answer.err.splitlines() if line.startswith("dfrestore: ")]
    assert [any(name in line for name in ("x.jpg", "y.png", "z.tif")) for line in failures] == [True] * 3
    assert "27 done, 3 failed" in answer.err
    again = restore(tmp_path / "in", "-o", tmp_path / "out", "--steps", 1)
    assert again.code == 1
    assert "27 skipped (done before), 3 failed" in again.err


def test_other_settings_leave_outputs_and_name_them_in_one_line(
    restore: Run, tmp_path: Path, photo_folder: Path
) -> None:
    restore(photo_folder, "-o", tmp_path / "out", "--steps", 1)
    before = snapshot(tmp_path / "out")
    answer = restore(photo_folder, "-o", tmp_path / "out", "--steps", 2)
    assert answer.code == 0
    (line,) = [line for line in answer.err.splitlines() if "other settings" in line]
    assert "4 outputs left as found" in line
    assert "--overwrite" in line
    assert snapshot(tmp_path / "out") == before


@pytest.mark.parametrize("more", [["--ensemble", 2], ["--keep-color"]])
def test_ensembles_and_kept_colours_count_as_other_settings_and_their_defaults_do_not(
    restore: Run, tmp_path: Path, photo_folder: Path, more: list[Any]
) -> None:
    restore(photo_folder, "-o", tmp_path / "out")
    assert "4 skipped" in restore(photo_folder, "-o", tmp_path / "out", "--ensemble", 1).err
    assert "4 left as found" in restore(photo_folder, "-o", tmp_path / "out", *more).err


def test_the_models_own_number_of_steps_is_the_same_setting_when_named(
    restore: Run, tmp_path: Path, photo_folder: Path
) -> None:
    restore(photo_folder, "-o", tmp_path / "out")
    assert "4 skipped" in restore(photo_folder, "-o", tmp_path / "out", "--steps", 2).err


def test_another_model_counts_as_other_settings(
    restore: Run, tmp_path: Path, photo_folder: Path, random_model: Path
) -> None:
    restore(photo_folder, "-o", tmp_path / "out")
    assert "4 left as found" in restore(photo_folder, "-o", tmp_path / "out", model=random_model).err


def test_a_run_with_nothing_to_do_does_not_load_the_model(
    restore: Run, tmp_path: Path, photo_folder: Path, identity_model: Path
) -> None:
    restore(photo_folder, "-o", tmp_path / "out", "--device", "cpu")
    assert restore(photo_folder, "-o", tmp_path / "out", "--device", "cuda:99").code == 0


def test_a_folder_without_pictures_is_one_failure(restore: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    answer = restore(tmp_path / "empty")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"dfrestore: {tmp_path / 'empty'}: no pictures in this folder\n"


def test_collisions_are_found_before_the_first_file_is_touched(
    restore: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    for name in ("a.jpg", "a.png", "b.png"):
        make_photo(tmp_path / "in" / name)
    answer = restore(tmp_path / "in", "-o", tmp_path / "out", "--format", "png")
    assert answer.code == 2
    assert not (tmp_path / "out").exists()


def test_an_input_that_does_not_exist_stops_before_any_work(
    restore: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    source = make_photo(tmp_path / "a.png")
    answer = restore(source, tmp_path / "b.png")
    assert (answer.code, answer.out) == (2, "")
    assert "b.png: no such file or folder" in answer.err
    assert names(tmp_path) == ["a.png"]


# -- what is printed


def test_the_start_line_tells_task_model_device_precision_and_plan(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, identity_model: Path
) -> None:
    start = restore(make_photo(tmp_path / "a.png"), "--seed", 3).err.splitlines()[0]
    for part in ("derain", str(identity_model), "2 steps", "seed 3", "device cpu (", "precision fp32 (", "whole image"):
        assert part in start


def test_json_prints_one_object_a_file_and_one_of_totals(
    restore: Run, tmp_path: Path, photo_folder: Path, identity_model: Path
) -> None:
    (photo_folder / "c.png").write_bytes(b"broken")
    *files, last = objects(restore(photo_folder, "-o", tmp_path / "out", "--json"))
    by_name = {Path(item["input"]).name: item for item in files if "sub" not in item["input"]}
    done = by_name["a.png"]
    assert done["output"] == str(tmp_path / "out" / "a.png")
    assert (done["size"], done["seed"], done["model"]) == ([24, 16], 0, str(identity_model))
    assert (done["status"], done["warnings"]) == ("done", [])
    assert "whole image" in done["plan"]
    assert "c.png" in by_name["c.png"]["error"]
    totals = last["totals"]
    assert (totals["inputs"], totals["done"], totals["failed"], totals["skipped"]) == (5, 4, 1, 0)


def test_json_tells_errors_that_stop_the_run(restore: Run, tmp_path: Path) -> None:
    (item,) = objects(restore(tmp_path / "missing.png", "--json"))
    assert item["exit_code"] == 2
    assert "no such file" in item["error"]


def test_quiet_prints_failures_only(restore: Run, tmp_path: Path, photo_folder: Path) -> None:
    assert restore(photo_folder, "-o", tmp_path / "out", "--quiet") == Answer(0, "", "")
    (photo_folder / "z.png").write_bytes(b"broken")
    for more in ([], ["--dry-run", "--overwrite"]):
        answer = restore(photo_folder, "-o", tmp_path / "out", "--quiet", *more)
        assert (answer.code, answer.out) == (1, "")
        assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize("mode", [[], ["--json"]])
def test_a_dry_run_tells_the_plan_and_touches_nothing(
    restore: Run, tmp_path: Path, photo_folder: Path, mode: list[str]
) -> None:
    before = snapshot(tmp_path)
    answer = restore(photo_folder, "-o", tmp_path / "out", "--dry-run", *mode)
    assert answer.code == 0
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "out").exists()
    if mode:
        assert objects(answer)[0]["status"] == "planned"
        assert objects(answer)[-1]["totals"]["planned"] == 4
    else:
        assert answer.paths[0] == str(tmp_path / "out" / "a.png")
        assert "24x16, whole image" in answer.err
        assert answer.err.splitlines()[-1] == "4 to do"  # without a time, which would be that of looking


def test_a_dry_run_names_broken_files(restore: Run, tmp_path: Path, photo_folder: Path) -> None:
    (photo_folder / "c.png").write_bytes(b"broken")
    answer = restore(photo_folder, "-o", tmp_path / "out", "--dry-run")
    assert answer.code == 1
    assert "c.png" in answer.err


def test_a_warning_of_a_file_is_one_line(restore: Run, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "two.tif", save_all=True, append_images=frames[1:])
    answer = restore(tmp_path / "two.tif")
    (line,) = [line for line in answer.err.splitlines() if "1 of 2" in line]
    assert line.startswith(f"dfrestore: {tmp_path / 'two.tif'}: ")


# -- how much changed


def test_a_photo_that_hardly_changed_is_said_in_the_summary_and_in_json(
    restore: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    source = make_photo(tmp_path / "a.png")
    said = "hardly changed: this model finds no rain here (changed by 0 levels of 255 on average, 0 at most)"
    assert restore(source).err.splitlines()[-1].endswith(f"; {said}")
    answer = restore(source, "--overwrite", "--json")
    assert objects(answer)[0]["change"] == {"mean": 0.0, "largest": 0.0, "hardly": True}


def test_how_much_a_photo_changed_is_said(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, random_model: Path
) -> None:
    source = make_photo(tmp_path / "a.png")
    answer = restore(source, "--json", model=random_model)
    found = objects(answer)[0]["change"]
    before, after = (np.asarray(Image.open(tmp_path / name), float) for name in ("a.png", "a_derain.png"))
    assert found["mean"] == pytest.approx(np.abs(after - before).mean(), abs=0.5)
    assert found["largest"] == pytest.approx(np.abs(after - before).max(), abs=0.6)
    assert found["hardly"] is False
    assert "; changed by " in answer.err.splitlines()[-1]


def test_a_folder_tells_which_photos_hardly_changed(restore: Run, tmp_path: Path, photo_folder: Path) -> None:
    last = restore(photo_folder, "-o", tmp_path / "out").err.splitlines()[-1]
    assert "changed by 0 levels of 255 on average, 0 at most; " in last
    assert f"4 hardly changed: this model finds no rain there ({photo_folder / 'a.png'}, " in last
    assert last.endswith(", ...)")


def test_a_photo_done_before_has_no_change(restore: Run, tmp_path: Path, photo_folder: Path) -> None:
    restore(photo_folder, "-o", tmp_path / "out")
    answer = restore(photo_folder, "-o", tmp_path / "out", "--json")
    assert [item["change"] for item in objects(answer)[:-1]] == [None] * 4
    assert "changed" not in answer.err


# -- options are checked first


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--device", "nonsense"),
        ("--precision", "fp31"),
        ("--window", "384@9"),
        ("--window", "some"),
        ("--tile", "1"),
        ("--model", "compcat"),
        ("--compare", "strip.bmp"),
    ],
)
def test_wrong_values_are_noticed_where_the_output_exists_too(
    dfrestore: Run, tmp_path: Path, make_photo: MakePhoto, identity_model: Path, option: str, value: str
) -> None:
    source = make_photo(tmp_path / "a.png")
    make_photo(tmp_path / "a_derain.png")
    options = {"--model": identity_model, option: value}
    answer = dfrestore("derain", source, *(word for pair in options.items() for word in pair))
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (2, "", 1)


# -- what cannot start


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--device", "nonsense", "unknown device 'nonsense'"),
        ("--precision", "float", "unknown precision 'float'"),
        ("--model", "compcat", "unknown model 'compcat'"),
        ("--model", "none.safetensors", "none.safetensors: no such file"),
        ("--model", "hf://x", "'hf://x' is not hf://ORG/REPO/FILE"),
        ("--model", "denoise/compact", "is a model for denoise, not for derain"),
    ],
)
def test_a_name_that_does_not_exist_is_wrong_usage(
    dfrestore: Run, tmp_path: Path, make_photo: MakePhoto, option: str, value: str, words: str
) -> None:
    answer = dfrestore("derain", make_photo(tmp_path / "a.png"), option, value)
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (2, "", 1)
    assert words in answer.err


def test_a_model_that_is_known_and_not_here_cannot_start(dfrestore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    answer = dfrestore("derain", make_photo(tmp_path / "a.png"), "--model", "full")
    assert (answer.code, answer.out) == (3, "")
    assert "dfrestore weights convert" in answer.err


def test_a_device_that_is_not_there_cannot_start(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    answer = restore(make_photo(tmp_path / "a.png"), "--device", "cuda:99")
    assert answer.code == 3
    assert "no device 'cuda:99'" in answer.err


def test_a_file_for_another_task_is_wrong_usage(
    dfrestore: Run, tmp_path: Path, make_photo: MakePhoto, identity_model: Path
) -> None:
    answer = dfrestore("denoise", make_photo(tmp_path / "a.png"), "--model", identity_model)
    assert answer.code == 2
    assert "for derain, not for denoise" in answer.err


def test_too_little_memory_is_a_failure_of_that_file(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    answer = restore(make_photo(tmp_path / "a.png"), "--memory", "1M")
    assert answer.code == 1
    assert f"{tmp_path / 'a.png'}: " in answer.err


def test_a_picture_beyond_max_pixels_is_a_failure_of_that_file(
    restore: Run, tmp_path: Path, make_photo: MakePhoto
) -> None:
    answer = restore(make_photo(tmp_path / "a.png"), "--max-pixels", "100")
    assert answer.code == 1
    assert "--max-pixels" in answer.err
