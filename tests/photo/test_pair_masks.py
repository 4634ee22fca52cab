"""Which mask belongs to which pair of pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfrestore.errors import UsageError
from dfrestore.photo.pair_masks import masks_in, masks_of_set, with_masks
from dfrestore.photo.pairs import Matching, clean_pairs, find_pairs, match_folders


def touch(folder: Path, *names: str) -> Path:
    """Empty files; masks are found by names alone."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def masks(matching: Matching) -> dict[str, list[str]]:
    return {pair.name: [path.name for path in pair.masks] for pair in matching.pairs}


@pytest.mark.parametrize(
    "names",
    [["a.png"], ["a_mask.png"], ["a_mask003.png"], ["a-mask-1.webp"], ["a.png", "a_mask000.png", "a_mask001.png"]],
)
def test_a_pair_takes_all_masks_of_its_name(tmp_path: Path, names: list[str]) -> None:
    clean, folder = touch(tmp_path / "clean", "a.png"), touch(tmp_path / "masks", *names)
    assert masks(with_masks(clean_pairs(clean), masks_in(folder))) == {"a": names}


def test_masks_in_subfolders_belong_to_pictures_of_the_same_subfolder(tmp_path: Path) -> None:
    clean = touch(tmp_path / "clean", "x/a.png", "y/a.png")
    folder = touch(tmp_path / "masks", "x/a_mask.png", "y/a.png")
    assert masks(with_masks(clean_pairs(clean), masks_in(folder))) == {"x/a": ["a_mask.png"], "y/a": ["a.png"]}


def test_names_may_differ_by_role_words_where_that_is_clear(tmp_path: Path) -> None:
    restored = touch(tmp_path / "restored", "a_inpaint.png")
    matching = match_folders(restored, touch(tmp_path / "target", "a.png"))
    folder = touch(tmp_path / "masks", "a_mask.png")
    assert masks(with_masks(matching, masks_in(folder))) == {"a_inpaint": ["a_mask.png"]}
    both = touch(tmp_path / "both", "a_lq.png", "a_restored.png")
    assert with_masks(clean_pairs(both), masks_in(folder)).pairs == ()


def test_one_file_is_the_mask_of_all(tmp_path: Path) -> None:
    clean, file = touch(tmp_path / "clean", "a.png", "b.png"), touch(tmp_path, "watermark.png") / "watermark.png"
    assert masks(with_masks(clean_pairs(clean), masks_in(file))) == {"a": [file.name], "b": [file.name]}


def test_pictures_without_a_mask_are_told(tmp_path: Path) -> None:
    clean, folder = touch(tmp_path / "clean", "a.png", "b.png"), touch(tmp_path / "masks", "a.png")
    matching = with_masks(clean_pairs(clean), masks_in(folder))
    assert masks(matching) == {"a": ["a.png"]}
    assert matching.without_mask == (clean / "b.png",)


def test_masks_may_lie_beside_their_pictures(tmp_path: Path) -> None:
    folder = touch(tmp_path, "a.png", "a_mask000.png", "b.png", "b_mask000.png")
    matching = with_masks(clean_pairs(folder), masks_in(folder))
    assert masks(matching) == {"a": ["a_mask000.png"], "b": ["b_mask000.png"]}
    assert matching.without_mask == ()


def test_a_set_has_its_masks_beside_its_pairs_at_any_depth(tmp_path: Path) -> None:
    touch(tmp_path, "input/a.png", "target/a.png", "mask/a.png")
    assert masks(with_masks(find_pairs(tmp_path), masks_of_set(tmp_path))) == {"a": ["a.png"]}
    deep = touch(tmp_path / "sets", "one/input/a.png", "one/target/a.png", "one/Masks/a_mask.png")
    assert masks(with_masks(find_pairs(deep), masks_of_set(deep))) == {"one/a": ["a_mask.png"]}


def test_masks_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        masks_in(tmp_path / "nowhere")
