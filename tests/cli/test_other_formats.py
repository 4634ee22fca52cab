"""AVIF, HEIC and camera RAW through the whole command."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Answer, pixels
from PIL import Image, features
from raw_files import dng

Run = Callable[..., Answer]


@pytest.mark.skipif(not features.check("avif"), reason="this build of Pillow has no AVIF")
def test_an_avif_is_restored_to_an_avif(restore: Run, tmp_path: Path) -> None:
    Image.fromarray(pixels()).save(tmp_path / "a.avif", quality=100)
    assert restore(tmp_path / "a.avif").paths == [str(tmp_path / "a_derain.avif")]
    with Image.open(tmp_path / "a_derain.avif") as image:
        assert (image.format, image.size) == ("AVIF", (24, 16))


def test_heic_and_raw_in_a_folder_become_jpeg_and_tiff_which_is_said_once(restore: Run, tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="needs pip install pillow-heif")
    pytest.importorskip("rawpy", reason="needs pip install rawpy")
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.heic", "b.HEIC"):
        buffer = io.BytesIO()
        pillow_heif.from_bytes("RGB", (24, 16), pixels().tobytes()).save(buffer)
        (folder / name).write_bytes(buffer.getvalue())
    (folder / "c.dng").write_bytes(dng())
    answer = restore(folder, "-o", tmp_path / "out")
    assert [Path(path).name for path in answer.paths] == ["a.jpg", "b.jpg", "c.tif"]
    assert answer.err.count("can be read but not written") == 2
    assert answer.err.count("dfrestore: .heic can be read but not written, so the result is JPEG") == 1
    with Image.open(tmp_path / "out" / "a.jpg") as image:
        assert np.asarray(image).shape == (16, 24, 3)
    again = restore(folder, "-o", tmp_path / "out")
    assert "3 skipped" in again.err
