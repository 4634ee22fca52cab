"""Several tasks in turn, in Python: nothing is rounded between them, sizes and masks go along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chain_models import save_one_of_each
from conftest import pixels

from dfrestore import Chain, Restorer
from dfrestore.errors import UsageError
from dfrestore.restore.change import Change
from dfrestore.restore.planning import Job
from dfrestore.restore.results import FileResult, StepResult, Where
from dfrestore.restore.shares import _packed, _unpacked


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return save_one_of_each(tmp_path_factory.mktemp("models"))


def chain_of(models: dict[str, Path], *tasks: str) -> Chain:
    return Chain.from_pretrained(tasks, {task: models[task] for task in tasks}, device="cpu", precision="fp32")


def alone(models: dict[str, Path], task: str) -> Restorer:
    return Restorer.from_pretrained(task, models[task], device="cpu", precision="fp32")


def floats() -> Any:
    return pixels().astype(np.float32) / 255


def test_a_chain_is_its_tasks_one_after_the_other(models: dict[str, Path]) -> None:
    made = chain_of(models, "derain", "denoise")(floats(), derain={"strength": 0.8}, denoise={"seed": 3})
    by_hand = alone(models, "denoise")(alone(models, "derain")(floats(), strength=0.8), seed=3)
    assert np.array_equal(made, by_hand)


def test_nothing_is_rounded_to_eight_bit_between_the_tasks(models: dict[str, Path]) -> None:
    chain = chain_of(models, "derain", "denoise")
    rounded = alone(models, "denoise")(alone(models, "derain")(pixels()))
    through_floats = np.rint(255 * alone(models, "denoise")(alone(models, "derain")(floats())))
    made = chain(pixels())
    assert np.array_equal(made, through_floats)
    assert not np.array_equal(made, rounded)


def test_the_order_of_the_tasks_counts(models: dict[str, Path]) -> None:
    one, other = chain_of(models, "derain", "denoise"), chain_of(models, "denoise", "derain")
    assert not np.array_equal(one(floats()), other(floats()))


def test_what_comes_after_an_enlargement_works_on_the_larger_picture(models: dict[str, Path]) -> None:
    made = chain_of(models, "upscale", "denoise")(floats(), upscale={"size": (30, 50)})
    assert made.shape == (30, 50, 3)
    by_hand = alone(models, "denoise")(alone(models, "upscale")(floats(), size=(30, 50)))
    assert np.array_equal(made, by_hand)


def test_a_mask_is_of_the_picture_as_it_is_given(models: dict[str, Path]) -> None:
    mask = np.zeros((16, 24), np.float32)
    mask[4:8, 6:12] = 1
    made = chain_of(models, "upscale", "inpaint")(floats(), inpaint={"mask": mask})
    enlarged = alone(models, "upscale")(floats())
    there = np.abs(made - enlarged).max(axis=2) > 0.5 / 255
    assert there[8:16, 12:24].mean() > 0.9
    assert not there[:2].any()
    assert not there[22:].any()


def test_a_hole_in_an_enlarged_picture_covers_what_its_colours_were_spread_over(models: dict[str, Path]) -> None:
    mask, painted = np.zeros((16, 24), np.float32), floats()
    mask[4:8, 6:12], painted[4:8, 6:12] = 1, (1, 0, 1)
    made = chain_of(models, "upscale", "inpaint")(painted, inpaint={"mask": mask})
    enlarged = alone(models, "upscale")(painted)
    assert (np.abs(made - enlarged).max(axis=2) > 0.5 / 255)[5:19, 9:27].mean() > 0.9


def test_a_mask_of_the_whole_chain_blends_its_result_with_the_image_as_it_is_given(models: dict[str, Path]) -> None:
    mask = np.zeros((16, 24), np.float32)
    mask[:, 8:], mask[:, 16:] = 0.25, 1
    chain, image = chain_of(models, "derain", "denoise"), floats()
    whole, made = chain(image), chain(image, mask=mask)
    assert np.array_equal(made[:, :8], image[:, :8])
    assert np.allclose(made[:, 8:16], 0.75 * image[:, 8:16] + 0.25 * whole[:, 8:16], atol=1e-6)
    assert np.allclose(made[:, 16:], whole[:, 16:], atol=1e-6)
    with pytest.raises(ValueError, match="a mask of the picture's"):
        chain(image, mask=mask[1:])


def test_progress_is_over_all_tasks_and_never_goes_back(models: dict[str, Path]) -> None:
    seen: list[tuple[float, float]] = []
    chain_of(models, "derain", "upscale")(floats(), progress=lambda done, total: seen.append((done, total)))
    shares = [done / total for done, total in seen]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert len({total for _, total in seen}) == 1


def test_two_of_one_task_are_refused(models: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="derain stands there twice"):
        chain_of(models, "derain", "derain")


def test_options_of_a_task_that_is_not_there_are_refused(models: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="'denoise' is no task of this chain"):
        chain_of(models, "derain", "upscale")(floats(), denoise={"seed": 1})
    with pytest.raises(TypeError, match="derain has no option 'stepps'"):
        chain_of(models, "derain")(floats(), derain={"stepps": 1})


def test_a_result_with_its_steps_goes_from_process_to_process() -> None:
    step = StepResult("derain", "derain/compact", 1, 0, 0.5, "fp32", "whole image")
    result = FileResult("done", Path("a.png"), Path("b.png"), size=(2, 3), warnings=("w",), chain=(step,))
    assert FileResult(**_unpacked(json.loads(json.dumps(_packed(result))))) == result


def test_a_result_that_says_where_it_changed_goes_from_process_to_process() -> None:
    where = Where((Path("m.png"),), ((1, 2, 3, 4),), 0.25, (0, 0, 8, 8), ("words",))
    result = FileResult("done", Path("a.png"), Path("b.png"), where=where, change=Change(1.0, 2.0, where="the mask"))
    assert FileResult(**_unpacked(json.loads(json.dumps(_packed(result))))) == result


def test_a_job_with_masks_goes_from_process_to_process() -> None:
    job = Job(Path("a.png"), Path("b.png"), None, masks=(Path("m.png"), Path("n.png")))
    assert Job(**_unpacked(json.loads(json.dumps(_packed(job))))) == job
