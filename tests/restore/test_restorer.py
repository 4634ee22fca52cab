"""The Restorer: results, seeds, strength, and what it does when a result is faulty or memory runs out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import pixels, save_model, tiny_spec
from PIL import Image
from reference.fake_network import FakeNetwork
from torch import Tensor

import dfrestore
from dfrestore.errors import BadResultError, OutOfMemoryFailure, UsageError
from dfrestore.restore import Restorer
from dfrestore.restore.flow import drain

PICTURE = pixels()


@pytest.fixture(scope="module")
def identity(identity_model: Path) -> Restorer:
    return Restorer.from_pretrained("derain", identity_model, precision="fp32")


@pytest.fixture(scope="module")
def random(random_model: Path) -> Restorer:
    return Restorer.from_pretrained("derain", random_model, precision="fp32")


class Moody(FakeNetwork):
    """A network that returns its input, except where a test wants it to fail."""

    def __init__(self, largest: int = 1 << 30, broken: tuple[torch.dtype, ...] = (), value: float = float("nan")):
        super().__init__()
        self.largest, self.broken, self.value = largest, broken, value

    def evaluate(self, how: Any, planes: Tensor) -> Tensor:
        if max(planes.shape[2:]) > self.largest:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return torch.full_like(planes, self.value) if how.dtype in self.broken else planes


def moody(**moods: Any) -> Restorer:
    precision = moods.pop("precision", "fp32")
    return Restorer(Moody(**moods), tiny_spec(), precision=precision)


def test_the_package_exports_the_restorer() -> None:
    assert dfrestore.Restorer is Restorer


def test_a_model_that_changes_nothing_changes_nothing(identity: Restorer) -> None:
    assert (identity(PICTURE) == PICTURE).all()


def test_paths_pil_images_and_arrays_give_the_same(random: Restorer, tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    expected = random(PICTURE, steps=1)
    assert not (expected == PICTURE).all()
    for picture in (tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(PICTURE)):
        assert (np.asarray(random(picture, steps=1)) == expected).all()


def test_the_same_seed_gives_the_same_result_and_another_seed_another(random: Restorer) -> None:
    first, again, other = (random(PICTURE, steps=1, seed=seed) for seed in (3, 3, 4))
    assert (first == again).all()
    assert not (first == other).all()


def test_without_steps_the_model_decides(random: Restorer) -> None:
    assert (random(PICTURE) == random(PICTURE, steps=2)).all()


def test_strength_blends_input_and_result(random: Restorer) -> None:
    picture = PICTURE.astype(np.float32) / np.float32(255)
    full, half, none = (random(picture, steps=1, strength=strength) for strength in (1.0, 0.5, 0.0))
    np.testing.assert_allclose(half, (picture + full) / 2, atol=1e-6)
    assert (none == picture).all()


def test_progress_is_reported_to_the_end(identity: Restorer) -> None:
    seen: list[tuple[float, float]] = []
    identity(PICTURE, steps=3, progress=lambda done, total: seen.append((done, total)))
    assert [pair for pair in seen if pair[0].is_integer()][-1] == (3, 3)
    assert {(1, 3), (2, 3)} <= set(seen)
    assert seen == sorted(seen)
    assert len(seen) > 20


def test_steps_yields_as_it_goes_and_the_result_last(identity: Restorer) -> None:
    states = list(identity.steps(PICTURE, steps=3))
    assert [state.result is None for state in states] == [True, True, False]
    np.testing.assert_allclose(states[-1].result, PICTURE / 255, atol=1e-6)


@pytest.mark.parametrize("steps", [0, 1001, -1])
def test_impossible_steps_are_refused(identity: Restorer, steps: int) -> None:
    with pytest.raises(UsageError, match="from 1 to 1000"):
        identity(PICTURE, steps=steps)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_an_impossible_seed_is_refused(identity: Restorer, seed: int) -> None:
    with pytest.raises(ValueError, match="seed is from 0"):
        identity(PICTURE, seed=seed)


def test_impossible_strength_is_refused(identity: Restorer) -> None:
    with pytest.raises(ValueError, match="strength"):
        identity(PICTURE, strength=1.5)


def test_a_model_for_another_task_is_refused(identity_model: Path) -> None:
    with pytest.raises(UsageError, match="is a model for derain, not for denoise"):
        Restorer.from_pretrained("denoise", identity_model)


def test_an_unknown_device_is_refused(identity_model: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'cpu'"):
        Restorer.from_pretrained("derain", identity_model, device="cpuu")


def test_the_window_is_the_models_own_unless_another_is_asked_for(tmp_path: Path) -> None:
    windowed = save_model(tmp_path / "windowed.safetensors", tiny_spec(window=64), 1.0)
    rgb = pixels(160, 160)

    def restored(**options: Any) -> Any:
        return Restorer.from_pretrained("derain", windowed, precision="fp32", **options)(rgb, steps=1)

    own, whole = restored(), restored(window="global")
    assert (own == restored(window=64)).all()
    assert (own != whole).any()
    assert (whole == restored(window=160)).all()


def test_a_window_of_no_size_is_refused(identity_model: Path) -> None:
    with pytest.raises(UsageError, match="--window 7"):
        Restorer.from_pretrained("derain", identity_model, window=7)


@pytest.mark.parametrize("value", [float("nan"), 0.3])
def test_a_faulty_result_in_half_precision_is_redone_in_fp32_and_said(value: float) -> None:
    restorer = moody(broken=(torch.bfloat16,), value=value, precision="bf16")
    outcome = drain(restorer.restore_rgb(PICTURE.astype(np.float32) / 255))
    assert outcome.precision == "fp32"
    assert "redone in fp32" in outcome.warnings[0]
    np.testing.assert_allclose(outcome.rgb, PICTURE / 255, atol=1e-6)


@pytest.mark.parametrize(("value", "what"), [(float("nan"), "not finite"), (0.3, "constant")])
def test_a_faulty_result_in_fp32_is_a_failure_that_names_the_file(tmp_path: Path, value: float, what: str) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    with pytest.raises(BadResultError, match=rf"a\.png.*{what}"):
        moody(broken=(torch.float32,), value=value)(tmp_path / "a.png")


def test_a_constant_result_from_a_constant_picture_is_fine() -> None:
    assert (moody()(np.full((16, 16, 3), 7, np.uint8)) == 7).all()


def test_where_memory_runs_out_smaller_tiles_take_over_and_it_is_said() -> None:
    picture = np.random.default_rng(0).random((16, 1200, 3)).astype(np.float32)
    outcome = drain(moody(largest=600).restore_rgb(picture, steps=1))
    assert {warning.partition(";")[0] for warning in outcome.warnings} == {"out of memory"}
    assert "tiles of 512" in outcome.plan
    np.testing.assert_allclose(outcome.rgb, picture, atol=1e-6)


def test_where_a_measurement_does_not_fit_the_expected_time_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DFRESTORE_CACHE_DIR", str(tmp_path))
    restorer = moody(largest=100)
    assert restorer.expected_seconds(2000, 2000, 1, restorer.plan(2000, 2000)) is None


def test_where_nothing_fits_it_is_a_failure_of_that_file(tmp_path: Path) -> None:
    Image.fromarray(pixels(600, 16)).save(tmp_path / "a.png")
    with pytest.raises(OutOfMemoryFailure, match=r"a\.png"):
        moody(largest=1)(tmp_path / "a.png")


def test_an_explicit_tile_is_never_left() -> None:
    with pytest.raises(OutOfMemoryFailure):
        moody(largest=300)(pixels(1200, 16), tile=512)
    assert moody(largest=600)(pixels(1200, 16), tile=512).shape == (16, 1200, 3)


def test_a_picture_that_cannot_fit_the_memory_given_is_refused(identity_model: Path) -> None:
    restorer = Restorer.from_pretrained("derain", identity_model, memory=1 << 20)
    with pytest.raises(OutOfMemoryFailure, match="memory"):
        restorer(PICTURE)
