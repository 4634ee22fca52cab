"""How long a restoration will take: measured, kept, made better; never in the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Answer
from reference.fake_network import FakeNetwork
from reference.random_network import random_network

from dfrestore.engine import WORTH_MEASURING, Speeds, amount, choose_device, choose_precision, make_plan, speed
from dfrestore.engine.work import values_a_pixel
from dfrestore.restore import Restorer
from dfrestore.windows import Windows

CPU = choose_device("cpu")
FP32, BF16 = choose_precision("fp32", CPU), choose_precision("bf16", CPU)
NETWORK = FakeNetwork()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder; what is measured is small."""
    monkeypatch.setenv("DFRESTORE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(speed, "_SMALL", 16)
    monkeypatch.setattr(speed, "_LARGE", 32)
    return tmp_path / "cache" / speed.FILE_NAME


def speeds(**changes: object) -> Speeds:
    values = {"network": NETWORK, "device": CPU, "precision": FP32, "windows": None, **changes}
    return Speeds(**values)  # type: ignore[arg-type]


def test_what_was_measured_is_known_the_next_time() -> None:
    assert speeds().known() is None
    measured = speeds().measured()
    assert measured > 0
    assert speeds().known() == measured


@pytest.mark.parametrize(
    "other", [{"precision": BF16}, {"windows": Windows(64)}, {"network": random_network()[0]}], ids=str
)
def test_another_precision_window_or_network_has_a_speed_of_its_own(other: dict[str, object]) -> None:
    speeds().measured()
    assert speeds(**other).known() is None


def test_a_finished_photo_makes_the_guess_better() -> None:
    work = 2 * WORTH_MEASURING
    speeds().learn(1.0, work)
    assert speeds().known() == pytest.approx(1 / work)
    speeds().learn(4.0, work)
    assert speeds().known() == pytest.approx(2 / work)


def test_a_small_photo_says_nothing() -> None:
    speeds().learn(1.0, WORTH_MEASURING / 2)
    assert speeds().known() is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1}', "\x00\x01"])
def test_a_damaged_file_is_as_good_as_none(cache: Path, content: str) -> None:
    cache.parent.mkdir()
    cache.write_text(content)
    assert speeds().known() is None
    speeds().learn(1.0, 2 * WORTH_MEASURING)
    assert speeds().known() is not None


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1.0", "0.0", '"fast"', "null"])
def test_a_speed_that_is_none_is_not_believed(cache: Path, value: str) -> None:
    speeds().measured()
    (key,) = json.loads(cache.read_text())
    cache.write_text(f'{{"{key}": {value}}}')
    assert speeds().known() is None


def test_a_cache_that_cannot_be_written_stops_nothing(cache: Path) -> None:
    cache.parent.write_text("a file where the folder should be")
    assert speeds().measured() > 0


def test_the_file_does_not_grow_for_ever(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text(json.dumps({str(number): 1.0 for number in range(3 * speed.MOST_KNOWN)}))
    speeds().measured()
    assert len(json.loads(cache.read_text())) == speed.MOST_KNOWN


def test_work_is_pixels_times_evaluations_and_more_in_tiles() -> None:
    whole = make_plan(512, 512, NETWORK, precision=FP32, device=CPU)
    tiles = make_plan(512, 512, NETWORK, tile=128, precision=FP32, device=CPU)
    assert amount(NETWORK, 512, 512, 3, whole) == 3 * 512**2
    assert 1.1 < amount(NETWORK, 512, 512, 3, tiles) / amount(NETWORK, 512, 512, 3, whole) < 1.5


def test_the_work_of_a_pixel_does_not_depend_on_the_picture() -> None:
    network = random_network(stem=2)[0]
    first = values_a_pixel(network)
    assert first > 0
    assert values_a_pixel(network) == first


def test_small_photos_are_not_worth_a_measurement(random_model: Path, cache: Path) -> None:
    restorer = Restorer.from_pretrained("derain", random_model, precision="fp32")
    assert restorer.expected_seconds(64, 64, 1, restorer.plan(64, 64)) is None
    assert not cache.exists()
    large = restorer.expected_seconds(2000, 1000, 1, restorer.plan(2000, 1000))
    assert large is not None
    assert restorer.expected_seconds(2000, 1000, 2, restorer.plan(2000, 1000), members=3) == pytest.approx(6 * large)


def test_small_tiles_that_the_user_chose_are_slower_and_that_is_expected(random_model: Path, cache: Path) -> None:
    restorer = Restorer.from_pretrained("derain", random_model, precision="fp32")
    usual, tiles = restorer.plan(2000, 1000), restorer.plan(2000, 1000, 64)
    whole = restorer.expected_seconds(2000, 1000, 1, usual)
    assert whole is not None
    kept = cache.read_bytes()
    slowdown = restorer.slowdown(2000, 1000, 1, tiles)
    assert slowdown is not None
    assert slowdown >= (64 / 48) ** 2 * 0.99  # what overlaps is computed twice, and small tiles cost more
    assert restorer.expected_seconds(2000, 1000, 1, tiles) == pytest.approx(slowdown * whole)
    assert restorer.slowdown(2000, 1000, 1, usual) is None
    assert cache.read_bytes() == kept


def test_a_run_in_tiles_of_the_user_says_nothing_of_whole_photos(
    random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "WORTH_MEASURING", 1)
    restorer = Restorer.from_pretrained("derain", random_model, precision="fp32")
    photo = np.full((80, 100, 3), 0.5, np.float32)
    restorer(photo, tile=64, steps=1)
    assert restorer._speeds.known() is None
    restorer(photo, steps=1)
    assert restorer._speeds.known() is not None


def test_the_start_line_and_a_dry_run_tell_the_time(
    dfrestore: Callable[..., Answer], identity_model: Path, make_photo: Callable[..., Path], tmp_path: Path
) -> None:
    Restorer.from_pretrained("derain", identity_model, precision="fp32")._speeds.measured()
    photo = make_photo(tmp_path / "a.png")
    arguments = ("derain", photo, "--model", identity_model, "--precision", "fp32")
    dry = dfrestore(*arguments, "--dry-run", "--json")
    assert json.loads(dry.out.splitlines()[0])["expected_seconds"] >= 0
    assert ", about 0." in dry.err
    assert ", about 0." in dfrestore(*arguments).err.splitlines()[0]
