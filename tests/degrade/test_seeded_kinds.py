"""What holds for every kind whose pictures follow from their own parameters, and how much each preset damages."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch
from damaged_photos import damage, fingerprint, needs_set14, scene

from dfrestore.degrade import KINDS, defocus, drops, haze, snow

MODULES: dict[str, ModuleType] = {"haze": haze, "snow": snow, "drops": drops, "defocus": defocus}
# preset -> mean, spread and two values of a drawn scene, then PSNR over Set14 on RGB and on luma; seed 1
KNOWN: dict[str, dict[str, tuple[list[float], float, float]]] = {
    "haze": {
        "thin": ([0.5188, 0.2063, 0.5922, 0.2549], 19.96, 21.98),
        "haze": ([0.5668, 0.1526, 0.6275, 0.3608], 13.91, 15.82),
        "fog": ([0.6228, 0.086, 0.6706, 0.4863], 10.54, 12.43),
        "mixed": ([0.5188, 0.2063, 0.5922, 0.2549], 14.52, 16.49),
        "camera": ([0.5188, 0.2063, 0.5922, 0.2549], 16.08, 18.09),
        "bench": ([0.5525, 0.1685, 0.6157, 0.3098], 14.94, 16.85),
        "storm-haze": ([0.4851, 0.1506, 0.5373, 0.4431], 15.23, 17.32),
    },
    "snow": {
        "flurry": ([0.485, 0.2493, 0.55, 0.1616], 28.47, 30.24),
        "snow": ([0.4912, 0.249, 0.55, 0.1649], 23.24, 24.97),
        "blizzard": ([0.6203, 0.189, 0.675, 0.4493], 14.64, 16.36),
        "mixed": ([0.485, 0.2493, 0.55, 0.1616], 22.49, 24.25),
        "dense": ([0.485, 0.2493, 0.55, 0.1616], 19.85, 21.56),
        "bench": ([0.5225, 0.2438, 0.5752, 0.1649], 18.06, 19.76),
    },
    "drops": {
        "sharp": ([0.4845, 0.2496, 0.5515, 0.1696], 22.86, 24.58),
        "blurred": ([0.4875, 0.247, 0.5515, 0.1696], 22.11, 23.79),
        "large": ([0.4861, 0.2466, 0.5675, 0.1696], 21.72, 23.43),
        "mixed": ([0.4845, 0.2496, 0.5515, 0.1696], 22.31, 24.01),
        "bench": ([0.4863, 0.2486, 0.3923, 0.1696], 21.50, 23.18),
    },
    "defocus": {
        "slight": ([0.4826, 0.2472, 0.55, 0.1616], 29.66, 31.59),
        "medium": ([0.4831, 0.2429, 0.55, 0.2042], 25.82, 27.42),
        "strong": ([0.4845, 0.2352, 0.55, 0.2943], 22.66, 24.20),
        "mixed": ([0.4826, 0.2472, 0.55, 0.1616], 26.62, 28.28),
        "wide": ([0.4826, 0.2472, 0.55, 0.1616], 24.56, 26.12),
        "bench": ([0.4844, 0.2365, 0.55, 0.2746], 23.10, 24.65),
    },
}
# what a model is measured on is neither nearly clean nor beyond saving: PSNR on RGB and on luma stay within
BENCH = {"haze": (14.0, 17.0), "snow": (17.0, 20.0), "drops": (20.0, 24.0), "defocus": (22.0, 25.0)}
CASES = [(kind, preset) for kind, presets in KNOWN.items() for preset in presets]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(height: int = 64, width: int = 80) -> torch.Tensor:
    return torch.from_numpy(scene(height, width)).permute(2, 0, 1)


def test_all_presets_are_known() -> None:
    assert {kind: tuple(presets) for kind, presets in KNOWN.items()} == {kind: KINDS[kind].presets for kind in MODULES}


@pytest.mark.parametrize(("kind", "preset"), CASES)
def test_a_seed_gives_the_damage_it_always_gave(kind: str, preset: str) -> None:
    assert fingerprint(kind, preset) == pytest.approx(KNOWN[kind][preset][0], abs=2e-3)


@needs_set14
@pytest.mark.parametrize(("kind", "preset"), CASES)
def test_how_much_a_preset_damages_is_known(kind: str, preset: str) -> None:
    found = damage(kind, preset)
    assert found == pytest.approx(KNOWN[kind][preset][1:], abs=0.05)
    if preset == "bench":
        low, high = BENCH[kind]
        assert low < found[0] < found[1] < high


@pytest.mark.parametrize(("kind", "preset"), CASES)
def test_the_seed_decides_everything(kind: str, preset: str) -> None:
    batch = picture()[None].repeat(3, 1, 1, 1)
    one, same, other = (KINDS[kind].degrade_batch(batch, preset, seeded(seed)) for seed in (5, 5, 6))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one[0], one[1])


@pytest.mark.parametrize(("kind", "preset"), CASES)
def test_a_picture_is_damaged_alone_as_in_a_batch(kind: str, preset: str) -> None:
    batch = torch.stack([picture(), picture().flip(2), picture() ** 2])
    together = KINDS[kind].degrade_batch(batch, preset, seeded(3))
    params = MODULES[kind].sample_many(3, seeded(3), preset)
    add = getattr(MODULES[kind], f"add_{kind}")
    for clean, own, damaged in zip(batch, params, together, strict=True):
        alone = add(clean, own)
        assert (alone - damaged).abs().mean() < 2e-3
        if own.quality is None:  # a JPEG may take a hair's breadth to the other side
            assert torch.allclose(alone, damaged, atol=1e-4)


@pytest.mark.parametrize(("kind", "preset"), CASES)
def test_shape_dtype_and_range_are_kept_and_the_clean_picture_left_alone(kind: str, preset: str) -> None:
    clean = picture()[None]
    copy = clean.clone()
    damaged = KINDS[kind].degrade_batch(clean, preset, seeded(2))
    assert (damaged.shape, damaged.dtype) == (clean.shape, torch.float32)
    assert 0 <= float(damaged.min()) <= float(damaged.max()) <= 1
    assert torch.equal(clean, copy)
    assert KINDS[kind].degrade_batch(clean.bfloat16(), preset, seeded(2)).dtype == torch.bfloat16


@pytest.mark.parametrize("kind", MODULES)
def test_any_size_is_damaged(kind: str) -> None:
    for height, width in ((1, 1), (2, 7), (9, 40)):
        clean = torch.full((2, 3, height, width), 0.4)
        for seed in range(4):
            damaged = KINDS[kind].degrade_batch(clean, "mixed", seeded(seed))
            assert damaged.shape == clean.shape
            assert not damaged.isnan().any()


@pytest.mark.parametrize("kind", MODULES)
def test_what_cannot_be_meant_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=f"no {kind} preset 'nothing'; there are {', '.join(KINDS[kind].presets)}"):
        KINDS[kind].degrade_batch(picture()[None], "nothing", seeded())
    with pytest.raises(ValueError, match="float"):
        KINDS[kind].apply(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="shape"):
        KINDS[kind].degrade_batch(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("kind", MODULES)
def test_shares_of_every_preset_sum_to_one(kind: str) -> None:
    for parts in MODULES[kind].PRESETS.values():
        assert sum(share for share, _ in parts) == pytest.approx(1)
