"""What ``evaluate`` prints, against scikit-image and against a published score."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Answer
from PIL import Image, ImageFilter
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

Run = Callable[..., Answer]
VAL = Path(os.environ.get("DFRESTORE_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "val"
PAIRS = 50


def scene(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Waves of random direction and colour under a little grain."""
    rows, columns = np.mgrid[0:height, 0:width]
    waves = np.zeros((height, width, 3))
    for scale in (4, 11, 37):
        angle, phase, colour = rng.uniform(0, np.pi), rng.uniform(0, 6), rng.uniform(10, 50, 3)
        waves += np.sin((rows * np.sin(angle) + columns * np.cos(angle)) / scale + phase)[..., None] * colour
    grain = rng.normal(0, rng.uniform(0, 6), waves.shape)
    return Image.fromarray(np.clip(rng.uniform(80, 170) + waves + grain, 0, 255).astype(np.uint8))


def degraded(rng: np.random.Generator, kind: int, clean: Image.Image) -> Image.Image:
    """The picture with noise, blurred, darkened, in few colours, or with streaks."""
    values = np.asarray(clean).astype(float)
    if kind == 0:
        values += rng.normal(0, rng.uniform(1, 60), values.shape)
    elif kind == 1:
        values = np.asarray(clean.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 4)))).astype(float)
    elif kind == 2:
        values = 255 * (values / 255) ** rng.uniform(0.4, 2.5)
    elif kind == 3:
        values = np.round(values / 40) * 40
    else:
        values[:, rng.integers(0, clean.width, clean.width // 5)] += rng.uniform(20, 90)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``input/`` and ``target/`` with 50 pairs, from the smallest size up."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(2026)
    for side in ("input", "target"):
        (folder / side).mkdir()
    for number in range(PAIRS):
        width, height = (11, 11) if number == 0 else (int(side) for side in rng.integers(11, 260, 2))
        clean = scene(rng, width, height)
        clean.save(folder / "target" / f"{number:02}.png")
        degraded(rng, number % 5, clean).save(folder / "input" / f"{number:02}.png")
    return folder


def reference(a: np.ndarray, b: np.ndarray, channel: str) -> tuple[float, float]:
    """PSNR and SSIM by scikit-image alone, its luma too."""
    settings = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    if channel == "y":
        a, b = (rgb2ycbcr(picture)[..., 0] for picture in (a, b))
        return peak_signal_noise_ratio(a, b, data_range=255), structural_similarity(a, b, **settings)
    ssim = structural_similarity(a.astype(float), b.astype(float), channel_axis=2, **settings)
    return peak_signal_noise_ratio(a, b, data_range=255), ssim


@pytest.mark.parametrize("channel", ["y", "rgb"])
def test_evaluate_agrees_with_scikit_image_on_fifty_pairs(data: Path, dfrestore: Run, channel: str) -> None:
    answer = dfrestore("evaluate", data / "input", data / "target", "--channel", channel, "--json", "--quiet")
    *scores, total = (json.loads(line) for line in answer.out.splitlines())
    assert len(scores) == PAIRS
    expected = []
    for score in scores:
        pair = (np.asarray(Image.open(data / side / f"{score['name']}.png")) for side in ("input", "target"))
        expected.append(reference(*pair, channel))
        assert (score["psnr"], score["ssim"]) == pytest.approx(expected[-1], abs=1e-3), score["name"]
    assert (total["psnr"], total["ssim"]) == pytest.approx(tuple(np.mean(expected, axis=0)), abs=1e-3)


@pytest.mark.skipif(not (VAL / "CC15").is_dir(), reason="CC15 is absent; DFRESTORE_TEST_DATA names its folder")
def test_evaluate_gives_the_published_score_of_the_noisy_inputs_of_cc15(dfrestore: Run) -> None:
    answer = dfrestore("evaluate", VAL / "CC15" / "input", VAL / "CC15" / "target", "--channel", "rgb", "--json")
    total = json.loads(answer.out.splitlines()[-1])
    assert total["pictures"] == 15
    assert total["psnr"] == pytest.approx(33.41, abs=0.005)
