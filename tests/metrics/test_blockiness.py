"""The blocks of JPEG, measured from the pixels alone and from the file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dfrestore import photo
from dfrestore.metrics import blockiness

PHOTOS = sorted((Path(__file__).parents[2] / "examples" / "pairs" / "target").glob("*.jpg"))
QUALITIES = (30, 50, 70, 80, 90, 95)


def without_blocks(path: Path) -> Image.Image:
    """A photo, reduced by a third, so that the blocks of its own file are gone."""
    picture = Image.open(path).convert("RGB")
    return picture.resize((picture.width * 2 // 3, picture.height * 2 // 3), Image.Resampling.LANCZOS)


def as_jpeg(picture: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def pixels(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.stem)
def test_it_falls_as_the_quality_rises(path: Path) -> None:
    picture = without_blocks(path)
    strengths = [blockiness(pixels(as_jpeg(picture, quality))).strength for quality in QUALITIES]
    assert strengths[0] > 0.5
    assert strengths[0] > strengths[1] > strengths[2] > strengths[4]
    assert blockiness(np.asarray(picture)).strength < 0.05


@pytest.mark.parametrize("quality", [30, 50, 70, 80])
@pytest.mark.parametrize("cut", [(0, 0), (3, 5), (7, 1), (4, 4)])
def test_the_blocks_are_found_wherever_they_begin(quality: int, cut: tuple[int, int]) -> None:
    left, top = cut
    for path in PHOTOS:
        found = blockiness(pixels(as_jpeg(without_blocks(path), quality))[top:, left:])
        assert found.offset == (-left % 8, -top % 8)


def test_noise_and_stripes_are_no_blocks() -> None:
    noise = np.random.default_rng(1).normal(128, 20, (160, 160, 3))
    assert blockiness(noise).strength < 0.1
    stripes = np.zeros((160, 160, 3))
    stripes[:, ::8] = 255  # in one direction alone
    assert blockiness(stripes).strength == 0
    assert blockiness(np.full((64, 64, 3), 9)).strength == 0
    assert blockiness(np.zeros((16, 200, 3))).strength == 0


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_files_tables_tell_the_quality_that_it_was_saved_with(quality: int, tmp_path: Path) -> None:
    file = tmp_path / "saved.jpg"
    file.write_bytes(as_jpeg(without_blocks(PHOTOS[0]), quality))
    assert photo.read(file).origin.quality == quality


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        blockiness(np.zeros((64, 64)))
