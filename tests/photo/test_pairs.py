"""Which degraded picture belongs to which clean one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfrestore.errors import UsageError
from dfrestore.photo.pairs import LAYOUTS, clean_folder, clean_pairs, find_pairs, match_folders, small_pictures


def touch(folder: Path, *names: str) -> Path:
    """Empty files; pairing looks at names alone."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names(matching) -> list[tuple[str, str, str]]:
    return [(pair.name, pair.input.name, pair.target.name) for pair in matching.pairs]


def test_pictures_of_the_same_stem_are_a_pair_whatever_their_format(tmp_path: Path) -> None:
    matching = match_folders(touch(tmp_path / "a", "2.png", "1.JPG"), touch(tmp_path / "b", "1.webp", "2.tif"))
    assert names(matching) == [("1", "1.JPG", "1.webp"), ("2", "2.png", "2.tif")]
    assert matching.lonely_inputs == matching.lonely_targets == ()


def test_pictures_in_subfolders_pair_with_those_of_the_same_subfolder(tmp_path: Path) -> None:
    matching = match_folders(touch(tmp_path / "a", "x/1.png", "y/1.png"), touch(tmp_path / "b", "x/1.png", "y/1.png"))
    assert [pair.name for pair in matching.pairs] == ["x/1", "y/1"]
    assert all(pair.input.parent.name == pair.target.parent.name for pair in matching.pairs)


@pytest.mark.parametrize(
    ("degraded", "clean"),
    [("rain-001.png", "norain-001.png"), ("photo_derain.png", "photo.png"), ("7_LQ.png", "7_GT.png")],
)
def test_names_may_differ_by_the_word_for_their_role(tmp_path: Path, degraded: str, clean: str) -> None:
    matching = match_folders(touch(tmp_path / "a", degraded), touch(tmp_path / "b", clean))
    assert [(pair.input.name, pair.target.name) for pair in matching.pairs] == [(degraded, clean)]


def test_equal_names_win_over_names_without_role_words(tmp_path: Path) -> None:
    matching = match_folders(touch(tmp_path / "a", "cat.png", "cat_derain.png"), touch(tmp_path / "b", "cat.png"))
    assert names(matching) == [("cat", "cat.png", "cat.png")]
    assert [path.name for path in matching.lonely_inputs] == ["cat_derain.png"]


def test_two_candidates_for_one_clean_picture_are_left_alone(tmp_path: Path) -> None:
    matching = match_folders(touch(tmp_path / "a", "1_rain.png", "1_blur.png"), touch(tmp_path / "b", "1.png"))
    assert matching.pairs == ()
    assert len(matching.lonely_inputs) == 2


def test_pictures_without_partner_are_named(tmp_path: Path) -> None:
    matching = match_folders(touch(tmp_path / "a", "1.png", "2.png"), touch(tmp_path / "b", "2.png", "3.png"))
    assert [path.name for path in matching.lonely_inputs] == ["1.png"]
    assert [path.name for path in matching.lonely_targets] == ["3.png"]


def test_two_pictures_of_one_name_in_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"1\.jpg and 1\.png have the same name"):
        match_folders(touch(tmp_path / "a", "1.png", "1.jpg"), touch(tmp_path / "b", "1.png"))


def test_hidden_files_and_other_files_are_passed_over(tmp_path: Path) -> None:
    a = touch(tmp_path / "a", "1.png", ".1.png", "1.txt", ".cache/1.png")
    assert [pair.name for pair in match_folders(a, touch(tmp_path / "b", "1.png")).pairs] == ["1"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_found_whatever_its_case(tmp_path: Path, layout: tuple[str, str]) -> None:
    touch(tmp_path, f"{layout[0].upper()}/1.png", f"{layout[1].title()}/1.png")
    assert [pair.name for pair in find_pairs(tmp_path).pairs] == ["1"]


def test_scenes_below_the_root_carry_their_folder_in_the_name(tmp_path: Path) -> None:
    touch(tmp_path, "b/blur/1.png", "b/sharp/1.png", "a/blur/1.png", "a/sharp/1.png")
    assert [pair.name for pair in find_pairs(tmp_path).pairs] == ["a/1", "b/1"]


def test_a_folder_without_a_layout_is_refused_and_the_layouts_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "pictures/1.png")
    with pytest.raises(UsageError, match="input/ with target/"):
        find_pairs(tmp_path)


def test_a_missing_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        find_pairs(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="not a folder"):
        find_pairs(touch(tmp_path, "a.png") / "a.png")


# -- super-resolution: inputs that are some times smaller


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ("img_001_SRF_4_LR.png", "img_001_SRF_4_HR.png"),
        ("img_001_SRF_4_LR.png", "img_001.png"),
        ("img_001x4.png", "img_001.png"),
        ("babyx4.png", "baby.bmp"),
        ("baby_x4.png", "baby_HR.png"),
        ("baby_4x.png", "baby.png"),
        ("0801x4_upscale.png", "0801.png"),
    ],
)
def test_names_may_differ_by_the_scale_and_its_words(tmp_path: Path, small: str, large: str) -> None:
    matching = match_folders(touch(tmp_path / "a", small), touch(tmp_path / "b", large))
    assert [(pair.input.name, pair.target.name) for pair in matching.pairs] == [(small, large)]


@pytest.mark.parametrize(
    ("one", "other"), [("box2.png", "box3.png"), ("a_SRF_2_LR.png", "a_SRF_4_HR.png"), ("x4.png", "x2.png")]
)
def test_names_of_different_scales_are_no_pair(tmp_path: Path, one: str, other: str) -> None:
    assert match_folders(touch(tmp_path / "a", one), touch(tmp_path / "b", other)).pairs == ()


def test_scales_in_names_are_looked_at_last(tmp_path: Path) -> None:
    a, b = touch(tmp_path / "a", "1_x2_rain.png", "1_x3_rain.png"), touch(tmp_path / "b", "1_x2.png", "1_x3.png")
    assert names(match_folders(a, b)) == [
        ("1_x2_rain", "1_x2_rain.png", "1_x2.png"),
        ("1_x3_rain", "1_x3_rain.png", "1_x3.png"),
    ]


def test_of_inputs_of_several_scales_the_wanted_one_is_taken(tmp_path: Path) -> None:
    a, b = touch(tmp_path / "a", "babyx2.png", "babyx3.png", "babyx4.png"), touch(tmp_path / "b", "baby.png")
    assert names(match_folders(a, b, scale=3)) == [("babyx3", "babyx3.png", "baby.png")]
    assert match_folders(a, b).pairs == ()


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ("lr_x4", "target"),
        ("LR", "HR"),
        ("LRbicx4", "GTmod12"),
        ("LR_bicubic/X4", "HR"),
        ("lr/x4", "hr"),
        ("input", "target"),
        ("X4", "gt"),
    ],
)
def test_folders_of_super_resolution_are_found(tmp_path: Path, small: str, large: str) -> None:
    touch(tmp_path, f"{small}/babyx4.png", f"{large}/baby.png")
    (pair,) = find_pairs(tmp_path, scale=4).pairs
    assert (pair.input, pair.target) == (tmp_path / small / "babyx4.png", tmp_path / large / "baby.png")


def test_of_folders_of_several_scales_the_wanted_one_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, "hr/1.png", *(f"lr_x{scale}/1.png" for scale in (2, 3, 4)))
    assert [pair.input.parent.name for pair in find_pairs(tmp_path, scale=3).pairs] == ["lr_x3"]
    with pytest.raises(UsageError, match="no folders of pairs of scale 8 in here; expected lr_x8/ with hr/"):
        find_pairs(tmp_path, scale=8)


def test_a_folder_that_holds_other_scales_alone_is_not_taken_for_its_own(tmp_path: Path) -> None:
    touch(tmp_path, "HR/1.png", "LR_bicubic/X2/1x2.png")
    with pytest.raises(UsageError, match="scale 4"):
        find_pairs(tmp_path, scale=4)


def test_a_folder_of_both_sides_is_found_for_its_scale_alone(tmp_path: Path) -> None:
    for scale in (2, 4):
        touch(tmp_path / f"image_SRF_{scale}", f"img_001_SRF_{scale}_HR.png", f"img_001_SRF_{scale}_LR.png")
    (pair,) = find_pairs(tmp_path, scale=4).pairs
    assert pair.name == "image_SRF_4/img_001_SRF_4_LR"
    assert pair.target.name == "img_001_SRF_4_HR.png"


def test_folders_of_a_scale_are_no_layout_for_other_tasks(tmp_path: Path) -> None:
    touch(tmp_path, "lr_x4/1.png", "target/1.png")
    with pytest.raises(UsageError, match="no folders of pairs in here"):
        find_pairs(tmp_path)


def test_the_small_pictures_of_a_folder_are_those_of_the_scale(tmp_path: Path) -> None:
    touch(tmp_path, "lr_x2/1.png", "lr_x4/1.png")
    assert small_pictures(tmp_path, 4) == tmp_path / "lr_x4"
    assert small_pictures(tmp_path / "lr_x4", 4) == tmp_path / "lr_x4"


# -- clean pictures alone


def test_clean_pictures_are_both_sides_of_their_pairs_in_the_order_of_degrade(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "a-1.jpg", "a.png", "sub/c.png")
    pairs = clean_pairs(tmp_path).pairs
    assert [pair.name for pair in pairs] == ["a-1", "a", "b", "sub/c"]
    assert all(pair.input == pair.target for pair in pairs)


def test_the_clean_folder_of_a_set_without_inputs_is_found(tmp_path: Path) -> None:
    touch(tmp_path, "Target/1.png")
    assert clean_folder(tmp_path) == tmp_path / "Target"
    assert clean_folder(tmp_path / "Target") is None
