"""The look at the data before the first step, and decoding once."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import write_pairs

from dfrestore.errors import StartError, UsageError
from dfrestore.training.check import describe, load_data, report, require
from dfrestore.training.config import DataConfig
from dfrestore.training.data import degradation
from dfrestore.training.photos import Photos


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of decoded photos, empty."""
    monkeypatch.setenv("DFRESTORE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "training"


def of_pairs(folder: Path, **settings: str) -> Photos:
    return load_data(DataConfig(pairs=(str(folder),), **settings))


def pictures(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))


@pytest.mark.parametrize(
    "names", [("input", "target"), ("LQ", "GT"), ("lq", "gt"), ("rain", "norain"), ("blur", "sharp")]
)
def test_pairs_lie_in_the_usual_folders(tmp_path: Path, names: tuple[str, str]) -> None:
    folder = write_pairs(tmp_path / "set", 3)
    for old, new in zip(("input", "target"), names, strict=True):
        (folder / old).rename(folder / new)
    photos = of_pairs(folder)
    assert photos.names == ("000", "001", "002")
    assert all(torch.equal(i, p // 2) for i, p in zip(photos.inputs, photos.pixels, strict=True))


def test_two_folders_of_pairs_can_be_named(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, 2)
    photos = load_data(DataConfig(input=str(folder / "input"), target=str(folder / "target")))
    assert len(photos.names) == len(photos.inputs) == 2


def test_pictures_without_a_partner_are_named_and_left_out(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, 4)
    (folder / "input" / "000.png").unlink()
    (folder / "target" / "003.png").unlink()
    photos = of_pairs(folder)
    lines = report(photos)
    assert photos.names == ("001", "002")
    assert lines[0] == "inputs without a target, left out: 1"
    assert "003.png" in lines[1]
    assert lines[2] == "targets without an input, left out: 1"
    assert "000.png" in lines[3]


def test_pairs_of_different_sizes_are_named_and_left_out(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, 2)
    Image.new("RGB", (70, 72)).save(folder / "input" / "001.png")
    photos = of_pairs(folder)
    assert photos.names == ("000",)
    assert report(photos) == ["sizes of input and target differ, left out: 1", "  001: input 70x72, target 80x72"]


def test_identical_pairs_are_named_and_kept(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, 2)
    (folder / "input" / "001.png").write_bytes((folder / "target" / "001.png").read_bytes())
    photos = of_pairs(folder)
    assert len(photos.names) == 2
    assert report(photos) == ["input and target are identical, kept: 1", "  001"]
    assert photos.left_out == 0


def test_unreadable_files_are_named_and_left_out(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, 2)
    (folder / "input" / "001.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    heading, line = report(of_pairs(folder))
    assert heading == "cannot be read, left out: 1"
    assert "001.png" in line


def test_clean_photos_that_cannot_be_read_or_are_small_are_left_out(tmp_path: Path) -> None:
    Image.new("RGB", (80, 70)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("no picture")
    Image.new("RGB", (8, 8)).save(tmp_path / "small.png")
    photos = load_data(DataConfig(clean=(str(tmp_path),)))
    assert photos.names == ("good.png",)
    assert any("bad.png" in line for line in report(photos))
    assert any("small.png: 8x8 is smaller than 64 pixels" in line for line in report(photos))


def test_of_many_findings_ten_are_named(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, 15, (16, 16))
    for path in pictures(folder, "input/*.png"):
        path.write_text("no picture")
    lines = report(of_pairs(folder))
    assert len(lines) == 12
    assert lines[0] == "cannot be read, left out: 15"
    assert lines[-1] == "  and 5 more"


def test_the_summary_counts_and_measures(tmp_path: Path) -> None:
    assert describe(of_pairs(write_pairs(tmp_path, 3, (100, 100)))) == "3 pairs, 0.03 megapixels"


def test_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    data = DataConfig(clean=(str(tmp_path),))
    with pytest.raises(StartError, match="nothing to train on: no usable photo"):
        require(load_data(data), data)


def test_a_folder_without_pairs_is_refused_with_the_known_layouts(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"nothing to train on.*input/ with target/"):
        of_pairs(tmp_path)


def test_each_task_has_its_degradation_and_presets() -> None:
    for task in ("derain", "denoise", "deblur"):
        assert degradation(task)(torch.rand(1, 3, 32, 32), "mixed", torch.Generator()).shape == (1, 3, 32, 32)
    with pytest.raises(UsageError, match=r"did you mean 'derain'.*--data FOLDER"):
        degradation("derian")
    with pytest.raises(UsageError, match="no rain preset 'drizle': did you mean 'drizzle'"):
        degradation("derain", "drizle")


def test_what_fits_into_memory_leaves_no_file(tmp_path: Path, cache: Path) -> None:
    of_pairs(write_pairs(tmp_path / "set", 3), memory="1G")
    assert not cache.exists()


def test_what_does_not_fit_is_read_from_a_file_and_is_the_same(tmp_path: Path, cache: Path) -> None:
    folder = write_pairs(tmp_path / "set", 5)
    (folder / "input" / "004.png").write_text("no picture")
    held = of_pairs(folder, memory="1G")
    for _ in range(2):  # decoded, then from the cache
        mapped = of_pairs(folder, memory="50K")
        assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".u8"]
        assert (mapped.names, mapped.findings) == (held.names, held.findings)
        assert all(map(torch.equal, mapped.pixels, held.pixels))
        assert all(map(torch.equal, mapped.inputs, held.inputs))


def test_two_runs_may_fill_the_cache_at_once(tmp_path: Path, cache: Path) -> None:
    folder = write_pairs(tmp_path / "set", 12)
    held = of_pairs(folder, memory="1G")
    with ThreadPoolExecutor(3) as pool:
        for mapped in pool.map(lambda _: of_pairs(folder, memory="1K"), range(3)):
            assert all(map(torch.equal, mapped.pixels, held.pixels))
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".u8"]


def test_a_second_start_decodes_nothing(tmp_path: Path, cache: Path) -> None:
    folder = write_pairs(tmp_path / "set", 3)
    counts: list[int] = []
    count: Callable[[int, int], None] = lambda done, total: counts.append(done)  # noqa: E731
    data = DataConfig(pairs=(str(folder),), memory="1K")
    load_data(data, count)
    assert counts == [1, 2, 3]
    load_data(data, count)
    assert counts == [1, 2, 3]


def test_a_changed_photo_is_decoded_anew_and_the_old_file_goes(tmp_path: Path, cache: Path) -> None:
    folder = write_pairs(tmp_path / "set", 3)
    of_pairs(folder, memory="1K")
    before = {path.name for path in cache.iterdir()}
    Image.new("RGB", (80, 72), "red").save(folder / "target" / "001.png")
    photos = of_pairs(folder, memory="1K")
    assert photos.pixels[1][:, 0, 0].tolist() == [255, 0, 0]
    assert len(list(cache.iterdir())) == 2
    assert before.isdisjoint(path.name for path in cache.iterdir())


def test_a_damaged_cache_is_decoded_anew(tmp_path: Path, cache: Path) -> None:
    folder = write_pairs(tmp_path / "set", 3)
    held = of_pairs(folder, memory="1K")
    expected = [p.clone() for p in held.pixels]
    for damage in (".u8", ".json"):
        (file,) = cache.glob(f"*{damage}")
        os.truncate(file, file.stat().st_size // 2)
        assert all(map(torch.equal, of_pairs(folder, memory="1K").pixels, expected))


def test_the_least_recently_used_goes_when_the_cache_is_full(tmp_path: Path, cache: Path) -> None:
    folders = [write_pairs(tmp_path / f"set{i}", 2) for i in range(3)]
    each = 2 * 2 * 3 * 80 * 72
    for age, folder in zip((200, 100), folders[:2], strict=True):
        of_pairs(folder, memory="1K")
        newest = max(cache.glob("*.json"), key=lambda p: p.stat().st_mtime)
        os.utime(newest, (time.time() - age, time.time() - age))
    of_pairs(folders[2], memory="1K", cache=str(2 * each))
    kept = [json.loads(path.read_text())["sources"][0][0] for path in cache.glob("*.json")]
    assert sorted(Path(name).parents[1].name for name in kept) == ["set1", "set2"]


def test_what_the_cache_may_not_hold_is_said_and_nothing_is_left(tmp_path: Path, cache: Path) -> None:
    folder = write_pairs(tmp_path / "set", 4)
    with pytest.raises(StartError, match=r"--set data\.cache"):
        of_pairs(folder, memory="1K", cache="100K")
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path, cache: Path) -> None:
    folder = write_pairs(tmp_path / "set", 2)
    cache.parent.mkdir()
    cache.write_text("a file, no folder")
    with pytest.raises(StartError, match="DFRESTORE_CACHE_DIR"):
        of_pairs(folder, memory="1K")


def test_the_mapped_file_is_never_written_to(tmp_path: Path, cache: Path) -> None:
    folder = write_pairs(tmp_path / "set", 2)
    of_pairs(folder, memory="1K").pixels[0].zero_()
    assert np.count_nonzero(of_pairs(folder, memory="1K").pixels[0].numpy()) > 0
