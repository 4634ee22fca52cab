"""``--name``, ``--limit`` and ``--newer`` of the commands that restore files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer
from larger_and_filled import names
from PIL import Image

Run = Callable[..., Answer]
MakePhoto = Callable[..., Path]


def pictures(folder: Path) -> list[str]:
    return [name for name in names(folder) if not Path(name).name.startswith(".")]


def totals(answer: Answer) -> dict[str, object]:
    return json.loads(answer.paths[-1])["totals"]


NAME = "{stem}_{task}_{model}_{steps}_s{seed}"


def date(path: Path, seconds: int) -> None:
    os.utime(path, (seconds, seconds))


# -- --name


def test_results_are_called_as_the_template_says(restore: Run, photo_folder: Path, tmp_path: Path) -> None:
    answer = restore(photo_folder, "-o", tmp_path / "out", "--name", NAME, "--seed", 3)
    assert answer.code == 0
    assert pictures(tmp_path / "out")[:2] == ["a_derain_identity_2_s3.png", "b_derain_identity_2_s3.jpg"]
    again = restore(photo_folder, "-o", tmp_path / "out", "--name", NAME, "--seed", 3)
    assert "4 skipped (done before)" in again.err


def test_an_unknown_field_ends_with_the_known_ones(restore: Run, photo_folder: Path) -> None:
    before = names(photo_folder)
    answer = restore(photo_folder, "--name", "{stem}_{width}")
    assert (answer.code, answer.out, names(photo_folder)) == (2, "", before)
    assert "unknown field 'width' (known: {stem}, {task}, {model}, {steps}, {seed})" in answer.err


def test_results_beside_their_inputs_are_known_by_the_record_whatever_the_next_run_calls_them(
    restore: Run, photo_folder: Path
) -> None:
    assert restore(photo_folder, "--name", "clean {stem}").code == 0
    answer = restore(photo_folder, "--dry-run")
    assert len(answer.paths) == 4
    assert not any("clean" in path for path in answer.paths)


def test_a_folder_of_results_is_an_input_like_any_other(restore: Run, photo_folder: Path, tmp_path: Path) -> None:
    restore(photo_folder, "-o", tmp_path / "out")
    assert len(restore(tmp_path / "out", "--dry-run").paths) == 4


@pytest.mark.parametrize("option", [("--name", "{stem}"), ("--newer",)])
def test_streams_have_neither_names_nor_times(restore: Run, photo_folder: Path, option: tuple[str, ...]) -> None:
    answer = restore(photo_folder / "a.png", "-o", "-", *option)
    assert answer.code == 2
    assert f"{option[0]} needs files" in answer.err


# -- --limit


def test_a_run_stops_after_so_many_photos_and_the_next_ones_go_on(
    restore: Run, photo_folder: Path, tmp_path: Path
) -> None:
    made = []
    for left in (2, 0, 0):
        answer = restore(photo_folder, "-o", tmp_path / "out", "--limit", 2)
        assert answer.code == 0
        made.append(len(pictures(tmp_path / "out")))
        assert (f"{left} left to do (--limit 2)" in answer.err) == bool(left)
    assert made == [2, 4, 4]


def test_photos_that_were_done_before_do_not_count(restore: Run, photo_folder: Path, tmp_path: Path) -> None:
    restore(photo_folder, "-o", tmp_path / "out", "--limit", 1)
    found = totals(restore(photo_folder, "-o", tmp_path / "out", "--limit", 1, "--json"))
    assert {key: found[key] for key in ("inputs", "done", "skipped", "remaining")} == {
        **{"inputs": 4, "done": 1},
        **{"skipped": 1, "remaining": 2},
    }


def test_photos_that_fail_count(restore: Run, photo_folder: Path, tmp_path: Path) -> None:
    (photo_folder / "a.png").write_bytes(b"broken")
    found = restore(photo_folder, "-o", tmp_path / "out", "--limit", 1, "--json")
    assert found.code == 1
    assert (totals(found)["failed"], totals(found)["done"], totals(found)["remaining"]) == (1, 0, 3)


def test_without_a_limit_nothing_is_told_of_it(restore: Run, photo_folder: Path, tmp_path: Path) -> None:
    assert "remaining" not in totals(restore(photo_folder, "-o", tmp_path / "out", "--json"))


def test_a_dry_run_shows_what_the_limited_run_would_do(restore: Run, photo_folder: Path, tmp_path: Path) -> None:
    answer = restore(photo_folder, "-o", tmp_path / "out", "--limit", 3, "--dry-run")
    assert len(answer.paths) == 3
    assert "1 left to do (--limit 3)" in answer.err


# -- --newer


@pytest.fixture
def outdated(restore: Run, photo_folder: Path, tmp_path: Path) -> Path:
    """A folder of four results of another program, those of a.png and b.jpg older than the photos."""
    out = tmp_path / "out"
    restore(photo_folder, "-o", out)
    (out / ".dfrestore.jsonl").unlink()
    for name in ("a.png", "b.jpg", "sub/a.png", "sub/deep/c.tif"):
        (out / name).write_bytes(b"foreign")
        date(photo_folder / name, 1000)
        date(out / name, 900 if name in ("a.png", "b.jpg") else 1000)
    return out


def foreign(out: Path) -> list[str]:
    return [name for name in pictures(out) if (out / name).read_bytes() == b"foreign"]


def test_outputs_older_than_their_input_are_redone_and_others_count_as_done(
    restore: Run, photo_folder: Path, outdated: Path
) -> None:
    assert "4 left as found" in restore(photo_folder, "-o", outdated).err
    answer = restore(photo_folder, "-o", outdated, "--newer")
    assert answer.code == 0
    assert "2 done, 2 skipped" in answer.err
    assert foreign(outdated) == ["sub/a.png", "sub/deep/c.tif"]


def test_what_the_record_knows_as_done_is_left_whatever_its_time(
    restore: Run, photo_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    restore(photo_folder, "-o", out)
    for path in out.rglob("*.*"):
        date(path, 1000)
    assert "4 skipped (done before)" in restore(photo_folder, "-o", out, "--newer").err


def test_what_was_made_with_other_settings_is_redone_if_it_is_older_and_else_left(
    restore: Run, photo_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    restore(photo_folder, "-o", out)
    date(out / "a.png", 1000)
    answer = restore(photo_folder, "-o", out, "--newer", "--seed", 5)
    assert "1 done, 3 left as found" in answer.err
    assert "made with other settings" in answer.err


def test_a_single_output_is_redone_only_if_it_is_older(restore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    photo, out = make_photo(tmp_path / "a.png"), tmp_path / "b.png"
    out.write_bytes(b"mine")
    date(photo, 1000)
    date(out, 1001)
    answer = restore(photo, "-o", out, "--newer")
    assert (answer.code, out.read_bytes()) == (0, b"mine")
    assert "1 skipped" in answer.err
    date(out, 999)
    assert restore(photo, "-o", out, "--newer").code == 0
    assert out.read_bytes() != b"mine"


@pytest.mark.parametrize("when", [5000, 4_000_000_000])
def test_a_single_photo_that_changed_is_redone_whatever_its_time(
    restore: Run, tmp_path: Path, make_photo: MakePhoto, when: int
) -> None:
    photo, out = make_photo(tmp_path / "a.png"), tmp_path / "b.png"
    assert restore(photo, "-o", out).code == 0
    before = out.read_bytes()
    date(make_photo(photo, seed=7), when)
    assert restore(photo, "-o", out).code == 1
    answer = restore(photo, "-o", out, "--newer")
    assert (answer.code, answer.paths) == (0, [str(out)])
    assert out.read_bytes() != before
    assert "1 skipped" in restore(photo, "-o", out, "--newer").err


def test_a_newer_mask_counts_like_a_newer_photo(dfrestore: Run, tmp_path: Path, make_photo: MakePhoto) -> None:
    photo, mask, out = make_photo(tmp_path / "a.png"), tmp_path / "m.png", tmp_path / "b.png"
    with Image.open(photo) as image:
        Image.linear_gradient("L").resize(image.size).point(lambda level: 255 * (level > 200)).save(mask)
    out.write_bytes(b"mine")
    for path, time in ((photo, 1000), (out, 1001), (mask, 1002)):
        date(path, time)
    command = ("inpaint", photo, "--mask", mask, "-o", out, "--newer", "--dry-run", "--json")
    assert totals(dfrestore(*command)).get("planned") == 1
    date(mask, 1000)
    assert totals(dfrestore(*command))["skipped"] == 1


def test_newer_and_overwrite_exclude_each_other(restore: Run, photo_folder: Path) -> None:
    answer = restore(photo_folder, "--newer", "--overwrite")
    assert answer.code == 2
    assert "--newer and --overwrite exclude each other" in answer.err
