"""The depth is what the file says, never what its values look like."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import photo_files as files
import pytest

from dfrestore.photo import decode, encode


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_16_bit_files_with_small_values_stay_16_bit(format: str, mode: str) -> None:
    array = (files.noise(mode, 16) % 256).astype(np.uint16)
    photo = decode(files.make(array, format), "photo")
    assert photo.origin.bits == 16
    assert photo.rgb.max() < 0.004
    again = files.samples(encode(photo, photo.rgb)[0], format)
    assert again.dtype == np.uint16
    assert np.array_equal(again, array)


def test_differences_of_one_in_65535_are_not_lost() -> None:
    array = np.full((4, 4, 3), 30000, np.uint16)
    array[1, 2] = 30001, 29999, 30002
    photo = decode(files.make(array, "PNG"), "photo")
    assert len(np.unique(photo.rgb)) == 4


def test_8_bit_work_imports_neither_imagecodecs_nor_tifffile() -> None:
    code = (
        "import io, sys, numpy as np\n"
        "from dfrestore.photo import Photo, decode, encode\n"
        "rgb = np.zeros((5, 6, 3), np.float32)\n"
        "for format in ('PNG', 'JPEG', 'WEBP', 'TIFF'):\n"
        "    photo = decode(encode(Photo(rgb), rgb, format)[0], 'photo')\n"
        "    encode(photo, photo.rgb)\n"
        "print(sorted({'imagecodecs', 'tifffile', 'torch'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
