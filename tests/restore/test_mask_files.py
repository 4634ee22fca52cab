"""Which mask files serve which photos, which pictures of a folder are masks, and several masks read as one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dfrestore.errors import FileFailure, PhotoReadError, UsageError
from dfrestore.photo import MAX_PIXELS, Origin, Photo
from dfrestore.restore.mask_files import FoundMasks, blaming_mask, find_masks, photo_stem, read_masks, without_masks
from dfrestore.restore.scan import scan_folder


def touched(folder: Path, names: str) -> Path:
    """A folder of files without content: names decide what serves what."""
    for name in names.split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def found(photos: Path, names: str, masks: Path) -> FoundMasks:
    return find_masks([(photos / name, photos) for name in names.split()], masks)


def named(result: FoundMasks, top: Path) -> list[str]:
    """The masks of each input, relative to ``top``, in one text."""
    return [" ".join(mask.relative_to(top).as_posix() for mask in masks) for masks in result.masks]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tmp_path / "photos"


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return tmp_path / "masks"


# --- which file ---


def test_one_mask_file_serves_all(photos: Path, tmp_path: Path) -> None:
    mask = touched(tmp_path, "logo.png") / "logo.png"
    assert found(photos, "a.jpg sub/b.png", mask) == FoundMasks(((mask,), (mask,)))


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        ("a.png", "a.png"),
        ("a.jpg a.txt", "a.jpg"),
        ("a_mask.tif", "a_mask.tif"),
        ("a-mask.gif", "a-mask.gif"),
        ("a_mask7.png", "a_mask7.png"),
        ("a_mask001.png a_mask002.jpg a_mask010.png", "a_mask001.png a_mask002.jpg a_mask010.png"),
        ("a-mask.png a_mask.png a_mask1.png a_mask01.png", "a-mask.png a_mask.png a_mask01.png a_mask1.png"),
        ("a_mask.png a_masked.png a_mask1b.png a_mask_1.png ab_mask.png b.png .a.png", "a_mask.png"),
    ],
)
def test_a_mask_is_found_by_the_photos_name_alone_or_marked(photos: Path, masks: Path, files: str, taken: str) -> None:
    result = found(photos, "a.jpg", touched(masks, files))
    assert named(result, masks) == [taken]
    assert (result.failures, result.notes) == ((), ())


def test_masks_are_found_in_folders_like_those_of_the_photos(photos: Path, masks: Path) -> None:
    touched(masks, "a.png sub/a_mask.png sub/deep/a_mask1.png sub/deep/a_mask2.png")
    result = found(photos, "a.png sub/a.png sub/deep/a.png", masks)
    assert named(result, masks) == ["a.png", "sub/a_mask.png", "sub/deep/a_mask1.png sub/deep/a_mask2.png"]


def test_the_mask_of_a_photo_that_was_named_lies_directly_in_the_folder(photos: Path, masks: Path) -> None:
    touched(masks, "a.png sub/a.png sub/b.png")
    result = find_masks([(photos / "sub/a.jpg", None), (photos / "sub/b.jpg", None)], masks)
    assert named(result, masks) == ["a.png", ""]
    assert [path for path, _ in result.failures] == [photos / "sub/b.jpg"]


def test_photos_that_were_made_here_have_masks_too(photos: Path, masks: Path) -> None:
    result = found(photos, "a.png a_derain.png", touched(masks, "a.png a_derain.png"))
    assert named(result, masks) == ["a.png", "a_derain.png"]


def test_photos_of_several_folders_share_masks_of_their_relative_names(tmp_path: Path, masks: Path) -> None:
    touched(masks, "a.png")
    first, second = tmp_path / "1", tmp_path / "2"
    result = find_masks([(first / "a.jpg", first), (second / "a.png", second), (first / "a.jpg", None)], masks)
    assert named(result, masks) == ["a.png"] * 3


def test_marked_masks_come_before_a_picture_of_the_photos_name_and_that_is_said(photos: Path, masks: Path) -> None:
    result = found(photos, "a.png b.png", touched(masks, "a.png a_mask.png b.png b_mask1.png"))
    assert named(result, masks) == ["a_mask.png", "b_mask1.png"]
    (note,) = result.notes
    assert note.startswith(f"{masks / 'a.png'} and 1 more not taken as a mask")


def test_a_mask_called_like_an_input_is_the_mask_of_that_input(photos: Path, masks: Path) -> None:
    touched(masks, "face.png face_mask.png")
    assert named(found(photos, "face.png face_mask.png", masks), masks) == ["face.png", "face_mask.png"]
    assert named(found(photos, "face.png", masks), masks) == ["face_mask.png"]


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        ("IMG_1.PNG", "IMG_1.PNG"),
        ("img_1.png IMG_1.png", "IMG_1.png"),
        ("img_1_mask.png IMG_1.png", "IMG_1.png"),
        ("Img_1_Mask001.PNG img_1_MASK002.png", "Img_1_Mask001.PNG img_1_MASK002.png"),
        ("img_1.png", "img_1.png"),
    ],
)
def test_names_are_compared_exactly_and_else_without_regard_to_case(
    photos: Path, masks: Path, files: str, taken: str
) -> None:
    assert named(found(photos, "IMG_1.JPG", touched(masks, files)), masks) == [taken]


def test_folders_too_are_compared_without_regard_to_case_where_there_is_no_exact_one(photos: Path, masks: Path) -> None:
    assert named(found(photos, "Trip/a.png", touched(masks, "trip/A.png")), masks) == ["trip/A.png"]


def test_accents_are_the_same_however_they_are_put_together(photos: Path, masks: Path) -> None:
    touched(masks, "cafe\u0301_mask.png")
    assert len(found(photos, "caf\u00e9.png", masks).masks[0]) == 1


@pytest.mark.parametrize("files", ["a.jpg a.png", "a_mask.jpg a_mask.png", "a_mask1.png a_mask2.png a_mask2.tif"])
def test_two_files_that_could_be_the_same_mask_are_that_photos_failure(photos: Path, masks: Path, files: str) -> None:
    result = found(photos, "a.png b.png", touched(masks, f"{files} b.png"))
    first, second = (str(masks / name) for name in files.split()[-2:])
    assert result.failures == (
        (photos / "a.png", f"{photos / 'a.png'}: both {first} and {second} could be its mask; keep one of them"),
    )
    assert named(result, masks) == ["", "b.png"]


def test_a_photo_without_a_mask_is_told_what_was_expected(photos: Path, masks: Path) -> None:
    result = found(photos, "a.png sub/b.png", touched(masks, "a.png b.png"))
    path = photos / "sub/b.png"
    expected = " or ".join(str(Path("sub", name)) for name in ("b_mask.png", "b_mask001.png"))
    assert result.failures == ((path, f"no mask for {path} in {masks}: expected {Path('sub/b.png')}, {expected}"),)


def test_masks_of_a_kind_that_is_not_read_are_told_where_one_is_missing(photos: Path, masks: Path) -> None:
    touched(masks, "a.png b.psd")
    assert found(photos, "a.png", masks).notes == ()
    assert found(photos, "b.png", masks).notes == (
        f"{masks / 'b.psd'}: of a kind that is not read as a mask; convert it to PNG",
    )


# --- what cannot be ---


def test_a_mask_that_does_not_exist_is_a_usage_error_with_the_nearest_name(tmp_path: Path) -> None:
    touched(tmp_path, "masks/a.png")
    with pytest.raises(UsageError, match=r"^--mask .*mask: no such file or folder: did you mean 'masks'\?$"):
        find_masks([], tmp_path / "mask")
    with pytest.raises(UsageError, match=r"no such file or folder$"):
        find_masks([], tmp_path / "nowhere/at/all")


def test_a_link_that_leads_nowhere_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "masks").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match=r"masks: leads nowhere \(a link to .*gone\)$"):
        find_masks([], tmp_path / "masks")


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b"])
def test_a_name_that_cannot_be_is_a_usage_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be reached \("):
        find_masks([], tmp_path / name)


def test_a_folder_without_pictures_is_a_usage_error(masks: Path) -> None:
    with pytest.raises(UsageError, match=r"^--mask .*masks: no pictures in this folder$"):
        find_masks([], touched(masks, "a.txt sub/.b.png"))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may list every folder")
def test_a_folder_that_may_not_be_listed_is_a_usage_error_and_one_below_it_is_said(photos: Path, masks: Path) -> None:
    touched(masks, "a.png sub/b.png")
    for folder in (masks / "sub", masks):
        folder.chmod(0o300)
        try:
            if folder == masks:
                with pytest.raises(UsageError, match=r"^--mask .*masks: cannot be listed \("):
                    find_masks([], masks)
            else:
                (note,) = found(photos, "a.png", masks).notes
                assert note.startswith(f"{folder}: cannot be listed (")
        finally:
            folder.chmod(0o700)


# --- masks among the photos ---


def photos_in(folder: Path, masks: Path) -> list[str]:
    pictures = scan_folder(folder, leave_out=[masks]).pictures
    return [path.relative_to(folder).as_posix() for path in without_masks(pictures, folder, masks)]


def test_a_folder_of_masks_inside_that_of_the_photos_holds_no_photos(photos: Path) -> None:
    touched(photos, "a.png sub/b.png masks/a.png masks/sub/b_mask.png")
    assert photos_in(photos, photos / "masks") == ["a.png", "sub/b.png"]


def test_a_mask_file_inside_the_folder_of_the_photos_is_no_photo(photos: Path, tmp_path: Path) -> None:
    touched(photos, "a.png logo.png sub/logo.png")
    assert photos_in(photos, photos / "logo.png") == ["a.png", "sub/logo.png"]
    (tmp_path / "link").symlink_to(photos)
    assert photos_in(photos, tmp_path / "link" / "logo.png") == ["a.png", "sub/logo.png"]


def test_marked_names_beside_their_photos_are_masks_where_the_photos_folder_is_that_of_the_masks(photos: Path) -> None:
    touched(photos, "a.png a_mask.png B.jpg b-Mask.png sub/c.png sub/c_mask001.png sub/c_mask002.png")
    touched(photos, "lonely_mask.png sub/a_mask.png masked.png")
    left = ["a.png", "B.jpg", "lonely_mask.png", "masked.png", "sub/a_mask.png", "sub/c.png"]
    assert sorted(photos_in(photos, photos), key=str.lower) == sorted(left, key=str.lower)


def test_marked_names_are_photos_where_masks_lie_elsewhere(photos: Path, masks: Path) -> None:
    touched(photos, "a.png a_mask.png")
    assert photos_in(photos, touched(masks, "a.png")) == ["a.png", "a_mask.png"]


def test_a_photo_is_not_its_own_mask(photos: Path) -> None:
    touched(photos, "a.png a_mask.png b.png")
    result = found(photos, "a.png b.png", photos)
    assert named(result, photos) == ["a_mask.png", ""]
    path = photos / "b.png"
    why = f"no mask for {path} in {photos}: expected b_mask.png or b_mask001.png"
    assert (result.failures, result.notes) == (((path, why),), ())


def test_one_photo_is_not_the_mask_of_another(photos: Path) -> None:
    touched(photos, "a.png a.jpg")
    assert found(photos, "a.png a.jpg", photos).masks == ((), ())


def test_photos_are_known_by_other_paths_too(photos: Path, tmp_path: Path) -> None:
    touched(photos, "a.png")
    (tmp_path / "link").symlink_to(photos)
    assert found(photos, "a.png", tmp_path / "link").masks == ((),)


def test_masks_that_a_shell_named_among_the_photos_still_serve_and_are_told(photos: Path) -> None:
    touched(photos, "a.png a_mask.png")
    result = find_masks([(photos / name, None) for name in ("a.png", "a_mask.png")], photos)
    assert named(result, photos) == ["a_mask.png", ""]
    ((path, why),) = result.failures
    assert path == photos / "a_mask.png"
    assert why.endswith("; leave it out if it is a mask itself")


def test_a_mask_file_that_was_named_among_the_photos_is_told(photos: Path) -> None:
    mask = touched(photos, "a.png logo.png") / "logo.png"
    result = find_masks([(photos / "a.png", None), (mask, None)], mask)
    assert result.masks == ((mask,), ())
    assert result.failures == ((mask, f"{mask}: is the mask; leave it out of the INPUTs"),)


@given(st.text(min_size=1), st.sampled_from(["_mask", "-mask"]) | st.integers(0, 9999).map("_mask{:03}".format))
def test_the_photos_name_is_what_stands_before_the_mark(stem: str, mark: str) -> None:
    assert photo_stem(stem + mark) == stem


@pytest.mark.parametrize("stem", ["a", "_mask", "a_masks", "a-mask1", "amask", "a_mask_1"])
def test_other_names_are_not_marked(stem: str) -> None:
    assert photo_stem(stem) is None


def test_thousands_of_masks_are_looked_through_once(photos: Path, masks: Path) -> None:
    names = [f"{number:04}" for number in range(2000)]
    touched(masks, " ".join(f"{name}_mask.png" for name in names))
    begin = time.process_time()
    result = found(photos, " ".join(f"{name}.jpg" for name in names), masks)
    assert time.process_time() - begin < 5  # once a photo it would be minutes
    assert (len(result.masks), result.failures) == (2000, ())


# --- read ---


def mask_file(path: Path, boxes: Iterable[tuple[int, int, int, int]], size: tuple[int, int] = (20, 30)) -> Path:
    """White boxes (top, bottom, left, right) on black."""
    levels = np.zeros(size, np.uint8)
    for top, bottom, left, right in boxes:
        levels[top:bottom, left:right] = 255
    Image.fromarray(levels).save(path)
    return path


PHOTO = Photo(np.zeros((20, 30, 3), np.float32), origin=Origin(orientation=6))


def test_one_mask_is_read_as_it_is(tmp_path: Path) -> None:
    path = mask_file(tmp_path / "m.png", [(2, 5, 3, 9)])
    mask, notes = read_masks([path], PHOTO)
    assert (mask.dtype, mask.shape, mask.sum(), notes) == (np.float32, (20, 30), 18, ())


def test_several_masks_are_fitted_and_united_and_notes_name_their_file(tmp_path: Path) -> None:
    paths = [
        mask_file(tmp_path / "a.png", [(2, 5, 3, 9)]),
        mask_file(tmp_path / "b.png", [(0, 2, 0, 2)], (30, 20)),
        mask_file(tmp_path / "c.png", [(16, 20, 0, 4)], (40, 60)),
    ]
    mask, notes = read_masks(paths, PHOTO)
    whole = np.zeros((20, 30))
    whole[2:5, 3:9] = whole[0:2, 28:30] = whole[8:10, 0:2] = 1
    assert np.array_equal(mask, whole)
    assert notes == (
        "b.png: mask turned like the photo (20x30 to 30x20)",
        "c.png: mask resized (60x40 to 30x20)",
    )


def test_the_note_of_a_lone_mask_needs_no_name(tmp_path: Path) -> None:
    path = mask_file(tmp_path / "m.png", [(0, 9, 0, 9)], (40, 60))
    assert read_masks([path], PHOTO)[1] == ("mask resized (60x40 to 30x20)",)


def test_grey_is_a_strength_where_it_is_to_be_soft(tmp_path: Path) -> None:
    levels = np.zeros((20, 30), np.uint8)
    levels[3, :4] = 51, 102, 153, 255
    Image.fromarray(levels).save(tmp_path / "m.png")
    for soft, row in ((True, [0.2, 0.4, 0.6, 1]), (False, [0, 0, 1, 1])):
        assert np.allclose(read_masks([tmp_path / "m.png"], PHOTO, soft=soft)[0][3, :4], row)


def test_a_mask_that_does_not_fit_is_told_by_its_own_name(tmp_path: Path) -> None:
    paths = [mask_file(tmp_path / "a.png", [(0, 9, 0, 9)]), mask_file(tmp_path / "b.png", [(0, 9, 0, 9)], (50, 7))]
    with pytest.raises(FileFailure, match=r"b\.png: the mask's 7x50 pixels do not fit the photo's 30x20"):
        read_masks(paths, PHOTO)


def test_a_mask_that_is_gone_damaged_or_too_large_is_told_by_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"text")
    (tmp_path / "folder.png").mkdir()
    mask_file(tmp_path / "large.png", [], (200, 300))
    for name, limit in (("gone", MAX_PIXELS), ("bad", MAX_PIXELS), ("folder", MAX_PIXELS), ("large", 1000)):
        with pytest.raises(PhotoReadError, match=rf"{name}\.png: "):
            read_masks([tmp_path / f"{name}.png"], PHOTO, max_pixels=limit)


def test_what_the_system_says_of_a_mask_is_told_with_the_masks_name(tmp_path: Path) -> None:
    path, told = tmp_path / "gone.png", r"gone\.png: the mask cannot be read \(No such file or directory\)$"
    with pytest.raises(PhotoReadError, match=told), blaming_mask(path):
        path.stat()
    with pytest.raises(ZeroDivisionError), blaming_mask(path):
        _ = 1 / 0
