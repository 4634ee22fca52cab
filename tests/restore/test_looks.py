"""What the pictures beside a result show: the map of uncertainty, the comparison strip, the trace of a restoration."""

from __future__ import annotations

import io
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from conftest import pixels
from PIL import Image

from dfrestore.engine import Progress
from dfrestore.photo import Origin, Photo
from dfrestore.restore import Outcome, Restorer
from dfrestore.restore.comparison import WIDEST, comparison, encoded
from dfrestore.restore.flow import drain
from dfrestore.restore.images import LUMA
from dfrestore.restore.trace import HALF, MOST, Trace
from dfrestore.restore.uncertainty import WHITE, uncertainty_png


def taken(width: int = 24, height: int = 16, value: float = 0.25) -> Photo:
    return Photo(np.full((height, width, 3), value, np.float32))


# -- the map


def test_the_map_is_linear_on_one_scale_whatever_the_picture() -> None:
    spread = np.array([[0, 0.001, 0.01], [0.05, WHITE, 0.5]], np.float32)
    with Image.open(io.BytesIO(uncertainty_png(spread, 4))) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "I;16", (3, 2))
        values = np.asarray(image)
    assert values.tolist() == [[0, 655, 6554], [32768, 65535, 65535]]
    np.testing.assert_allclose(values[0] / 655350, spread[0], atol=1e-6)


def test_the_map_says_what_its_values_are() -> None:
    with Image.open(io.BytesIO(uncertainty_png(np.zeros((2, 2), np.float32), 6))) as image:
        text = image.info["Description"]
    for part in ("6 restorations", "n - 1", "largest of R, G and B", "65535 is 0.1", "value / 655350"):
        assert part in text


# -- the strip


def test_a_strip_shows_before_and_after_side_by_side() -> None:
    strip = np.asarray(comparison(taken(400, 300), np.full((300, 400, 3), 0.75, np.float32), "a.jpg", "m, 1 step"))
    assert (strip[150, 100] == 64).all()
    assert (strip[150, 600] == 191).all()
    assert (strip[-1] == 255).all()


def test_a_large_photo_makes_a_strip_no_wider_than_stated() -> None:
    photo = taken(5000, 700)
    strip = comparison(photo, photo.rgb, "a.jpg", "m")
    assert WIDEST - 10 < strip.width <= WIDEST


def test_the_caption_grows_with_the_strip_and_has_room_beside_a_small_photo() -> None:
    small, large = (comparison(taken(side, side), taken(side, side).rgb, "a.jpg", "m") for side in (20, 2000))
    assert small.width > 640
    assert large.height - 2000 > small.height - 20


def test_transparent_parts_are_white_in_a_strip() -> None:
    photo = Photo(np.zeros((300, 400, 3), np.float32), np.zeros((300, 400), np.uint8), Origin(mode="RGBA"))
    assert np.asarray(comparison(photo, photo.rgb, "a.png", "m"))[100:].min() == 255


@pytest.mark.parametrize(("name", "format"), [("a.png", "PNG"), ("a.JPG", "JPEG"), ("a.jpeg", "JPEG")])
def test_the_ending_decides_the_format_of_a_strip(name: str, format: str) -> None:
    with Image.open(io.BytesIO(encoded(comparison(taken(), taken().rgb, "a", "m"), name))) as image:
        assert image.format == format


# -- the trace


@pytest.fixture(scope="module")
def restorer(random_model: Path) -> Restorer:
    return Restorer.from_pretrained("derain", random_model, precision="fp32")


def alike(frame: np.ndarray, rgb: np.ndarray) -> bool:
    """Whether the frame shows this picture of noise; on luma, for WebP halves the resolution of colour."""
    return bool(np.corrcoef((frame @ LUMA).ravel(), (rgb @ LUMA).ravel())[0, 1] > 0.9)


def estimate_of(frame: np.ndarray) -> np.ndarray:
    """The lower half of a frame of a wide photo, below the state."""
    assert len(frame) == 2 * 16 + 6
    return frame[-16:]


def traced(
    restorer: Restorer, steps: int, place: str = "t.gif", size: tuple[int, int] = (24, 16), ensemble: int = 1
) -> tuple[list[np.ndarray], list[int], np.ndarray]:
    """Frames (uint8), how long each is shown in milliseconds, and the result."""
    photo = Photo(pixels(*size).astype(np.float32) / np.float32(255))
    trace = Trace(photo, restorer.noise(*photo.size, 0), steps=steps, members=ensemble)
    result = drain(trace.watch(restorer.restore_rgb(photo.rgb, steps=steps, ensemble=ensemble))).rgb
    with Image.open(io.BytesIO(trace.encoded(result, place))) as image:
        frames, durations = [], []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            image.load()
            frames.append(np.asarray(image.convert("RGB")))
            durations.append(image.info["duration"])
        assert image.info["loop"] == 0
    return frames, durations, result


@pytest.mark.parametrize("place", ["t.gif", "t.webp"])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_trace_has_the_noise_an_estimate_a_step_and_the_result_held_longest(
    restorer: Restorer, steps: int, place: str
) -> None:
    frames, durations, result = traced(restorer, steps, place)
    assert len(frames) == steps + 1
    assert max(durations) == durations[-1] > 2 * max(durations[:-1])
    assert alike(estimate_of(frames[-1]), result)


def test_a_trace_begins_with_the_noise_of_its_seed(restorer: Restorer) -> None:
    (first, *_), _, _ = traced(restorer, 1, "t.webp", (160, 160))
    noise = restorer.noise(160, 160, 0)
    assert (noise.min(), noise.max()) == (0, 1)
    assert alike(first[:, :160], noise)


def test_the_state_goes_evenly_from_the_noise_to_the_result(restorer: Restorer) -> None:
    frames, _, result = traced(restorer, 5, "t.webp", (96, 64))
    noise = restorer.noise(64, 96, 0)
    states = [frame[:64] for frame in frames]
    to_noise, to_result = (
        [float(np.corrcoef((state @ LUMA).ravel(), (end @ LUMA).ravel())[0, 1]) for state in states]
        for end in (noise, result)
    )
    assert to_noise[:-1] == sorted(to_noise[:-1], reverse=True)  # the last two are the result
    assert to_result == sorted(to_result)
    assert min(to_noise[0], to_result[-1]) > 0.9


def test_a_model_that_starts_from_no_noise_shows_its_estimates_alone() -> None:
    photo = taken(48, 32)
    trace = Trace(photo, None, steps=1, members=1)
    with Image.open(io.BytesIO(trace.encoded(photo.rgb, "t.gif"))) as image:
        assert image.size == (48, 32)


def test_a_large_photo_is_reduced_and_its_noise_stays_noise(restorer: Restorer) -> None:
    frames, _, _ = traced(restorer, 1, size=(1000, 64))
    state = frames[0][:38]  # above the photo, which is wide
    assert state.shape == (38, HALF, 3)
    assert state.std() > 80


def test_a_trace_of_an_ensemble_shows_its_first_member_and_the_mean(restorer: Restorer) -> None:
    frames, _, result = traced(restorer, 3, "t.webp", ensemble=2)
    assert len(frames) == 4
    assert alike(estimate_of(frames[-1]), result)


def test_a_trace_of_a_picture_with_a_mask_keeps_what_is_known() -> None:
    photo, mask = taken(8, 8), np.zeros((8, 8), np.float32)
    mask[:, :4] = 1

    def work() -> Generator[Progress, None, Outcome]:
        yield Progress(1, 2, np.ones((8, 8, 3), np.float32))
        return Outcome(photo.rgb, "", "", ())

    trace = Trace(photo, None, steps=2, members=1, mask=mask)
    result = drain(trace.watch(work())).rgb
    with Image.open(io.BytesIO(trace.encoded(result, "t.gif"))) as image:
        image.seek(1)
        estimate = np.asarray(image.convert("RGB"))
    assert (estimate[:, :4] == 255).all()
    assert (estimate[:, 4:] == 64).all()


def test_many_steps_are_thinned_out(restorer: Restorer) -> None:
    def work() -> Generator[Progress, None, Outcome]:
        for done in range(1, 1000):
            yield Progress(done, 1000, np.full((8, 8, 3), done / 1000, np.float32))
        yield Progress(1000, 1000, np.ones((8, 8, 3), np.float32))
        return Outcome(np.ones((8, 8, 3), np.float32), "", "", ())

    trace = Trace(taken(8, 8), None, steps=1000, members=1)
    result = drain(trace.watch(work())).rgb
    with Image.open(io.BytesIO(trace.encoded(result, "t.gif"))) as image:
        assert MOST - 2 <= image.n_frames <= MOST + 2


def test_a_trace_begins_anew_where_the_work_does() -> None:
    def work() -> Generator[Progress, None, Outcome]:
        for value, total in ((0.9, 4), (0.1, 8)):  # memory ran out after two of four steps: on with two tiles a step
            for done in range(1, total // 2 + 1):
                whole = total == 4 or done % 2 == 0
                yield Progress(done, total, np.full((8, 8, 3), value, np.float32) if whole else None)
        return Outcome(np.ones((8, 8, 3), np.float32), "", "", ())

    trace = Trace(taken(8, 8, 0.0), None, steps=4, members=1)
    drain(trace.watch(work()))
    with Image.open(io.BytesIO(trace.encoded(np.ones((8, 8, 3), np.float32), "t.gif"))) as image:
        shown = []
        for number in range(image.n_frames):
            image.seek(number)
            shown.append(image.convert("RGB").getpixel((0, 0))[0])
    assert all(value < 40 for value in shown[:-1])
