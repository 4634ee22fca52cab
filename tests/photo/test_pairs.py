"""Which degraded picture belongs to which clean one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfrestore.errors import UsageError
from dfrestore.photo.pairs import LAYOUTS, find_pairs, match_folders


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
