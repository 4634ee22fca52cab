"""What the parts of DTPM are good for, at a small scale: falling snow is taken out of photos.

    python examples/dtpm_study.py --clean photos/ --test Set14/ --out study/ [--minutes 10] [--jobs 2] [--only ARM]

The texture priors are trained first, each for the time of an arm; the arms then get the same time on one core each.
Stopped and started again it goes on. (Paper, Table 6.)
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path

import study
from study import Arm, Counts, Scores, Study

from dfrestore import Restorer
from dfrestore.degrade import KINDS
from dfrestore.evaluation import Convention
from dfrestore.evaluation.cases import Case, Picture
from dfrestore.evaluation.made import open_degraded
from dfrestore.metrics import to_8bit
from dfrestore.photo.pairs import clean_pairs

CONVENTION = Convention("rgb")
STEPS = (1, 4)
PRESET = "bench"  # of snow, for measuring

# A denoiser of 0.72 M parameters, predictor and adapters of 0.12 M together. Loss, optimiser and rates are those of the
# models that ship: they predict the residual itself, and are trained for their result in one step.
COMMON = {
    "log_every": 1,
    "validate_every": 1000000,
    "data.validation": 1,
    "model.network.width": 20,
    "model.network.encoder": [1, 1, 1],
    "model.network.middle": 2,
    "model.network.decoder": [1, 1, 1],
    "model.network.time_features": 32,
    "model.network.semantic": "none",
    "model.network.semantic_features": 32,
    **{f"stages.{stage}.lr": 2e-3 for stage in ("prior", "adapt")},
    **{f"stages.{stage}.periods": [0.5, 0.5] for stage in ("prior", "adapt")},
    **{f"stages.{stage}.minima": [2e-3, 1e-6] for stage in ("prior", "adapt")},
    **{f"stages.{stage}.patches": [128] for stage in ("prior", "adapt")},
    **{f"stages.{stage}.batches": [12] for stage in ("prior", "adapt")},
    **{f"stages.{stage}.warmup": 50 for stage in ("prior", "adapt")},
    "optim.ema": 0.99,
}
TASK = {
    "model.network.predictor_width": 16,
    "model.network.predictor_encoder": [1, 1],
    "model.network.predictor_middle": 1,
    "model.network.predictor_decoder": [1, 1],
    "stages.adapt.trained": "adapters",
    "stages.adapt.aux_weight": 0.5,
}
NOTHING, ADAPT = (1.0, 0.0), (0.0, 1.0)  # of the time: the prior, and what is trained on it


def _prior(semantic: str) -> Arm:
    settings = {"model.network.semantic": semantic}
    return Arm(f"texture prior, {semantic}", NOTHING, settings, (1,), task="texture", preset="smoke-texture")


def _without_adapters(trained: str, name: str) -> Arm:
    settings = {**TASK, "model.network.adapters": False, "stages.adapt.trained": trained}
    return Arm(name, ADAPT, settings, seeds=(1,), base="prior")


ARMS = {
    "prior": _prior("none"),
    "prior-null": _prior("null"),
    "prior-tiny": _prior("tiny"),
    "full": Arm("predictor and adapters on the prior (the paper's form)", ADAPT, TASK, base="prior"),
    "no-prior": Arm("no stage I: everything trained from nothing", ADAPT, {**TASK, "stages.adapt.trained": "all"}),
    "no-predictor": Arm(
        "no predictor", ADAPT, {**TASK, "model.network.predictor": False, "stages.adapt.aux_weight": 0.0}, (1,), "prior"
    ),
    "encoder": _without_adapters("encoder", "no adapters, the encoder trained"),
    "decoder": _without_adapters("decoder", "no adapters, the decoder trained"),
    "both": _without_adapters("both", "no adapters, both trained"),
    "null": Arm(
        "semantic code: one learnt vector", ADAPT, {**TASK, "model.network.semantic": "null"}, (1,), "prior-null"
    ),
    "tiny": Arm("semantic code: a tiny encoder", ADAPT, {**TASK, "model.network.semantic": "tiny"}, (1,), "prior-tiny"),
}
STUDY = Study("desnow", "smoke-dtpm", ("prior", "adapt"), COMMON, ARMS)


def main() -> None:
    arguments = study.parse(STUDY, __doc__, "folder of clean pictures to measure on; snow is drawn onto them")
    counts, scores = study.carry_out(STUDY, arguments, lambda key, run: score(key, run, arguments.test))
    study.show(table(scores, counts, baseline(arguments.test)), arguments.out)


# -- measuring --------------------------------------------------------------------------------------------------------


def cases(test: Path) -> Iterable[Case]:
    """The pictures of a folder in drawn snow; the seed of each is its place."""
    pairs = clean_pairs(test).pairs
    return map(open_degraded(KINDS["snow"], PRESET, {pair.name: seed for seed, pair in enumerate(pairs)}), pairs)


def score(key: str, run: Path, test: Path) -> dict[str, dict[str, float]]:
    """Mean PSNR (dB) and SSIM for each step count; nothing for a prior, which takes no snow away."""
    if ARMS[key].task:
        return {}
    restorer = Restorer.from_pretrained("desnow", model=run / "model.safetensors", base=base_of(key, run))
    return {str(n): mean([(to_8bit(restorer(c.photo.rgb, steps=n)), c) for c in cases(test)]) for n in STEPS}


def base_of(key: str, run: Path) -> Path | None:
    return run.parent / f"{ARMS[key].base}-1" / "model.safetensors" if ARMS[key].base else None


def baseline(test: Path) -> dict[str, float]:
    return mean((to_8bit(case.photo.rgb), case) for case in cases(test))


def mean(made: Iterable[tuple[Picture, Case]]) -> dict[str, float]:
    rows = [CONVENTION.measure(picture, case.target) for picture, case in made]
    return {"psnr": statistics.mean(row.psnr for row in rows), "ssim": statistics.mean(row.ssim for row in rows)}


# -- showing ----------------------------------------------------------------------------------------------------------


def table(scores: Scores, counts: Counts, before: dict[str, float]) -> Iterable[str]:
    yield "| arm | iterations | PSNR, dB, 1 step | 4 steps | SSIM, 1 step |"
    yield "|---|---|---|---|---|"
    yield f"| in snow | | {before['psnr']:.2f} | | {before['ssim']:.4f} |"
    for key, rows in study.measured_arms(STUDY, scores).items():
        if ARMS[key].task:
            continue
        cells = [" / ".join(f"{row[n]['psnr']:.2f}" for row in rows) for n in map(str, STEPS)]
        ssim = " / ".join(f"{row['1']['ssim']:.4f}" for row in rows)
        yield f"| {ARMS[key].name} | {sum(counts[key])} | {' | '.join(cells)} | {ssim} |"


if __name__ == "__main__":
    main()
