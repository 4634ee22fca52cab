"""Which files a run takes and where their results go, before anything is touched."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dfrestore.errors import UsageError
from dfrestore.restore import plan_files
from dfrestore.restore.extras import ExtraOptions
from dfrestore.restore.name_template import NameTemplate
from dfrestore.restore.naming import format_name, original_stem, result_name

MakePhoto = Callable[..., Path]


def pairs(*inputs: Path, out: Path | str | None = None, root: Path, **options: object) -> dict[str, str]:
    """Input -> output, both relative to ``root``."""
    plan = plan_files(inputs, out, "derain", **options)  # type: ignore[arg-type]
    return {str(job.input.relative_to(root)): str(job.output.relative_to(root)) for job in plan.jobs}


def test_a_folder_is_taken_with_the_folders_below_it_and_its_tree_mirrored(tmp_path: Path, photo_folder: Path) -> None:
    assert pairs(photo_folder, out=tmp_path / "out", root=tmp_path) == {
        "photos/a.png": "out/a.png",
        "photos/b.jpg": "out/b.jpg",
        "photos/sub/a.png": "out/sub/a.png",
        "photos/sub/deep/c.tif": "out/sub/deep/c.tif",
    }


def test_no_recursive_takes_the_folder_itself(tmp_path: Path, photo_folder: Path) -> None:
    found = pairs(photo_folder, out=tmp_path / "out", root=tmp_path, recursive=False)
    assert list(found) == ["photos/a.png", "photos/b.jpg"]


def test_without_out_results_stand_beside_their_inputs(tmp_path: Path, photo_folder: Path) -> None:
    found = pairs(photo_folder, root=tmp_path)
    assert found["photos/sub/a.png"] == "photos/sub/a_derain.png"


def test_results_beside_their_inputs_are_not_taken_again(tmp_path: Path, make_photo: MakePhoto) -> None:
    for name in ("a.png", "a_derain.png", "a_denoise.jpg", "a_derain_deblur.png", "lonely_derain.png"):
        make_photo(tmp_path / name)
    assert list(pairs(tmp_path, root=tmp_path)) == ["a.png", "lonely_derain.png"]


def test_previews_have_names_of_their_own(tmp_path: Path, photo_folder: Path) -> None:
    beside = pairs(photo_folder, root=tmp_path, preview=True)
    assert beside["photos/sub/deep/c.tif"] == "photos/sub/deep/c_derain_preview.tif"
    below = pairs(photo_folder, out=tmp_path / "out", root=tmp_path, preview=True, fmt="PNG")
    assert below["photos/sub/deep/c.tif"] == "out/sub/deep/c_preview.png"
    file = photo_folder / "a.png"
    assert pairs(file, out=tmp_path / "b.png", root=tmp_path, preview=True) == {"photos/a.png": "b.png"}
    template = NameTemplate("dry {stem}", dict)
    assert pairs(file, root=tmp_path, preview=True, template=template) == {"photos/a.png": "photos/dry a_preview.png"}
    strips = plan_files([photo_folder], tmp_path / "out", "derain", extras=ExtraOptions(compare="strips"), preview=True)
    assert strips.jobs[0].extras.compare == Path("strips/a_preview.jpg")


@pytest.mark.parametrize("template", [None, NameTemplate("dry {stem}", dict)])
def test_previews_beside_their_inputs_are_not_taken(
    tmp_path: Path, make_photo: MakePhoto, template: NameTemplate | None
) -> None:
    for name in ("a.png", "a_preview.png", "a_derain_preview.png", "dry a_preview.png"):
        make_photo(tmp_path / name)
    ours = {"a_derain_preview.png"} if template is None else {"a_derain_preview.png", "dry a_preview.png"}
    taken = {"a.png", "a_preview.png", "a_derain_preview.png", "dry a_preview.png"} - ours
    assert set(pairs(tmp_path, root=tmp_path, template=template)) == taken


def test_a_result_that_is_named_is_taken(tmp_path: Path, make_photo: MakePhoto) -> None:
    make_photo(tmp_path / "a.png")
    result = make_photo(tmp_path / "a_derain.png")
    assert pairs(result, root=tmp_path) == {"a_derain.png": "a_derain_derain.png"}


def test_hidden_files_sidecars_and_thumbnail_folders_are_passed_over(tmp_path: Path, make_photo: MakePhoto) -> None:
    for name in ("a.png", ".hidden.png", "._a.png", ".cache/b.png", "@eaDir/a.png"):
        make_photo(tmp_path / name)
    for name in ("a.xmp", "a.txt", "a.png.json", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"")
    plan = plan_files([tmp_path], None, "derain")
    assert [job.input.name for job in plan.jobs] == ["a.png"]
    assert plan.notes == ()


def test_a_named_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    odd = tmp_path / "scan"
    odd.write_bytes(b"?")
    assert pairs(odd, root=tmp_path) == {"scan": "scan_derain.png"}


def test_raw_and_heic_files_without_their_extras_are_counted_and_named_once(
    tmp_path: Path, make_photo: MakePhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("rawpy", "pillow_heif"):
        monkeypatch.setitem(sys.modules, module, None)
    make_photo(tmp_path / "a.png")
    for name in ("b.CR2", "sub/c.cr2", "d.heic"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (note,) = plan_files([tmp_path], None, "derain").notes
    assert note.startswith("3 files not read (.cr2, .heic); pip install pillow-heif rawpy, or convert")


def test_raw_and_heic_files_become_what_every_program_opens(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"")
    (tmp_path / "b.NEF").write_bytes(b"")
    named = [tmp_path / "a.heic", tmp_path / "b.NEF"]
    plan = plan_files(named, tmp_path / "out", "derain")
    assert [job.output.name for job in plan.jobs] == ["a.jpg", "b.tif"]
    assert plan.notes == (
        ".heic can be read but not written, so the result is JPEG; --format chooses another",
        ".nef can be read but not written, so the result is TIFF; --format chooses another",
    )
    plan = plan_files(named, tmp_path / "out", "derain", fmt="PNG")
    assert [job.output.name for job in plan.jobs] == ["a.png", "b.png"]
    assert plan.notes == ()


def test_a_raw_file_and_the_jpeg_of_the_same_shot_do_not_collide_but_heic_and_jpeg_do(tmp_path: Path) -> None:
    for name in ("a.nef", "a.jpg"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "b.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(16))
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff")
    plan = plan_files([tmp_path / "a.nef", tmp_path / "a.jpg"], tmp_path / "out", "derain")
    assert [job.output.name for job in plan.jobs] == ["a.tif", "a.jpg"]
    with pytest.raises(UsageError, match="would be written here"):
        plan_files([tmp_path / "b.heic", tmp_path / "b.jpg"], tmp_path / "out", "derain")


def test_a_folder_of_pictures_that_are_not_read_says_which_they_are(tmp_path: Path) -> None:
    for name in ("a.jxl", "b.PSD"):
        (tmp_path / name).write_bytes(b"")
    ((folder, why),) = plan_files([tmp_path], None, "derain").failures
    assert folder == tmp_path
    assert "no pictures that can be read, only 2 files of other kinds (.jxl, .psd)" in why


def test_links_that_lead_back_up_end_the_walk(tmp_path: Path, make_photo: MakePhoto) -> None:
    make_photo(tmp_path / "in" / "sub" / "a.png")
    (tmp_path / "in" / "sub" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "self").symlink_to("self")
    assert list(pairs(tmp_path / "in", root=tmp_path)) == ["in/sub/a.png"]


def test_links_to_a_folder_above_the_input_are_not_followed_and_said_once(
    tmp_path: Path, make_photo: MakePhoto
) -> None:
    make_photo(tmp_path / "other.png")
    make_photo(tmp_path / "in" / "sub" / "a.png")
    (tmp_path / "in" / "parent").symlink_to("..")
    (tmp_path / "in" / "sub" / "top").symlink_to(tmp_path)
    assert list(pairs(tmp_path / "in", root=tmp_path)) == ["in/sub/a.png"]
    links = f"{tmp_path / 'in' / 'parent'}, {tmp_path / 'in' / 'sub' / 'top'}"
    (note,) = plan_files([tmp_path / "in"], None, "derain").notes
    assert note == f"2 links to a folder above not followed ({links})"


def test_a_link_inside_a_linked_folder_to_its_parent_is_not_followed(tmp_path: Path, make_photo: MakePhoto) -> None:
    make_photo(tmp_path / "archive" / "2023" / "a.png")
    make_photo(tmp_path / "archive" / "b.png")
    (tmp_path / "archive" / "2023" / "all").symlink_to("..")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "year").symlink_to(tmp_path / "archive" / "2023")
    assert list(pairs(tmp_path / "in", root=tmp_path)) == ["in/year/a.png"]


def test_each_folder_is_walked_once_by_its_own_name_where_it_has_one(tmp_path: Path, make_photo: MakePhoto) -> None:
    make_photo(tmp_path / "in" / "real" / "a.png")
    make_photo(tmp_path / "elsewhere" / "deep" / "b.png")
    (tmp_path / "in" / "alias").symlink_to("real")
    (tmp_path / "in" / "one").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "two").symlink_to(tmp_path / "elsewhere")
    assert list(pairs(tmp_path / "in", root=tmp_path)) == ["in/one/deep/b.png", "in/real/a.png"]
    links = f"{tmp_path / 'in' / 'alias'}, {tmp_path / 'in' / 'two'}"
    (note,) = plan_files([tmp_path / "in"], None, "derain").notes
    assert note == f"2 links to a folder that is walked anyway not followed ({links})"


def test_a_linked_folder_elsewhere_is_followed(tmp_path: Path, make_photo: MakePhoto) -> None:
    make_photo(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "2023").symlink_to(tmp_path / "elsewhere")
    assert pairs(tmp_path / "in", out=tmp_path / "out", root=tmp_path) == {"in/2023/a.png": "out/2023/a.png"}


def test_out_inside_the_input_folder_is_not_scanned(tmp_path: Path, photo_folder: Path, make_photo: MakePhoto) -> None:
    make_photo(photo_folder / "out" / "a.png")
    found = pairs(photo_folder, out=photo_folder / "out", root=photo_folder)
    assert sorted(found) == ["a.png", "b.jpg", "sub/a.png", "sub/deep/c.tif"]


def test_an_existing_folder_or_a_slash_makes_out_a_folder(tmp_path: Path, make_photo: MakePhoto) -> None:
    photo = make_photo(tmp_path / "a.png")
    (tmp_path / "there").mkdir()
    assert pairs(photo, out=tmp_path / "there", root=tmp_path) == {"a.png": "there/a.png"}
    assert pairs(photo, out=f"{tmp_path}/new/", root=tmp_path) == {"a.png": "new/a.png"}
    assert pairs(photo, out=tmp_path / "new.png", root=tmp_path) == {"a.png": "new.png"}


def test_several_files_make_out_a_folder(tmp_path: Path, make_photo: MakePhoto) -> None:
    a, b = make_photo(tmp_path / "a.png"), make_photo(tmp_path / "b.png")
    assert pairs(a, b, out=tmp_path / "out", root=tmp_path) == {"a.png": "out/a.png", "b.png": "out/b.png"}


def test_a_name_of_a_picture_is_no_folder_for_several_results(tmp_path: Path, make_photo: MakePhoto) -> None:
    a, b = (make_photo(tmp_path / name) for name in ("a.png", "b.png"))
    with pytest.raises(UsageError, match=r"new\.png: is the name of a file, but several results need a folder"):
        plan_files([a, b], tmp_path / "new.png", "derain")
    assert len(plan_files([a, b], f"{tmp_path / 'new.png'}/", "derain").jobs) == 2


def test_several_results_into_a_file_are_refused(tmp_path: Path, make_photo: MakePhoto) -> None:
    a, b, c = (make_photo(tmp_path / name) for name in ("a.png", "b.png", "c.png"))
    with pytest.raises(UsageError, match=r"c\.png: is a file"):
        plan_files([a, b], c, "derain")


@pytest.mark.parametrize(
    ("source", "task", "fmt", "expected"),
    [
        ("a.JPG", None, None, "a.JPG"),
        ("a.JPG", "derain", None, "a_derain.JPG"),
        ("a.jpeg", None, "JPEG", "a.jpeg"),
        ("a.jpeg", None, "PNG", "a.png"),
        ("a.tif", "deblur", "WEBP", "a_deblur.webp"),
        ("a", None, None, "a.png"),
        ("a.b.png", "derain", None, "a.b_derain.png"),
        ("Übung 1.png", "derain", "JPEG", "Übung 1_derain.jpg"),
    ],
)
def test_result_names(source: str, task: str | None, fmt: str | None, expected: str) -> None:
    assert result_name(Path(source), task, fmt) == expected


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a_derain.png", "a"),
        ("a_derain_preview.png", "a"),
        ("a.png", None),
        ("a_preview.png", None),
        ("_derain.png", None),
    ],
)
def test_the_stem_that_a_result_was_made_from(name: str, stem: str | None) -> None:
    assert original_stem(Path(name)) == stem


def test_an_unknown_format_suggests_the_nearest() -> None:
    assert format_name("jpg") == "JPEG"
    with pytest.raises(UsageError, match="did you mean 'tiff'"):
        format_name("tifff")


def test_an_unknown_ending_of_out_is_refused_unless_the_format_is_given(tmp_path: Path, make_photo: MakePhoto) -> None:
    photo = make_photo(tmp_path / "a.png")
    with pytest.raises(UsageError, match=r"'\.pgn' is not written: did you mean 'png'"):
        plan_files([photo], tmp_path / "b.pgn", "derain")
    assert len(plan_files([photo], tmp_path / "b.pgn", "derain", fmt="PNG").jobs) == 1


def test_out_and_format_that_contradict_are_refused(tmp_path: Path, make_photo: MakePhoto) -> None:
    with pytest.raises(UsageError, match="the name says PNG, --format says JPEG"):
        plan_files([make_photo(tmp_path / "a.png")], tmp_path / "b.png", "derain", fmt="JPEG")


def test_a_missing_input_is_refused_and_the_nearest_name_suggested(tmp_path: Path, make_photo: MakePhoto) -> None:
    make_photo(tmp_path / "holiday.png")
    with pytest.raises(UsageError, match=r"no such file or folder: did you mean 'holiday\.png'"):
        plan_files([tmp_path / "holyday.png"], None, "derain")


def test_two_inputs_for_one_output_are_refused(tmp_path: Path, make_photo: MakePhoto) -> None:
    make_photo(tmp_path / "a.png")
    make_photo(tmp_path / "a.jpg")
    with pytest.raises(UsageError, match=r"out/a\.png: both .*a\.jpg and .*a\.png"):
        plan_files([tmp_path], tmp_path / "out", "derain", fmt="PNG")


def test_same_names_from_two_folders_are_refused(tmp_path: Path, make_photo: MakePhoto) -> None:
    first, second = make_photo(tmp_path / "x" / "a.png"), make_photo(tmp_path / "y" / "a.png")
    with pytest.raises(UsageError, match="both"):
        plan_files([first, second], tmp_path / "out", "derain")


def test_the_same_input_twice_is_one_job(tmp_path: Path, photo_folder: Path) -> None:
    plan = plan_files([photo_folder, photo_folder / "a.png", photo_folder], tmp_path / "out", "derain")
    assert len(plan.jobs) == 4


@pytest.mark.parametrize("out", ["a.png", "link.png", "b.png"])
def test_no_output_is_ever_an_input(tmp_path: Path, make_photo: MakePhoto, out: str) -> None:
    photo = make_photo(tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to(photo)
    other = make_photo(tmp_path / "sub" / "b.png")
    inputs = [photo] if out != "b.png" else [photo, other]
    target = tmp_path / out if out != "b.png" else other.parent
    with pytest.raises(UsageError, match="would replace an input"):
        plan_files(inputs, target, "derain")


def test_the_input_folder_as_out_is_refused(photo_folder: Path) -> None:
    with pytest.raises(UsageError, match="leave out -o"):
        plan_files([photo_folder], f"{photo_folder}/", "derain")


def test_an_output_that_is_a_folder_is_refused(tmp_path: Path, make_photo: MakePhoto) -> None:
    photo = make_photo(tmp_path / "a.png")
    (tmp_path / "a_derain.png").mkdir()
    with pytest.raises(UsageError, match="cannot replace a folder"):
        plan_files([photo], None, "derain")


def test_all_inputs_that_are_not_there_are_named(tmp_path: Path, make_photo: MakePhoto) -> None:
    there = make_photo(tmp_path / "there.png")
    gone = [tmp_path / f"{number}.png" for number in range(5)]
    with pytest.raises(UsageError) as caught:
        plan_files([gone[0], there, gone[1]], tmp_path / "out", "derain")
    assert str(caught.value) == f"{gone[0]}: no such file or folder; {gone[1]}: no such file or folder"
    with pytest.raises(UsageError, match=r"0\.png: no such .*1\.png: no such .*; 2 more; .*4\.png: no such"):
        plan_files(gone, tmp_path / "out", "derain")


def test_inputs_that_cannot_be_read_collide_with_nothing(tmp_path: Path, make_photo: MakePhoto) -> None:
    good, empty = make_photo(tmp_path / "a.png"), tmp_path / "sub" / "a.png"
    empty.parent.mkdir()
    empty.touch()
    plan = plan_files([good, empty], tmp_path / "out", "derain")
    assert [job.input for job in plan.jobs] == [good]
    ((path, why),) = plan.failures
    assert (path, "the file is empty" in why) == (empty, True)


def test_what_cannot_be_read_is_told_before_what_collides(tmp_path: Path, make_photo: MakePhoto) -> None:
    photos = [make_photo(tmp_path / name / "a.png") for name in ("one", "two")]
    text = tmp_path / "b.png"
    text.write_text("a letter")
    with pytest.raises(UsageError, match=r"b\.png: not a picture .*; .*would be written here"):
        plan_files([*photos, text], tmp_path / "out", "derain")


@pytest.mark.skipif(os.name == "nt", reason="links need no rights on POSIX")
def test_a_link_that_leads_nowhere_is_told_from_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to("gone.png")
    (tmp_path / "self.png").symlink_to("self.png")
    with pytest.raises(UsageError, match=r"link\.png: leads nowhere \(a link to gone\.png\)$"):
        plan_files([tmp_path / "link.png"], None, "derain")
    with pytest.raises(UsageError, match=r"self\.png: cannot be reached \("):
        plan_files([tmp_path / "self.png"], None, "derain")


def test_an_input_whose_name_is_too_long_cannot_be_reached(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"xxx\.png: (cannot be reached|no such file)"):
        plan_files([tmp_path / f"{'x' * 300}.png"], None, "derain")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may search every folder")
def test_an_input_in_a_closed_folder_cannot_be_reached(tmp_path: Path, make_photo: MakePhoto) -> None:
    photo = make_photo(tmp_path / "closed" / "a.png")
    photo.parent.chmod(0)
    try:
        with pytest.raises(UsageError, match=r"a\.png: cannot be reached \(Permission denied\)"):
            plan_files([photo], None, "derain")
    finally:
        photo.parent.chmod(0o700)


@pytest.mark.parametrize("name", [f"{'x' * 300}.png", f"{'x' * 300}/"])
def test_an_output_whose_name_is_too_long_is_left_to_fail_alone(
    tmp_path: Path, make_photo: MakePhoto, name: str
) -> None:
    assert len(plan_files([make_photo(tmp_path / "a.png")], f"{tmp_path}/{name}", "derain").jobs) == 1


@pytest.mark.skipif(os.name == "nt", reason="pipes with names need POSIX")
def test_an_output_that_is_no_regular_file_is_never_replaced(tmp_path: Path, make_photo: MakePhoto) -> None:
    photo = make_photo(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    for out in (tmp_path / "pipe.png", "/dev/null", "/dev/stdout"):
        with pytest.raises(UsageError, match="is not a regular file"):
            plan_files([photo], out, "derain", fmt="PNG")


def test_a_folder_without_pictures_fails_and_the_others_go_on(tmp_path: Path, photo_folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    plan = plan_files([tmp_path / "empty", photo_folder], tmp_path / "out", "derain")
    assert len(plan.jobs) == 4
    assert [(str(p.name), "no pictures" in why) for p, why in plan.failures] == [("empty", True)]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may list every folder")
def test_a_folder_that_may_not_be_listed_fails_and_the_others_go_on(photo_folder: Path) -> None:
    (photo_folder / "sub").chmod(0)
    try:
        plan = plan_files([photo_folder], None, "derain")
    finally:
        (photo_folder / "sub").chmod(0o700)
    assert [job.input.name for job in plan.jobs] == ["a.png", "b.jpg"]
    assert "cannot be listed" in plan.failures[0][1]


def test_only_runs_over_folders_or_several_files_into_one_keep_a_record(
    tmp_path: Path, photo_folder: Path, make_photo: MakePhoto
) -> None:
    a, b = make_photo(tmp_path / "a.png"), make_photo(tmp_path / "b.png")
    out = tmp_path / "out"

    def record(*inputs: Path, into: str | Path | None = None) -> Path | None:
        return plan_files(inputs, into, "derain").jobs[0].record

    assert record(photo_folder) == photo_folder
    assert record(photo_folder, into=out) == out
    assert record(a, b, into=out) == out
    assert record(a, b) is None
    assert record(a) is None
    assert record(a, into=f"{out}/") is None
