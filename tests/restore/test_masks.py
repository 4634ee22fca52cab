"""Masks and enlarging networks through the Restorer, the batch and the record, with networks that are fakes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import pixels, tiny_spec
from PIL import Image
from reference.fake_network import FakeNetwork
from torch import Tensor

from dfrestore import photo
from dfrestore.restore import FileResult, Job, Restorer, Settings, run_batch, triage
from dfrestore.restore.flow import drain
from dfrestore.restore.todo import Records

PICTURE = pixels()
SETTINGS = Settings("derain", "model", 1)


class White(FakeNetwork):
    """It fills what it is given with white; with a mask, the hole alone."""

    def evaluate(self, how: Any, planes: Tensor) -> Tensor:
        white = torch.ones_like(planes[:, :3])
        return torch.where(planes[:, 3:] > 0, white, planes[:, :3]) if self.mask else planes[:, :3] * 0.01 + 0.99


def restorer(network: FakeNetwork) -> Restorer:
    return Restorer(network, tiny_spec(default_steps=1), precision="fp32")


def half(height: int = 16, width: int = 24) -> np.ndarray:
    mask = np.zeros((height, width), np.float32)
    mask[:, : width // 3] = 1
    mask[:2, -3:] = 0.5
    return mask


@pytest.mark.parametrize("takes_mask", [False, True])
@pytest.mark.parametrize("ensemble", [1, 5])
def test_outside_the_mask_the_input_stays_exactly(takes_mask: bool, ensemble: int) -> None:
    result = restorer(White(mask=takes_mask))(PICTURE, mask=half(), ensemble=ensemble)
    assert (result[half() == 0] == PICTURE[half() == 0]).all()
    assert (result[half() == 1] >= 250).all()
    between = half() == 0.5
    assert (result[between] >= PICTURE[between]).all()
    assert not (result[between] == PICTURE[between]).all()


@pytest.mark.parametrize("takes_mask", [False, True])
def test_every_estimate_keeps_what_is_known(takes_mask: bool) -> None:
    states = list(restorer(White(mask=takes_mask)).steps(PICTURE, mask=half(), steps=2))
    estimates = [state.estimate for state in states if state.estimate is not None]
    assert states[-1].result is estimates[-1]
    rgb = PICTURE / np.float32(255)
    for estimate in estimates:
        assert np.array_equal(estimate[half() == 0], rgb[half() == 0])
        assert (estimate[half() == 1] > 0.98).all()


def test_the_mask_turns_with_the_picture() -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    class Looking(FakeNetwork):
        def evaluate(self, how: Any, planes: Tensor) -> Tensor:
            seen.append((planes[0, 0], planes[0, 3]))
            return planes[:, :3]

    picture = np.repeat((half() * 255).round().astype(np.uint8)[:, :, None], 3, axis=2)
    looking = Restorer(Looking(mask=True), tiny_spec(task="denoise", default_steps=1), precision="fp32")
    looking(picture, mask=half(), ensemble=8)
    assert len(seen) == 8
    for red, mask in seen:
        assert (red - mask).abs().max() < 1 / 255


def test_a_mask_of_another_size_is_refused() -> None:
    for mask in (np.zeros((4, 4), np.float32), half() * 2):
        with pytest.raises(ValueError, match="mask"):
            restorer(White())(PICTURE, mask=mask)


def run(job: Job, network: FakeNetwork) -> FileResult:
    records = Records()
    todo, settled = triage([job], SETTINGS, records, overwrite=False, lone=False)
    done = [event for event in run_batch(todo, restorer(network), SETTINGS, records) if isinstance(event, FileResult)]
    return (settled + done)[0]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    Image.fromarray(PICTURE).save(tmp_path / "in.png")
    Image.fromarray((half() * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    (tmp_path / "out").mkdir()
    return Job(tmp_path / "in.png", tmp_path / "out" / "in.png", tmp_path / "out", masks=(tmp_path / "mask.png",))


def test_a_job_with_a_mask_changes_the_photo_there_alone(job: Job) -> None:
    assert run(job, White(mask=True)).status == "done"
    result = np.asarray(Image.open(job.output))
    assert (result[half() == 0] == PICTURE[half() == 0]).all()
    assert (result[half() == 1] == 255).all()


def test_the_record_knows_the_mask_and_a_changed_one_is_done_again(job: Job) -> None:
    assert [run(job, White(mask=True)).status for _ in range(2)] == ["done", "skipped"]
    assert json.loads((job.output.parent / ".dfrestore.jsonl").read_text())["masks"][0][0] == str(job.masks[0])
    os.utime(job.masks[0], ns=(1, 1))
    assert run(job, White(mask=True)).status == "done"


def test_a_result_without_a_mask_is_not_one_with(job: Job, tmp_path: Path) -> None:
    run(job, White(mask=True))
    assert run(Job(job.input, job.output, job.record), White()).status == "left"


def test_a_mask_that_does_not_fit_is_that_files_failure(job: Job) -> None:
    Image.new("L", (7, 50), 255).save(job.masks[0])
    result = run(job, White(mask=True))
    assert (result.status, "do not fit" in str(result.error)) == ("failed", True)


def test_members_disagree_only_where_the_picture_may_change() -> None:
    rgb = PICTURE.astype(np.float32) / np.float32(255)
    whole, part = (
        drain(restorer(FakeNetwork()).restore_rgb(rgb, steps=1, ensemble=4, spread=True, mask=mask)).spread
        for mask in (None, half())
    )
    assert whole is not None
    assert part is not None
    assert not part[half() == 0].any()
    np.testing.assert_array_equal(part[half() == 1], whole[half() == 1])


# --- larger results ---


def test_strength_of_a_larger_result_blends_with_the_plain_resize() -> None:
    rgb = PICTURE.astype(np.float32) / np.float32(255)
    plain = photo.enlarged(photo.Photo(rgb), 32, 48).rgb
    work = restorer(FakeNetwork(scale=2))
    full, half_way, none = (drain(work.restore_rgb(rgb, steps=1, strength=s)).rgb for s in (1.0, 0.5, 0.0))
    np.testing.assert_allclose(half_way, (plain + full) / 2, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(none, plain)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_a_file_comes_out_larger_with_what_belongs_to_it(tmp_path: Path, mode: str) -> None:
    Image.fromarray(PICTURE).convert(mode).save(tmp_path / "in.png", dpi=(300, 300))
    result = run(Job(tmp_path / "in.png", tmp_path / "out.png", None), FakeNetwork(scale=4))
    assert result.status == "done"
    with Image.open(tmp_path / "out.png") as image:
        assert (image.mode, image.size) == (mode, (96, 64))
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize("shape", [(16, 24), (16, 24, 1), (16, 24, 3), (16, 24, 4)])
def test_an_array_comes_out_larger(shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    result = restorer(FakeNetwork(scale=2))(picture)
    assert (result.shape, result.dtype) == ((32, 48, *shape[2:]), np.uint8)
