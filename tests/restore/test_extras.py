"""Where the pictures beside a result go, what is refused before any work, and what may be replaced."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import pixels
from PIL import Image

from dfrestore.errors import PhotoWriteError, UsageError
from dfrestore.restore import FilePlan, plan_files
from dfrestore.restore.extras import ExtraOptions, Extras, extras_written, is_ours, mark, obstacle

MakePhoto = Callable[..., Path]


def planned(source: Path | list[Path], out: Path | None, **wanted: object) -> FilePlan:
    sources = source if isinstance(source, list) else [source]
    return plan_files(sources, out, "derain", extras=ExtraOptions(**{kind: str(text) for kind, text in wanted.items()}))


def ours(path: Path) -> Path:
    """A picture with the mark of an earlier run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels()).save(path, exif=mark())
    return path


# -- places


def test_of_one_file_each_extra_is_the_file_that_was_named(tmp_path: Path, make_photo: MakePhoto) -> None:
    source = make_photo(tmp_path / "a.jpg")
    wanted = {"uncertainty": tmp_path / "u.png", "compare": tmp_path / "c.jpeg", "trace": tmp_path / "t.webp"}
    (job,) = planned(source, None, **wanted).jobs
    assert job.extras.places == wanted


def test_of_a_folder_the_tree_is_mirrored(tmp_path: Path, photo_folder: Path) -> None:
    plan = planned(photo_folder, tmp_path / "out", uncertainty=tmp_path / "maps", compare=tmp_path / "strips")
    assert [job.extras.uncertainty for job in plan.jobs] == [
        tmp_path / "maps" / name for name in ("a.png", "b.png", "sub/a.png", "sub/deep/c.png")
    ]
    assert plan.jobs[-1].extras.compare == tmp_path / "strips" / "sub" / "deep" / "c.jpg"


def test_several_files_go_into_a_folder_by_their_names(tmp_path: Path, make_photo: MakePhoto) -> None:
    sources = [make_photo(tmp_path / "x" / "a.png"), make_photo(tmp_path / "y" / "b.png")]
    jobs = planned(sources, None, compare=tmp_path / "strips").jobs
    assert [job.extras.compare for job in jobs] == [tmp_path / "strips" / "a.jpg", tmp_path / "strips" / "b.jpg"]


def test_one_file_goes_into_a_folder_that_exists(tmp_path: Path, make_photo: MakePhoto) -> None:
    (tmp_path / "maps").mkdir()
    (job,) = planned(make_photo(tmp_path / "a.jpg"), None, uncertainty=tmp_path / "maps").jobs
    assert job.extras.uncertainty == tmp_path / "maps" / "a.png"


def test_folders_of_extras_below_an_input_are_not_taken_for_photos(
    tmp_path: Path, photo_folder: Path, make_photo: MakePhoto
) -> None:
    make_photo(photo_folder / "strips" / "a.jpg")
    plan = planned(photo_folder, tmp_path / "out", compare=photo_folder / "strips")
    assert len(plan.jobs) == 4


# -- refusals


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("uncertainty", "map.jpg", "ends in .png"),
        ("uncertainty", "map.tif", "ends in .png"),
        ("compare", "strip.webp", "ends in .jpg or .jpeg or .png"),
        ("trace", "trace.mp4", "ends in .gif or .webp"),
        ("compare", "", "needs the name"),
    ],
)
def test_a_name_without_the_right_ending_is_refused(
    tmp_path: Path, make_photo: MakePhoto, kind: str, name: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        planned(make_photo(tmp_path / "a.jpg"), None, **{kind: tmp_path / name if name else ""})


def test_a_name_without_ending_is_a_folder(tmp_path: Path, make_photo: MakePhoto) -> None:
    (job,) = planned(make_photo(tmp_path / "a.jpg"), None, uncertainty=tmp_path / "maps").jobs
    assert job.extras.uncertainty is not None
    assert job.extras.uncertainty.parent == tmp_path / "maps"


def test_a_trace_is_of_one_file(tmp_path: Path, photo_folder: Path) -> None:
    for sources in ([photo_folder], [photo_folder / "a.png", photo_folder / "b.jpg"]):
        with pytest.raises(UsageError, match="give one INPUT file"):
            planned(sources, tmp_path / "out", trace=tmp_path / "t.gif")


def test_a_file_where_several_photos_need_a_folder_is_refused(
    tmp_path: Path, photo_folder: Path, make_photo: MakePhoto
) -> None:
    there = make_photo(tmp_path / "there.png").rename(tmp_path / "there")
    for name in (there, tmp_path / "new.png"):
        with pytest.raises(UsageError, match="several photos need a folder"):
            planned(photo_folder, tmp_path / "out", uncertainty=name)


@pytest.mark.parametrize("kind", ["uncertainty", "compare"])
def test_an_extra_over_an_input_is_refused(tmp_path: Path, make_photo: MakePhoto, kind: str) -> None:
    source = make_photo(tmp_path / "a.png")
    with pytest.raises(UsageError, match=rf"would replace an input; choose another --{kind}"):
        planned(source, tmp_path / "b.png", **{kind: source})


def test_an_extra_over_the_result_is_refused(tmp_path: Path, make_photo: MakePhoto) -> None:
    with pytest.raises(UsageError, match="both -o and --compare would be written here"):
        planned(make_photo(tmp_path / "a.png"), tmp_path / "b.png", compare=tmp_path / "b.png")


def test_two_extras_under_one_name_are_refused(tmp_path: Path, make_photo: MakePhoto) -> None:
    one = tmp_path / "b.png"
    with pytest.raises(UsageError, match="both --uncertainty and --compare"):
        planned(make_photo(tmp_path / "a.png"), None, compare=one, uncertainty=one)


def test_two_photos_that_would_make_one_map_are_refused(tmp_path: Path, make_photo: MakePhoto) -> None:
    for name in ("a.jpg", "a.png"):
        make_photo(tmp_path / "in" / name)
    with pytest.raises(UsageError, match=r"a\.jpg and .*a\.png would be written here; run them separately"):
        planned(tmp_path / "in", tmp_path / "out", uncertainty=tmp_path / "maps")


def test_extras_among_the_photos_of_an_input_folder_are_refused(tmp_path: Path, photo_folder: Path) -> None:
    with pytest.raises(UsageError, match="is an input"):
        planned(photo_folder, tmp_path / "out", compare=photo_folder)


def test_a_result_that_would_be_an_extras_folder_is_refused(tmp_path: Path, make_photo: MakePhoto) -> None:
    with pytest.raises(UsageError, match="needs a folder"):
        planned(make_photo(tmp_path / "a.png"), tmp_path / "b.png", compare=tmp_path / "b.png" / "c.png")


def test_an_extra_in_place_of_a_folder_is_refused(tmp_path: Path, make_photo: MakePhoto) -> None:
    (tmp_path / "t.gif").mkdir()
    with pytest.raises(UsageError, match="the name of a file"):
        planned(make_photo(tmp_path / "a.png"), None, trace=tmp_path / "t.gif")


@pytest.mark.skipif(os.name == "nt", reason="devices of POSIX")
def test_an_extra_over_a_device_is_refused(tmp_path: Path, make_photo: MakePhoto) -> None:
    (tmp_path / "x.png").symlink_to("/dev/null")
    with pytest.raises(UsageError, match=r"not a regular file.*choose another --uncertainty"):
        planned(make_photo(tmp_path / "a.png"), None, uncertainty=tmp_path / "x.png")


# -- what may be replaced


def test_nothing_is_replaced_for_one_file(tmp_path: Path) -> None:
    there = ours(tmp_path / "c.png")
    assert f"{there}: exists already" in str(obstacle(Extras(compare=there)))
    assert obstacle(Extras(compare=tmp_path / "other.png")) is None


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_run_of_several_replaces_its_own_earlier_extras_only(
    tmp_path: Path, make_photo: MakePhoto, ending: str
) -> None:
    mine, foreign = ours(tmp_path / f"c.{ending}"), make_photo(tmp_path / f"d.{ending}")
    assert (is_ours(mine), is_ours(foreign)) == (True, False)
    assert obstacle(Extras(compare=mine, replace="ours")) is None
    assert obstacle(Extras(compare=foreign, replace="ours")) is not None
    assert obstacle(Extras(compare=foreign, replace="all")) is None


def test_what_is_no_picture_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"dfrestore")
    assert not is_ours(tmp_path / "a.png")
    assert not is_ours(tmp_path / "missing.png")


def test_a_damaged_picture_is_not_ours_and_gives_no_warning(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x9286] = "Maker", "x" * 50
    torn = b"Exif\0\0" + exif.tobytes()[6:-40]
    Image.fromarray(pixels()).save(tmp_path / "torn.jpg", exif=torn)
    Image.fromarray(pixels()).save(tmp_path / "torn.png", exif=torn)
    assert not is_ours(tmp_path / "torn.jpg")
    assert not is_ours(tmp_path / "torn.png")


# -- writing


def test_extras_stand_with_their_result(tmp_path: Path) -> None:
    with extras_written({tmp_path / "new" / "a.png": b"map"}, "none"):
        pass
    assert (tmp_path / "new" / "a.png").read_bytes() == b"map"


@pytest.mark.parametrize("end", [KeyboardInterrupt, PhotoWriteError])
def test_without_a_result_new_extras_are_taken_away(tmp_path: Path, end: type[BaseException]) -> None:
    with pytest.raises(end), extras_written({tmp_path / "a.png": b"map"}, "none"):
        raise end("stop")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_of_one_extra_leaves_none_of_the_others(tmp_path: Path, make_photo: MakePhoto) -> None:
    foreign = make_photo(tmp_path / "b.png")
    before = foreign.read_bytes()
    files = {tmp_path / "a.png": b"map", foreign: b"map"}
    with pytest.raises(PhotoWriteError, match="exists already"), extras_written(files, "ours"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]
    assert foreign.read_bytes() == before
