"""JPEG's loss on tensors: close to what a real encoder leaves."""

from __future__ import annotations

import io

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from dfrestore.degrade.jpeg import from_ycc, jpeg_loss, to_ycc


def photo() -> np.ndarray:
    return skimage.data.astronaut()[100:260, 150:301]


def batch(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(("quality", "subsampling"), [(40, 2), (75, 2), (95, 0)])
def test_it_is_close_to_a_real_jpeg(quality: int, subsampling: int) -> None:
    clean = batch(photo())
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, "JPEG", quality=quality, subsampling=subsampling)
    real = batch(np.array(Image.open(file)))
    ours = jpeg_loss(clean, [quality])
    loss = (real - clean).square().mean()
    assert float((ours - real).square().mean() / loss) < 0.15
    assert float((ours - clean).square().mean() / loss) == pytest.approx(1, abs=0.05)


def test_each_picture_has_its_quality() -> None:
    clean = batch(photo()).expand(3, -1, -1, -1)
    together = jpeg_loss(clean, [30, 95, 60])
    alone = torch.cat([jpeg_loss(clean[:1], [q]) for q in (30, 95, 60)])
    assert torch.allclose(together, alone, atol=1.01 / 255)
    errors = (together - clean).square().mean((1, 2, 3)).tolist()
    assert errors[1] < errors[2] < errors[0]


def test_colours_come_back_from_luma_and_chroma() -> None:
    picture = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(from_ycc(to_ycc(picture)), picture, atol=1e-5)
