"""What is measured of a picture without learning: each number moves with its damage."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from dfrestore.degrade.drawings import drawing
from dfrestore.methods.detector.measures import COUNT, QUANTILES, measures

BLOCKS, NOISE = slice(0, 6), slice(6, 6 + 3 * len(QUANTILES))
SCALES = slice(6 + 6 * len(QUANTILES), 6 + 6 * len(QUANTILES) + 10)  # of the mean over the crops


@pytest.fixture(scope="module")
def picture() -> Tensor:
    """(3, 96, 96): smooth shapes with edges, and a little texture."""
    shapes = functional.avg_pool2d(drawing(288, 288, 3)[None], 3)[0]
    texture = torch.rand(96, 96, generator=torch.Generator().manual_seed(0)) - 0.5
    return (0.15 + 0.7 * shapes + 0.02 * functional.avg_pool2d(texture[None, None], 3, 1, 1)[0]).clamp(0, 1)


def of(picture: Tensor) -> Tensor:
    return measures(picture[None, None], picture[None])[0]


def as_jpeg(picture: Tensor, quality: int, shift: int = 0) -> Tensor:
    rolled = picture.roll((shift, shift), (1, 2))
    buffer = io.BytesIO()
    Image.fromarray((rolled * 255).round().byte().permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=quality)
    read = np.asarray(Image.open(buffer))
    return torch.from_numpy(read.copy()).permute(2, 0, 1).float().div(255).roll((-shift, -shift), (1, 2))


@pytest.mark.parametrize("shift", [0, 3, 7])
def test_blocks_stand_out_wherever_they_begin(picture: Tensor, shift: int) -> None:
    clean, coarse = of(picture), of(as_jpeg(picture, 15, shift))
    assert float(coarse[0] - clean[0]) > 0.5
    assert float(coarse[3] - clean[3]) > 0.5
    fine = of(as_jpeg(picture, 60, shift))
    assert float(clean[0]) < float(fine[0]) < float(coarse[0])


def test_noise_raises_every_quantile_the_more_the_stronger(picture: Tensor) -> None:
    draw = torch.randn(picture.shape, generator=torch.Generator().manual_seed(1))
    told = [of((picture + sigma / 255 * draw).clamp(0, 1))[NOISE] for sigma in (0, 5, 15, 40)]
    for weaker, stronger in itertools.pairwise(told):
        assert (stronger > weaker).all()


def test_grey_noise_is_none_of_colour(picture: Tensor) -> None:
    draw = torch.randn(1, *picture.shape[1:], generator=torch.Generator().manual_seed(1))
    luma, red, blue = (of(picture + 0.03 * draw)[NOISE] - of(picture)[NOISE]).view(3, -1)
    assert (luma > 0.3).all()
    assert float(red.abs().max()) < 0.1
    assert float(blue.abs().max()) < 0.1


def test_blur_makes_steps_differ_less_from_those_beside_them_in_its_direction_alone(picture: Tensor) -> None:
    level = functional.avg_pool2d(picture, (1, 7), 1, (0, 3), count_include_pad=False)
    upright, across = (of(level)[SCALES] - of(picture)[SCALES]).view(2, 5)  # down the columns, along the rows
    assert float(across[4]) < -0.5
    assert float(across[4]) < 2 * float(upright[4])


def test_a_photo_that_was_enlarged_lacks_the_finest_steps(picture: Tensor) -> None:
    small = functional.interpolate(picture[None], scale_factor=1 / 3, mode="area")
    large = functional.interpolate(small, (96, 96), mode="bicubic")[0].clamp(0, 1)
    clean, enlarged = of(picture)[SCALES].view(2, 5), of(large)[SCALES].view(2, 5)
    assert (enlarged[:, 4] < clean[:, 4] - 0.5).all()
    assert (enlarged[:, 1] > clean[:, 1] + 0.2).all()


def test_haze_lifts_the_darkest_channel(picture: Tensor) -> None:
    veiled = 0.5 * picture + 0.4
    assert float((of(veiled) - of(picture))[-11:-8].min()) > 0.2


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_pictures_without_anything_have_finite_measures(value: float) -> None:
    told = of(torch.full((3, 32, 32), value))
    assert told.shape == (COUNT,)
    assert torch.isfinite(told).all()
    assert float(told.abs().max()) < 8


def test_more_of_the_same_changes_nothing(picture: Tensor) -> None:
    once = measures(picture[None, None], picture[None])
    often = measures(picture[None, None].expand(1, 5, -1, -1, -1), picture[None])
    assert torch.allclose(once, often, atol=1e-5)
