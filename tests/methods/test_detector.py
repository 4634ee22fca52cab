"""The detector: its settings, what it looks at, its network, and how its stage learns and judges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from dfrestore.methods import METHODS, build_network, load_network
from dfrestore.methods.detector import Detect, Detector, DetectorConfig, look
from dfrestore.methods.method import Batch, Pair
from dfrestore.nn import Whole
from dfrestore.severities import DAMAGES, NOTICED
from dfrestore.training import load_preset, spec_of
from dfrestore.weights import ModelSpec, save_checkpoint

TINY = DetectorConfig(widths=(8, 8), blocks=(0, 1), hidden=8, crop=32, crops=4, view=32)
WHOLE = Whole(torch.float32)


def pictures(count: int = 2, height: int = 64, width: int = 64, seed: int = 1) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


def tiny_detector(config: DetectorConfig = TINY) -> Detector:
    torch.manual_seed(0)
    return Detector(config).eval()


# -- settings -------------------------------------------------------------------------------------------------------


def test_settings_go_into_a_header_and_back() -> None:
    config = replace(TINY, kinds=("haze", "rain"))
    assert DetectorConfig.from_mapping(config.to_mapping()) == config
    assert DetectorConfig.from_mapping({}) == DetectorConfig()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kinds": ["rian"]}, "did you mean 'rain'"),
        ({"kinds": ["rain", "rain"]}, "name one twice"),
        ({"kinds": []}, "none"),
        ({"kinds": [1]}, "list of names"),
        ({"widths": [8, 8]}, "a number from 0 to 16 for each"),
        ({"widths": [2] * 4}, "from 4 to 512"),
        ({"crop": 8}, "crop 8"),
        ({"wdths": [8]}, "unknown setting 'wdths'"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DetectorConfig.from_mapping(values)


def test_the_shipped_size_is_under_a_megabyte() -> None:
    network = build_network(spec_of(load_preset("detect-compact", "detect")))
    assert 0.3e6 < sum(p.numel() for p in network.parameters()) < 0.495e6  # two bytes each, and the header


# -- what it looks at -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(100, 100), (64, 64), (200, 70), (64, 640), (33, 500)])
def test_small_pictures_are_covered_whole(height: int, width: int) -> None:
    picture = torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width).expand(1, 3, -1, -1)
    crops, views = look(picture, crop=64, crops=1000, view=50)
    assert crops[0, :, 0].unique().numel() == height * width
    assert crops.shape[3:] == (min(64, height), min(64, width))
    assert max(views.shape[2:]) == 50
    assert min(views.shape[2:]) >= 32


@pytest.mark.parametrize("size", [(1, 1), (5, 90), (31, 31)])
def test_tiny_pictures_are_continued(size: tuple[int, int]) -> None:
    crops, views = look(pictures(1, *size), crop=64, crops=4, view=64)
    assert min(crops.shape[3:]) >= 32
    assert min(views.shape[2:]) >= 32


def test_of_a_large_picture_the_busiest_and_the_flattest_crops_are_among_those_chosen() -> None:
    picture = torch.full((1, 3, 640, 640), 0.5) + 0.02 * pictures(1, 640, 640)
    picture[..., 64:128, 320:384] = pictures(1, 64, 64)[0]
    picture[..., 512:576, 0:64] = 0.25
    crops, _ = look(picture, crop=64, crops=12, view=64)
    assert crops.shape[1] == 12
    spread = crops[0].flatten(1).std(1)
    assert float(spread.max()) > 0.25
    assert float(spread.min()) == 0
    assert torch.equal(crops, look(picture, crop=64, crops=12, view=64)[0])
    assert len({tuple(crop.flatten()[:4].tolist()) for crop in crops[0]}) == 12


def test_each_picture_of_a_batch_is_looked_at_as_if_alone() -> None:
    batch = pictures(3, 160, 160)
    together = look(batch, crop=32, crops=4, view=32)
    for i in range(3):
        alone = look(batch[i : i + 1], crop=32, crops=4, view=32)
        assert torch.equal(alone[0][0], together[0][i])
        assert torch.equal(alone[1][0], together[1][i])


def test_the_choice_leaves_rows_out_of_vast_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = 0.01 * pictures(1, 320, 320)
    picture[..., 96:128, 160:192] = pictures(1, 32, 32)[0]
    whole = look(picture, crop=32, crops=6, view=32)[0]
    monkeypatch.setattr("dfrestore.methods.detector.looks.MAX_PIXELS", 320 * 320 // 5)
    thinned = look(picture, crop=32, crops=6, view=32)[0]
    busiest = [crops[0][crops[0].flatten(1).std(1).argmax()] for crops in (whole, thinned)]
    assert torch.equal(*busiest)


# -- the network ----------------------------------------------------------------------------------------------------


def test_severities_are_from_0_to_1_for_each_kind() -> None:
    network = tiny_detector()
    told = network(*network.look(pictures()))
    assert told.shape == (2, len(DAMAGES))
    assert (told > 0).all()
    assert (told < 1).all()


def test_an_untrained_network_lets_the_picture_through_to_its_head() -> None:
    network = tiny_detector(DetectorConfig())
    crops, _ = network.look(pictures(1, 160, 160))
    features = network._features(crops[0], network.of_crops, torch.float32)
    assert 0.2 < features.std().item() < 10


def test_a_picture_is_told_the_same_alone_and_in_a_batch() -> None:
    network = tiny_detector()
    batch = pictures(3, 96, 96)
    together = network(*network.look(batch))
    alone = torch.cat([network(*network.look(picture[None])) for picture in batch])
    assert torch.allclose(together, alone, atol=1e-6)


def test_more_of_the_same_does_not_count_as_more() -> None:
    """A maximum would: of twelve crops one is larger than of four, whatever they show."""
    network = tiny_detector()
    crops, views = network.look(pictures(1, 64, 64))
    assert torch.allclose(network(crops, views), network(crops.repeat(1, 3, 1, 1, 1), views), atol=1e-5)


def test_a_file_of_it_is_loaded_like_any_other(tmp_path: Any) -> None:
    network = tiny_detector()
    spec = ModelSpec("detect", "detector", TINY.to_mapping(), default_steps=1)
    save_checkpoint(tmp_path / "d.safetensors", network.state_dict(), spec)
    loaded, read = load_network(tmp_path / "d.safetensors")
    assert isinstance(loaded, Detector)
    assert read.task == "detect"
    looks = network.look(pictures())
    assert torch.equal(loaded(*looks), network(*looks))


# -- training -------------------------------------------------------------------------------------------------------


def losses_of(network: Detector, clean: Tensor, part: slice, size: int) -> dict[str, Tensor]:
    batch = Batch(clean[part], clean[part], part, size)
    draw = torch.Generator().manual_seed(3)
    return Detect().losses(network, lambda *looks: network.walk(WHOLE, *looks), batch, draw, {})


def test_a_batch_in_parts_has_the_loss_of_the_whole() -> None:
    network, clean = tiny_detector(), pictures(6)
    whole = losses_of(network, clean, slice(0, 6), 6)
    parts = [losses_of(network, clean, slice(i, i + 2), 6) for i in (0, 2, 4)]
    for name, value in whole.items():
        assert value.item() == pytest.approx(sum(p[name].item() for p in parts) / 3, rel=1e-4)
    assert whole["loss"].item() == pytest.approx((whole["entropy"] + whole["error"]).item(), rel=1e-5)


def test_views_are_drawn_smaller_than_usual_the_same_for_all_parts_of_a_batch() -> None:
    network = tiny_detector(replace(TINY, view=48))
    seen: list[int] = []

    def call(crops: Tensor, views: Tensor) -> Tensor:
        seen.append(views.shape[-1])
        return network.walk(WHOLE, crops, views)

    clean = pictures(4, 96, 96)
    for seed in range(6):
        for part in (slice(0, 2), slice(2, 4)):
            batch = Batch(clean[part], clean[part], part, 4)
            Detect().losses(network, call, batch, torch.Generator().manual_seed(seed), {})
    assert seen[::2] == seen[1::2]
    assert len(set(seen)) > 2
    assert max(seen) <= 48


def test_steps_lower_the_loss_on_what_they_saw() -> None:
    network, clean = tiny_detector().train(), pictures(8)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    first = last = 0.0
    for step in range(40):
        loss = losses_of(network, clean, slice(0, 8), 8)["loss"]
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        first, last = (loss.item() if step == 0 else first), loss.item()
    assert last < 0.8 * first


def test_a_perfect_detector_has_a_perfect_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is replaced by one that knows what was drawn."""
    network = tiny_detector()
    known: list[Tensor] = []
    monkeypatch.setattr(
        "dfrestore.methods.detector.stages._of_kinds",
        lambda severities, network: known.append(severities) or severities,
    )
    monkeypatch.setattr(Detector, "walk", lambda self, how, crops, views: torch.logit(known[-1], eps=1e-6))
    sums = Detect().judged(network, Pair(pictures()[0], pictures()[0]), 0, WHOLE)
    verdict = Detect().verdict(network, sums)
    assert verdict.score > 0.999
    for kind in DAMAGES:
        assert verdict.rows[kind]["false"] == 0
        assert verdict.rows[kind]["found"] in (0, 1)  # 0: none was severe
    assert verdict.rows["clean photos"]["untouched"] == 1


def test_a_detector_that_always_says_everything_leaves_nothing_untouched() -> None:
    network = tiny_detector()
    with torch.no_grad():
        network.severities.bias.fill_(20.0)
    sums = sum(Detect().judged(network, Pair(p, p), i, WHOLE) for i, p in enumerate(pictures(2)))
    assert isinstance(sums, Tensor)
    verdict = Detect().verdict(network, sums)
    assert verdict.score < 0.5
    assert verdict.rows["clean photos"]["untouched"] == 0
    assert verdict.rows["rain"]["false"] == 1
    assert verdict.rows["noise"]["found"] == 1
    assert 0 < NOTICED < 0.5


def test_what_is_judged_follows_from_the_index_alone() -> None:
    network, pair = tiny_detector(), Pair(pictures()[0], pictures()[0])
    first, again, other = (Detect().judged(network, pair, index, WHOLE) for index in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_it_is_a_method_of_its_own() -> None:
    assert METHODS["detector"].stages == (Detect,)
    assert METHODS["detector"].read({"anything": (1,)}, "file") is None
