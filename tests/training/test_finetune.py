"""Finetuning: settings that fit the data, the start model as the floor, what the result says of itself."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny_spec
from tiny_runs import darken, smooth_pairs, smooth_photos
from torch import Tensor

from dfrestore.errors import StartError, UsageError
from dfrestore.methods import build_network
from dfrestore.training.batches import draw_batch
from dfrestore.training.checkpoints import load_state
from dfrestore.training.config import TrainConfig, with_stage
from dfrestore.training.finetune import (
    defaults,
    finetune_config,
    remarks,
    require_enough,
    require_task,
    with_origin,
    with_time,
)
from dfrestore.training.floor import START, Settled, keep_start, resume
from dfrestore.training.photos import Photos
from dfrestore.training.records import StepRecord, ValidationRecord
from dfrestore.training.run import open_run, read_run, train
from dfrestore.training.trainer import Trainer
from dfrestore.weights import load_checkpoint, read_spec

SPEC = tiny_spec(default_steps=1, licence="CC-BY-4.0", trained_on="coffee", source="dfrestore train")
QUICK: dict[str, Any] = {
    "validate_every": 10,
    "log_every": 1,
    "data": {"validation_size": 32, "clean_fraction": 0.0},
    "stages": {"last": {"iterations": 30, "lr": 3e-3, "patches": [32], "batches": [4], "warmup": 0}},
    "optim": {"precision": "fp32"},
}


def start_tensors() -> dict[str, Tensor]:
    """A model whose result is its input, in half precision as models are stored."""
    torch.manual_seed(0)
    network = build_network(SPEC)
    with torch.no_grad():
        network.output.weight.zero_()
    return {name: tensor.to(torch.bfloat16) for name, tensor in network.state_dict().items()}


def quick(photos: Photos, **last: object) -> TrainConfig:
    return finetune_config("derain", SPEC, photos, {**QUICK, "stages": {"last": {**QUICK["stages"]["last"], **last}}})


def begun(config: TrainConfig, photos: Photos, folder: Path) -> Trainer:
    """A new run of this start model in ``folder``."""
    trainer = Trainer(config, photos, darken)
    open_run(folder, config, lambda: keep_start(trainer, folder, start_tensors(), SPEC))
    return trainer


def assert_begins_with_the_start(folder: Path, photos: Photos) -> None:
    """The run in ``folder``, resumed, has the start model's weights and no step done."""
    trainer = Trainer(read_run(folder), photos, darken)
    assert resume(trainer, folder) == []
    assert trainer.done == 0
    assert all(torch.equal(trainer.network.state_dict()[n], t.float()) for n, t in start_tensors().items())


def tensors_equal(path: Path, tensors: dict[str, Tensor]) -> bool:
    found, _ = load_checkpoint(path)
    return found.keys() == tensors.keys() and all(torch.equal(found[name], tensors[name]) for name in tensors)


def few(photos: Photos, count: int) -> Photos:
    return Photos(photos.names[:count], photos.pixels[:count], inputs=photos.inputs[:count])


# -- the result -----------------------------------------------------------------------------------------------------


def test_it_improves_on_the_start_where_there_is_something_to_learn(tmp_path: Path) -> None:
    photos = smooth_pairs()
    records = list(train(begun(quick(photos), photos, tmp_path), tmp_path))
    first, settled = records[0], records[-1]
    assert isinstance(first, ValidationRecord)
    assert first.iteration == 0
    assert first.psnr[1] == pytest.approx(first.psnr_input, abs=0.2)  # the start changes nothing
    assert isinstance(settled, Settled)
    assert settled.result > settled.start + 1
    result = json.loads((tmp_path / "RESULT.json").read_text())
    assert result["improved"] is True
    assert result["best_psnr"] == settled.result
    assert not tensors_equal(tmp_path / "model.safetensors", start_tensors())


def test_with_an_absurd_rate_the_result_is_the_start_model(tmp_path: Path) -> None:
    photos = smooth_pairs()
    *_, settled = train(begun(quick(photos, lr=30.0, iterations=12), photos, tmp_path), tmp_path)
    assert str(settled) == "no improvement on the 2 held-out pairs: the model is the one it started from"
    assert tensors_equal(tmp_path / "model.safetensors", start_tensors())
    spec = read_spec(tmp_path / "model.safetensors")
    assert (spec.source, spec.trained_on) == (SPEC.source, SPEC.trained_on)  # it is not said to be finetuned


def test_a_gain_that_is_lost_in_the_file_is_none(tmp_path: Path) -> None:
    photos = smooth_pairs()
    trainer = begun(quick(photos, iterations=1, lr=1e-9), photos, tmp_path)
    *_, settled = train(trainer, tmp_path)
    assert isinstance(settled, Settled)
    assert settled.start == settled.result
    assert not settled.improved
    assert json.loads((tmp_path / "RESULT.json").read_text())["improved"] is False


def test_a_run_that_is_stopped_before_a_better_step_holds_the_start_model(tmp_path: Path) -> None:
    photos = smooth_pairs()
    stream = train(begun(quick(photos), photos, tmp_path), tmp_path)
    next(stream)
    stream.close()
    assert tensors_equal(tmp_path / "model.safetensors", start_tensors())


@pytest.mark.parametrize("records_before", [0, 1, 5])
def test_a_resumed_finetuning_ends_as_one_that_was_not_stopped(records_before: int, tmp_path: Path) -> None:
    photos = smooth_pairs()
    config = quick(photos, iterations=8)
    *_, whole = train(begun(config, photos, tmp_path / "whole"), tmp_path / "whole")
    run = tmp_path / "parts"
    stream = train(begun(config, photos, run), run)
    for _ in range(records_before):
        next(stream)
    stream.close()
    trainer = Trainer(read_run(run), photos, darken)
    assert load_state(trainer, run) == []
    *_, parts = train(trainer, run)
    assert parts == whole
    assert tensors_equal(run / "model.safetensors", load_checkpoint(tmp_path / "whole" / "model.safetensors")[0])
    validations = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines() if "validation" in line]
    assert [v["validation"]["iteration"] for v in validations].count(0) == 1


class _KilledError(BaseException):
    """Stands for a SIGKILL: nothing that catches errors catches it."""


@pytest.fixture
def kill_at(tmp_path: Path) -> Iterator[Callable[[int], None]]:
    """kill_at(n): the n-th file that gets its name below the test's folder does not get it, and all ends there."""
    left: list[int] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if left and event in ("os.rename", "os.link") and str(arguments[1]).startswith(str(tmp_path)):
            left[0] -= 1
            if left[0] == 0:
                left.clear()
                raise _KilledError

    sys.addaudithook(watch)  # cannot be taken away again, but sees nothing once ``left`` is empty
    yield lambda number: left.append(number)
    left.clear()


@pytest.mark.parametrize("file", [1, 2, 3, 4])
def test_a_run_that_is_killed_as_it_begins_is_none_and_begins_anew(
    file: int, tmp_path: Path, kill_at: Callable[[int], None]
) -> None:
    photos = smooth_pairs()
    kill_at(file)
    with pytest.raises(_KilledError):
        begun(quick(photos), photos, tmp_path)
    with pytest.raises(StartError, match="not a run folder that can be resumed"):
        read_run(tmp_path)
    begun(quick(photos), photos, tmp_path)
    assert_begins_with_the_start(tmp_path, photos)


def test_a_run_without_its_checkpoints_starts_over_from_its_start_model(tmp_path: Path) -> None:
    photos = smooth_pairs()
    begun(quick(photos), photos, tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    assert_begins_with_the_start(tmp_path, photos)


def test_a_training_does_not_take_the_start_model_of_a_killed_finetuning_for_its_own(
    tmp_path: Path, kill_at: Callable[[int], None]
) -> None:
    photos = smooth_pairs()
    kill_at(4)
    with pytest.raises(_KilledError):
        begun(quick(photos), photos, tmp_path)
    with pytest.raises(StartError, match=r"start\.safetensors of a finetuning that was stopped before its first save"):
        open_run(tmp_path, quick(photos))


def test_a_run_that_is_no_finetuning_is_neither_scored_nor_settled(tmp_path: Path) -> None:
    photos = smooth_pairs()
    config = quick(photos, iterations=2)
    open_run(tmp_path, config)
    records = list(train(Trainer(config, photos, None), tmp_path))
    assert isinstance(records[0], StepRecord)
    assert not any(isinstance(record, Settled) for record in records)
    assert not (tmp_path / START).exists()


# -- what it says of itself -----------------------------------------------------------------------------------------


def test_the_result_names_start_data_and_licence(tmp_path: Path) -> None:
    photos = smooth_pairs()
    words = with_origin(SPEC, "derain/compact", "", "our street")
    trainer = begun(replace(quick(photos), **words), photos, tmp_path)
    list(train(trainer, tmp_path))
    _, spec = load_checkpoint(tmp_path / "model.safetensors")
    assert spec.licence == "CC-BY-4.0"
    assert spec.trained_on == "coffee; finetuned on our street"
    assert spec.source == "dfrestore finetune of derain/compact"


def test_the_windows_of_the_start_model_stay(tmp_path: Path) -> None:
    spec = replace(SPEC, window="8@1")
    config = finetune_config("derain", spec, smooth_pairs(), QUICK)
    trainer = begun(config, smooth_pairs(), tmp_path)
    assert read_run(tmp_path).model.window == config.model.window == trainer.spec.window == "8@1"


def test_a_given_licence_takes_the_place_of_the_start_models() -> None:
    words = with_origin(replace(SPEC, trained_on=""), "x", "MIT", "streets")
    assert (words["licence"], words["trained_on"]) == ("MIT", "finetuned on streets")
    assert with_origin(SPEC, "x", "", "")["trained_on"] == "coffee"


# -- settings from the data -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pairs", "iterations", "rate", "every"), [(5, 400, 3e-5, 40), (50, 1500, 5e-5, 150), (5000, 8000, 1e-4, 500)]
)
def test_more_pairs_are_trained_on_longer_and_faster(pairs: int, iterations: int, rate: float, every: int) -> None:
    found = defaults(pairs, 480, 16)
    stage = found["stages"]["last"]
    assert (stage["iterations"], stage["lr"], found["validate_every"]) == (iterations, rate, every)
    assert stage["patches"] == [64, 128]
    assert stage["batches"] == [16, 4]
    assert iterations * (1 - found["optim"]["ema"]) > 7  # the average has left the start behind


@pytest.mark.parametrize(
    ("side", "multiple", "patches"),
    [(500, 8, [64, 128]), (100, 16, [64]), (63, 16, [48]), (40, 8, [40]), (12, 16, [16])],
)
def test_crops_fit_the_pictures_and_the_network(side: int, multiple: int, patches: list[int]) -> None:
    assert defaults(50, side, multiple)["stages"]["last"]["patches"] == patches


def test_what_follows_from_the_iterations_follows_given_ones() -> None:
    found = defaults(5, 480, 16, {"stages": {"last": {"iterations": 40, "lr": 1e-3, "patches": [32]}}})
    assert (found["stages"]["last"]["warmup"], found["validate_every"]) == (4, 4)
    assert found["stages"]["last"]["minima"] == [1e-5]
    assert found["stages"]["last"]["batches"] == [16]
    assert found["optim"]["ema"] == 0.75
    assert defaults(5, 480, 16, {"stages": {"last": {"patches": 128}}})["stages"]["last"]["batches"] == [4]


def test_a_schedule_fixed_by_time_is_averaged_over_its_own_length() -> None:
    config = quick(smooth_pairs(), iterations=100)
    longer = with_stage(config, "fine", iterations=1000)
    assert with_time(longer, {}).optim.ema == 0.99
    assert with_time(longer, {"optim": {"ema": 0.9}}).optim.ema == config.optim.ema


@pytest.mark.parametrize(("pairs", "held_out"), [(1, 0), (2, 1), (4, 1), (5, 1), (10, 2), (50, 10), (5000, 12)])
def test_a_fifth_is_held_out_at_least_one_at_most_twelve(pairs: int, held_out: int) -> None:
    picture = torch.zeros(3, 16, 16, dtype=torch.uint8)
    photos = Photos(tuple(map(str, range(pairs))), (picture,) * pairs, inputs=(picture,) * pairs)
    training, validation = photos.split(12, least=1)
    assert len(validation.names) == held_out
    assert len(training.names) == pairs - held_out
    assert not set(training.names) & set(validation.names)


# -- what does not fit ----------------------------------------------------------------------------------------------


def test_a_model_of_another_task_is_refused_with_both_named() -> None:
    with pytest.raises(StartError, match=r"own\.safetensors is a model for derain, not for deblur"):
        require_task(SPEC, "own.safetensors", "deblur")


def test_a_model_with_a_schedule_of_its_own_keeps_it(tmp_path: Path) -> None:
    sampling = {
        "prediction": "sample",
        "schedule": {"timesteps": 500, "betas": [1e-4, 1e-2]},
        "timesteps": {"1": [400]},
    }
    config = finetune_config("derain", replace(SPEC, sampling=sampling), smooth_pairs(), QUICK)
    trainer = begun(config, smooth_pairs(), tmp_path)
    assert read_run(tmp_path).model.sampling == sampling
    assert trainer.network.sampling.train_timesteps == 500
    assert trainer.network.sampling.timesteps == {1: (400,)}


def test_one_pair_is_refused_and_four_are_warned_of() -> None:
    photos = smooth_pairs()
    with pytest.raises(StartError, match="at least 2 pairs, better 5 and more: there is 1"):
        require_enough(few(photos, 1))
    require_enough(few(photos, 2))
    assert remarks(few(photos, 4), quick(photos)) == [
        "only 4 pairs: what is learnt from so few may not hold for others"
    ]
    assert remarks(few(photos, 5), quick(photos)) == []


def test_pictures_smaller_than_the_patch_are_told() -> None:
    photos = smooth_pairs()
    (line,) = remarks(photos, quick(photos, patches=[128]))
    assert line == "10 of 10 pairs are smaller than the patch of 128 pixels and are mirrored at their edges"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stages": {"fine": {"patches": [60]}}}, "multiples of 8"),
        ({"data": {"validation": 0}}, "at least one held out"),
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        finetune_config("derain", SPEC, smooth_pairs(), given)


# -- clean photos mixed in ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "drawn"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_a_share_of_each_batch_is_drawn_from_the_mixed_in_photos(share: float, drawn: int) -> None:
    black = torch.zeros(3, 64, 64, dtype=torch.uint8)
    white = Photos(("w",), (torch.full_like(black, 255),))
    photos = Photos(("a", "b"), (black, black), inputs=(black, black), mixed=white)
    config = quick(photos)
    mixed = replace(config.data, pairs=("p",), mix=("c",), mix_share=share)
    clean, degraded = draw_batch(photos, replace(config, data=mixed), 1, 0, lambda c, preset, generator: c * 0.5)
    assert (clean.amin((1, 2, 3)) == 1).sum() == drawn
    assert (degraded.amin((1, 2, 3)) > 0.3).sum() == drawn


def test_mixed_in_photos_are_not_judged_by() -> None:
    photos = replace(smooth_pairs(), mixed=smooth_photos())
    training, validation = photos.split(2)
    assert training.mixed is photos.mixed
    assert validation.mixed is None
