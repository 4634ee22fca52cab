"""The settings of DTPM: their plain form, their checks, and the sizes that the facts count."""

from __future__ import annotations

from typing import Any

import pytest

from dfrestore.methods import METHODS
from dfrestore.methods.dtpm import DTPM, DTPMConfig, DTPMSampling
from dfrestore.training.settings import load_preset

COMPACT_C: dict[str, Any] = {
    "width": 32,
    "encoder": (2, 2, 2),
    "decoder": (2, 2, 2),
    "time_features": 128,
    "semantic_features": 128,
    "predictor_width": 24,
}


@pytest.mark.parametrize(
    ("config", "denoiser", "adapters", "predictor"),
    [({}, 2_543_619, 102_188, 288_691), (COMPACT_C, 4_907_779, 189_920, 640_011)],
    ids=["compact A", "compact C"],
)
def test_sizes_are_those_of_the_facts(config: dict[str, Any], denoiser: int, adapters: int, predictor: int) -> None:
    network = DTPM(DTPMConfig(**config, predictor=True, adapters=True))
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert count["adapters"] == adapters
    assert count["predictor"] == predictor
    # the facts count the semantic branch's linear layer and its learnt code with the denoiser, or leave the code out
    assert count["denoiser"] + count["semantic"] in (denoiser, denoiser + 512)


def test_plain_values_are_read_back() -> None:
    config = DTPMConfig(encoder=(1, 2), decoder=(2, 1), semantic="tiny", predictor=True, condition="predictor")
    assert DTPMConfig.from_mapping(config.to_mapping()) == config
    sampling = DTPMSampling("sample", residual_scale=2.0, grid="weather", gamma="continuous", timesteps={2: (999, 9)})
    assert DTPMSampling.from_mapping(sampling.to_mapping()) == sampling


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"widht": 3}, "unknown setting 'widht' of a dtpm network"),
        ({"width": 2}, "width 2 is not from 4 to 512"),
        ({"encoder": [1, 1]}, "do not have as many levels"),
        ({"stem": 3}, "stem 3 is not 1, 2 or 4"),
        ({"semantic": "resnet"}, "semantic 'resnet' is not one of"),
        ({"condition": "clean"}, "condition 'clean' is not one of"),
        ({"adapter_ratio": 0.0}, "adapter_ratio 0.0 is not above 0"),
        ({"middle": 65}, "from 0 to 64 blocks"),
        ({"predictor": 1}, "predictor 1 is neither true nor false"),
    ],
)
def test_impossible_networks_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DTPMConfig.from_mapping(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 3}, "unknown setting 'steps' of dtpm's sampling"),
        ({"prediction": "v"}, "prediction 'v' is not one of"),
        ({"residual_scale": 0}, "residual_scale 0 is not a number above 0"),
        ({"grid": "odd"}, "grid 'odd' is not one of"),
        ({"gamma": "none"}, "gamma 'none' is not one of"),
        ({"timesteps": {"2": [1, 2]}}, "not 2 falling values"),
    ],
)
def test_impossible_samplings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DTPMSampling.from_mapping(values)


@pytest.mark.parametrize("steps", [0, 1001])
def test_step_counts_have_a_range(steps: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 1000"):
        DTPMSampling().points(steps)


@pytest.mark.parametrize("task", ["deblur", "defocus", "desnow", "raindrop", "dehaze"])
def test_the_papers_stage_two_is_the_papers(task: str) -> None:
    config = load_preset(f"paper-dtpm-{task}", task)
    stage = config.stages["adapt"]
    assert (stage.iterations, stage.lr, stage.patches, stage.batches) == (600_000, 1.5e-4, (256,), (16,))
    assert (stage.periods, stage.minima) == ((1.0,), (1e-7,))
    assert config.optim.name == "adamw"
    assert (config.optim.betas, config.optim.ema, config.optim.clip) == ((0.9, 0.999), 0.999, 1.0)
    assert (config.optim.weight_decay, config.model.default_steps) == (0.0, 4)
    own: Any = stage.own
    assert (own.objective, own.norm, own.aux_weight, own.trained) == ("noise", "l1", 0.0, "adapters")
    network = DTPMConfig.from_mapping(config.model.network)
    assert (network.semantic, network.condition, network.stem) == ("resnet18", "degraded", 1)
    assert DTPMSampling.from_mapping(config.model.sampling) == DTPMSampling()


def test_the_papers_stage_one_is_the_papers_and_fits_stage_two() -> None:
    config = load_preset("paper-dtpm-prior", "texture")
    stage = config.stages["prior"]
    assert (stage.iterations, stage.lr, stage.patches, stage.batches) == (800_000, 1.5e-4, (256,), (16,))
    task = load_preset("paper-dtpm-desnow", "desnow").model
    assert {key: task.network[key] for key in config.model.network} == config.model.network
    assert METHODS["dtpm"].finetunes == "adapt"


@pytest.mark.parametrize("task", ["dehaze", "desnow", "raindrop", "defocus"])
def test_the_shipped_tasks_are_on_the_shipped_prior(task: str) -> None:
    prior, config = load_preset("dtpm-compact-prior", "texture"), load_preset(f"dtpm-compact-{task}", task)
    assert {key: config.model.network[key] for key in prior.model.network} == prior.model.network
    assert config.model.sampling == prior.model.sampling
    network = DTPM(DTPMConfig.from_mapping(config.model.network))
    of_task = sum(p.numel() for name, p in network.named_parameters() if not name.startswith("denoiser."))
    assert 2 * of_task < 2e6  # bytes in bf16
    assert 2 * sum(p.numel() for p in network.denoiser.parameters()) < 6e6
