from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import tiny_spec
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference.fake_network import FakeNetwork
from reference.random_network import identity_network, random_network
from torch import Tensor
from torch.nn import functional as F

from dfrestore.diffusion import Prediction, initial_noise, linear_alpha_bars, sample, timesteps
from dfrestore.engine import Plan, Progress, choose_device, choose_precision, make_plan, restore_array
from dfrestore.errors import WeightsError
from dfrestore.methods import Network, build_network
from dfrestore.methods.method import Given
from dfrestore.nn import Strips
from dfrestore.weights import ModelSpec
from dfrestore.windows import Windows

CPU = choose_device("cpu")
FP32, BF16 = choose_precision("fp32", CPU), choose_precision("bf16", CPU)
Rgb = NDArray[np.float32]
Model = tuple[Network, ModelSpec]


def picture(height: int, width: int, seed: int = 0) -> Rgb:
    return np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)


def records(
    model: Model, rgb: Rgb, *, steps: int = 2, seed: int = 0, tile: int | None = 0, precision: str = "fp32"
) -> list[Progress]:
    network, _ = model
    chosen = choose_precision(precision, CPU)
    plan = make_plan(*rgb.shape[:2], network, tile=tile, precision=chosen, device=CPU)
    work = restore_array(network, rgb, steps=steps, seed=seed, plan=plan, device=CPU, precision=chosen)
    return list(work)


def restored(
    model: Model, rgb: Rgb, *, steps: int = 2, seed: int = 0, tile: int | None = 0, precision: str = "fp32"
) -> Rgb:
    result = records(model, rgb, steps=steps, seed=seed, tile=tile, precision=precision)[-1].result
    assert result is not None
    return result


# --- the whole picture ---


@pytest.mark.parametrize("prediction", ["sample", "epsilon"])
def test_the_result_is_the_samplers_with_the_papers_forward(prediction: Prediction) -> None:
    network, spec = random_network(prediction)
    rgb = picture(16, 24)
    y = torch.from_numpy(rgb).permute(2, 0, 1)[None] * 2 - 1
    x_t = initial_noise(16, 24, seed=5)[None]
    with torch.no_grad():
        states = list(sample(lambda x, t: network(y, x, t), x_t, timesteps(1000, 4), linear_alpha_bars(), prediction))
    expected = ((states[-1].x + 1) / 2).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(restored((network, spec), rgb, steps=4, seed=5), expected, rtol=0, atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2]), st.integers(0, 40))
def test_a_network_that_returns_y_returns_the_picture_of_any_size(
    height: int, width: int, stem: int, tile: int
) -> None:
    rgb = picture(height, width)
    result = restored(identity_network(stem=stem), rgb, tile=tile)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, rgb, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (7, 5), (65, 33)])
@pytest.mark.parametrize("tile", [0, 32])
@pytest.mark.parametrize("prediction", ["sample", "epsilon"])
def test_odd_sizes_work(size: tuple[int, int], tile: int, prediction: Prediction) -> None:
    result = restored(random_network(prediction, stem=2), picture(*size), tile=tile)
    assert result.shape == (*size, 3)
    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 1


def test_picture_and_noise_are_reflected_alike_and_cropped_back() -> None:
    network, spec = random_network()
    rgb = picture(21, 18)
    y = torch.from_numpy(rgb).permute(2, 0, 1)[None] * 2 - 1
    y, x_t = (F.pad(image, (0, 6, 0, 3), mode="reflect") for image in (y, initial_noise(21, 18, seed=0)[None]))
    with torch.no_grad():
        expected = ((network(y, x_t, torch.tensor([999.0])) + 1) / 2).clamp(0, 1)[0, :, :21, :18].permute(1, 2, 0)
    np.testing.assert_allclose(restored((network, spec), rgb, steps=1), expected.numpy(), rtol=0, atol=1e-5)


def test_the_input_is_left_as_it_was() -> None:
    rgb = picture(16, 16)
    before = rgb.copy()
    restored(random_network(), rgb)
    np.testing.assert_array_equal(rgb, before)


def test_read_only_and_reversed_views_are_taken() -> None:
    rgb = picture(16, 24)
    rgb.flags.writeable = False
    for view in (rgb, rgb[:, ::-1], rgb[::2]):
        np.testing.assert_allclose(restored(identity_network(), view), view, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3)])
def test_an_array_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    network, _ = identity_network()
    plan = make_plan(4, 4, network, precision=FP32, device=CPU)
    work = restore_array(network, np.zeros(shape, np.float32), steps=1, seed=0, plan=plan, device=CPU, precision=FP32)
    with pytest.raises(ValueError, match="expected an array"):
        next(work)


# --- tiles ---


@pytest.mark.parametrize("size", [(32, 32), (20, 31)])
def test_a_picture_no_larger_than_a_tile_is_exactly_the_whole_one(size: tuple[int, int]) -> None:
    model, rgb = random_network("epsilon"), picture(*size)
    np.testing.assert_array_equal(restored(model, rgb, tile=32), restored(model, rgb))


def test_tiles_of_a_network_that_returns_y_are_the_picture() -> None:
    rgb = picture(90, 130)
    np.testing.assert_allclose(restored(identity_network(), rgb, tile=32, steps=4), rgb, rtol=0, atol=1e-6)


def test_the_network_sees_a_tile_at_a_time_and_never_the_whole_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    network, spec = identity_network()
    seen: list[tuple[int, ...]] = []
    inner = network.walk

    def watched(how: Any, y: Tensor, *rest: Any) -> Tensor:
        seen.append(tuple(y.shape))
        return inner(how, y, *rest)

    monkeypatch.setattr(network, "walk", watched)
    restored((network, spec), picture(90, 130), tile=32)
    assert set(seen) == {(1, 3, 32, 32)}


def test_tiles_show_no_seams_on_a_smooth_noisy_gradient() -> None:
    size, tile = 192, 64
    ramp = np.linspace(0.3, 0.7, size, dtype=np.float32)
    rgb = np.stack([np.broadcast_to(ramp, (size, size))] * 3, axis=2)
    rgb = rgb + np.random.default_rng(0).normal(0, 0.01, rgb.shape).astype(np.float32)
    model = random_network()
    result, whole = restored(model, rgb, tile=tile, steps=4), restored(model, rgb, steps=4)
    assert np.abs(whole - rgb).mean() > 0.01  # the network does something
    assert np.abs(result - whole).mean() > 1e-4  # and tiles are not the whole picture's statistics
    # What tiles change must not jump where a tile begins or ends.
    change = (result - whole).mean(axis=2)
    for axis in (0, 1):
        jumps = np.abs(np.diff(change, axis=axis)).mean(axis=1 - axis)
        borders = np.array([start - 1 for start in (48, 80, 64, 112, 128, 144)])
        elsewhere = np.delete(jumps, borders)
        assert jumps[borders].max() <= elsewhere.max()


def test_tiles_see_the_one_noise_of_the_whole_picture() -> None:
    # An epsilon network whose last convolution is zero returns x_t: the sampled state is the noise itself, rescaled.
    network, spec = random_network("epsilon")
    torch.nn.init.zeros_(network.output.weight)
    rgb = np.full((70, 90, 3), 0.5, np.float32)
    # (The first step multiplies the rounding of the blend by 157.)
    np.testing.assert_allclose(
        restored((network, spec), rgb, tile=32), restored((network, spec), rgb), rtol=0, atol=1e-4
    )


def test_tiles_that_were_not_asked_for_shrink_to_the_picture() -> None:
    network, _ = random_network()
    asked = make_plan(300, 40, network, tile=256, precision=FP32, device=CPU)

    def run(plan: Plan) -> bytes:
        *_, last = restore_array(network, picture(300, 40), steps=1, seed=0, plan=plan, device=CPU, precision=FP32)
        assert last.result is not None
        return last.result.tobytes()

    found = run(replace(asked, explicit=False))
    assert found == run(replace(asked, tile=168))  # two of (304 + overlap 32) / 2
    assert found != run(asked)


# --- progress ---


def test_every_evaluation_is_one_record() -> None:
    got = records(random_network(), picture(16, 16), steps=3)
    assert [(r.done, r.total) for r in got] == [(1, 3), (2, 3), (3, 3)]


def test_every_tile_of_every_step_is_one_record() -> None:
    got = records(random_network(), picture(40, 60), steps=2, tile=32)
    assert [r.done for r in got] == list(range(1, 13))  # 2 x 3 tiles, 2 steps
    assert {r.total for r in got} == {12}


def test_the_end_of_a_step_carries_its_estimate_and_the_last_the_result() -> None:
    got = records(random_network(), picture(40, 60), steps=2, tile=32)
    assert [r.done for r in got if r.estimate is not None] == [6, 12]
    assert [r.done for r in got if r.result is not None] == [12]
    assert all(r.estimate.shape == (40, 60, 3) for r in got if r.estimate is not None)


def test_work_can_be_left_in_the_middle() -> None:
    network, _ = random_network()
    rgb = picture(16, 16)
    plan = make_plan(16, 16, network, precision=FP32, device=CPU)
    work = restore_array(network, rgb, steps=1000, seed=0, plan=plan, device=CPU, precision=FP32)
    assert next(iter(work)).done == 1


def test_gradients_are_as_before_between_two_records() -> None:
    network, _ = random_network()
    plan = make_plan(16, 16, network, precision=FP32, device=CPU)
    for _ in restore_array(network, picture(16, 16), steps=2, seed=0, plan=plan, device=CPU, precision=FP32):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("window", [None, Windows(64), Windows(64, (2,))])
@pytest.mark.parametrize(("tile", "steps"), [(0, 1), (0, 3), (128, 2)])
def test_a_watch_is_told_of_strips_up_to_the_end(window: Windows | None, tile: int, steps: int) -> None:
    network, _ = random_network(stem=2)
    plan = make_plan(256, 192, network, tile=tile, precision=FP32, device=CPU)
    seen: list[tuple[float, float]] = []
    work = restore_array(
        network,
        picture(256, 192),
        steps=steps,
        seed=0,
        plan=plan,
        device=CPU,
        precision=FP32,
        windows=window,
        watch=lambda done, total: seen.append((done, total)),
    )
    *_, last = work
    done = [now for now, _ in seen]
    assert {total for _, total in seen} == {last.total}
    assert len(done) > 20 * steps
    assert done == sorted(done)
    assert done[-1] == pytest.approx(last.total, rel=1e-6)


def test_the_header_may_name_another_sampler() -> None:
    network, spec = random_network("sample")
    rgb, results = picture(16, 24), {}
    for sampler in ("ddim", "dpmpp-2m"):
        other = build_network(replace(spec, sampling={**spec.sampling, "sampler": sampler}))
        other.load_state_dict(network.state_dict())
        results[sampler] = [restored((other.eval(), spec), rgb, steps=steps) for steps in (1, 2, 4)]
    for number, (one, two) in enumerate(zip(*results.values(), strict=True)):
        assert np.array_equal(one, two) == (number == 0)  # with one step there is no step before
    with pytest.raises(WeightsError, match="sampler 'dpm' is not one of ddim, dpmpp-2m"):
        build_network(replace(spec, sampling={"sampler": "dpm"}))


# --- size and mask of the result ---


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("tile", [0, 32])
def test_a_network_that_enlarges_gives_a_larger_result(scale: int, tile: int) -> None:
    network, rgb = FakeNetwork(scale=scale), picture(45, 70)
    plan = make_plan(45, 70, network, tile=tile, precision=FP32, device=CPU)
    *_, last = restore_array(network, rgb, steps=1, seed=0, plan=plan, device=CPU, precision=FP32)
    assert last.result is not None
    np.testing.assert_allclose(last.result, rgb.repeat(scale, 0).repeat(scale, 1), rtol=0, atol=1e-6)


def test_a_network_for_holes_sees_the_mask_as_a_fourth_plane() -> None:
    seen: list[Tensor] = []

    class Filling(FakeNetwork):
        def evaluate(self, how: Any, planes: Tensor) -> Tensor:
            seen.append(planes.clone())
            return planes[:, :3]

    network, rgb = Filling(mask=True), picture(16, 24)
    mask = np.zeros((16, 24), np.float32)
    mask[3:5] = 1
    plan = make_plan(16, 24, network, precision=FP32, device=CPU)
    list(restore_array(network, rgb, mask=mask, steps=1, seed=0, plan=plan, device=CPU, precision=FP32))
    assert seen[0].shape == (1, 4, 16, 24)
    assert torch.equal(seen[0][0, 3], torch.from_numpy(mask))
    for other, brought in ((Filling(mask=True), None), (FakeNetwork(), mask)):
        with pytest.raises(ValueError, match="mask"):
            list(restore_array(other, rgb, mask=brought, steps=1, seed=0, plan=plan, device=CPU, precision=FP32))


def test_steps_that_a_network_cannot_do_are_refused() -> None:
    network = FakeNetwork(steps=(4,))
    plan = make_plan(16, 16, network, precision=FP32, device=CPU)
    with pytest.raises(ValueError, match="cannot do 3 steps"):
        list(restore_array(network, picture(16, 16), steps=3, seed=0, plan=plan, device=CPU, precision=FP32))


# --- the same bytes, the same noise ---


@pytest.mark.parametrize("tile", [0, 32])
@pytest.mark.parametrize("prediction", ["sample", "epsilon"])
def test_the_same_seed_gives_the_same_bytes(prediction: Prediction, tile: int) -> None:
    model, rgb = random_network(prediction), picture(40, 50)
    first = restored(model, rgb, seed=3, tile=tile)
    torch.manual_seed(12345)  # the global generator has no say
    assert restored(model, rgb, seed=3, tile=tile).tobytes() == first.tobytes()


def test_another_seed_gives_another_result() -> None:
    model, rgb = random_network("epsilon"), picture(16, 16)
    assert not np.array_equal(restored(model, rgb, seed=0), restored(model, rgb, seed=1))


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    restored(random_network(), picture(16, 16))
    assert torch.equal(torch.rand(2), expected)


def test_the_last_record_is_at_the_total_however_the_parts_are_weighted() -> None:
    class Uneven(FakeNetwork):
        def parts(self, steps: int) -> list[float]:
            return [0.2, 0.9]  # in floating point, 1.2 + (6.6 - 1.2) is not 6.6

    network = Uneven()
    found = records((network, tiny_spec()), picture(48, 64), tile=32)
    assert found[-1].result is not None
    assert found[-1].done == found[-1].total


# --- precision ---


@pytest.mark.parametrize("tile", [0, 32])
def test_bf16_stays_near_fp32(tile: int) -> None:
    model, rgb = random_network(), picture(40, 40)
    exact, half = restored(model, rgb, tile=tile), restored(model, rgb, tile=tile, precision="bf16")
    assert not np.array_equal(half, exact)
    assert np.abs(half - exact).mean() < 0.05 * np.abs(exact - rgb).mean()


def test_a_result_that_is_not_finite_is_handed_on_for_the_caller_to_judge() -> None:
    network, spec = random_network()
    torch.nn.init.constant_(network.output.weight, float("nan"))
    assert np.isnan(restored((network, spec), picture(16, 16))).all()


def test_a_watched_run_leaves_nothing_behind_in_cycles() -> None:
    network, _ = random_network(stem=2)
    plan = make_plan(40, 40, network, precision=FP32, device=CPU)
    options = {"plan": plan, "device": CPU, "precision": FP32, "watch": lambda done, total: None}

    def held() -> set[int]:
        return {id(one) for one in gc.get_objects() if type(one) in (Strips, Given)}

    gc.collect()
    gc.disable()
    try:
        before = held()  # by other tests
        for _ in restore_array(network, picture(40, 40), steps=1, seed=0, **options):
            pass
        assert held() <= before
    finally:
        gc.enable()
