"""What DiffIR's stages and its diffusion are good for, at a small scale: super-resolution x4.

    python examples/diffir_study.py --clean photos/ --test Set14/ --out study/ [--minutes 10] [--jobs 2] [--only ARM]

Every arm gets the same time on one core, S1's part of it included. Stopped and started again it goes on.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import study
import torch
from numpy.typing import NDArray
from study import Arm, Counts, Scores, Study
from torch.nn.functional import pad

from dfrestore import Restorer, load_network
from dfrestore.degrade import KINDS
from dfrestore.evaluation import Case, Convention
from dfrestore.evaluation.cases import Picture, bicubic
from dfrestore.evaluation.made import open_degraded
from dfrestore.metrics import to_8bit
from dfrestore.photo.pairs import clean_pairs

Enlarge = Callable[[Case], Picture]
SCALE = 4
CONVENTION = Convention("y", border=SCALE, scale=SCALE)
ALL = (0.3, 0.1, 0.6)  # of the time: S1, the diffusion alone, both together
FALLING = {"periods": [0.5, 0.5], "minima": [1e-3, 1e-6]}
ONE_STEP = {"model.sampling.timesteps": 1, "model.default_steps": 1}
UPPER_BOUND = "s1"  # the arm that is shown the ground truth

# 0.92 M parameters, and 0.16 M of S1's CPEN. Loss, optimiser and rates are those of the model that ships. Its arms
# cost the same: a step of the diffusion, on a vector, takes nothing beside the rest.
COMMON = {
    "log_every": 1,
    "validate_every": 1000000,
    "data.validation": 1,
    "data.preset": f"x{SCALE}",
    "model.network.dim": 16,
    "model.network.blocks": [1, 1, 1, 1],
    "model.network.heads": [1, 2, 4, 8],
    "model.network.refinement": 1,
    "model.network.scale": SCALE,
    "model.network.prior_blocks": 1,
    "model.network.prior_features": 16,
    "model.sampling.timesteps": 4,
    "model.default_steps": 4,
    "optim.name": "muon",
    "optim.weight_decay": 0.0,
    "optim.ema": 0.99,
    **{f"stages.{stage}.lr": 1e-3 for stage in ("s1", "warm", "joint")},
    **{f"stages.{stage}.patches": [128] for stage in ("s1", "warm", "joint")},
    **{f"stages.{stage}.batches": [16] for stage in ("s1", "warm", "joint")},
    **{f"stages.{stage}.warmup": 50 for stage in ("s1", "joint")},
    **{f"stages.{stage}.loss": "psnr" for stage in ("s1", "joint")},
    "stages.s1.periods": [1.0],
    "stages.s1.minima": [1e-3],
    "stages.warm.periods": [1.0],
    "stages.warm.minima": [1e-4],
    **{f"stages.joint.{key}": value for key, value in FALLING.items()},
    "stages.joint.prior_weight": 1.0,
}
ARMS = {
    UPPER_BOUND: Arm(
        "S1, shown the ground truth (upper bound)",
        (1.0, 0.0, 0.0),
        {f"stages.s1.{key}": value for key, value in FALLING.items()},
        seeds=(1,),
    ),
    "joint": Arm("S1, then S2: all 4 steps jointly (the paper's)", ALL),
    "one-at-a-time": Arm("S1, then S2: one of 4 steps at a time", ALL, {"stages.joint.unroll": "one"}, seeds=(1,)),
    "one-step": Arm("S1, then S2: T = 1", ALL, ONE_STEP, seeds=(1,)),
    "no-diffusion": Arm("S1, then S2 without diffusion", ALL, {**ONE_STEP, "model.sampling.diffusion": False}),
    "no-s1": Arm("S2 alone, no S1", (0.0, 0.0, 1.0), {"stages.joint.prior_weight": 0.0}, seeds=(1,)),
}
STUDY = Study("upscale", "smoke-upscale", ("s1", "warm", "joint"), COMMON, ARMS, timed="joint")


def main() -> None:
    arguments = study.parse(STUDY, __doc__, "folder of clean pictures to measure on; small ones are made of them")
    baseline = score(lambda case: bicubic(case.photo, SCALE), arguments.test)  # first: an unusable folder shows now
    counts, scores = study.carry_out(STUDY, arguments, lambda key, run: score(model_of(key, run), arguments.test))
    study.show(table(scores, counts, baseline), arguments.out)
    plot(scores, baseline["psnr"], arguments.out / "diffir_study.png")


# -- measuring --------------------------------------------------------------------------------------------------------


def model_of(key: str, run: Path) -> Enlarge:
    if key == UPPER_BOUND:
        return shown_the_truth(run / "S1.safetensors")
    restorer = Restorer.from_pretrained("upscale", model=run / "model.safetensors", precision="fp32")
    return lambda case: to_8bit(restorer(case.photo.rgb))


def shown_the_truth(model: Path) -> Enlarge:
    """What S1 makes of the small picture, with the prior that it takes from the ground truth."""
    network, _ = load_network(model)

    def enlarge(case: Case) -> Picture:
        (height, width), whole = case.photo.size, network.multiple
        below, right = -height % whole, -width % whole
        lq = pad(planes(case.photo.rgb), (0, right, 0, below), mode="reflect")
        truth = case.target.astype(np.float32) / np.float32(255)
        gt = pad(planes(truth), (0, right * SCALE, 0, below * SCALE), mode="reflect")
        with torch.inference_mode():
            picture = network(lq, gt)[0, :, : height * SCALE, : width * SCALE]
        return to_8bit(picture.permute(1, 2, 0).numpy())

    return enlarge


def planes(rgb: NDArray[np.float32]) -> torch.Tensor:
    """(1, 3, H, W)"""
    return torch.from_numpy(rgb).permute(2, 0, 1)[None]


def score(enlarge: Enlarge, test: Path) -> dict[str, float]:
    """Mean PSNR (dB) and SSIM on Y, without a border of the scale, of the pictures in ``test``."""
    pairs = clean_pairs(test).pairs
    opened = open_degraded(KINDS["lowres"], f"x{SCALE}", {pair.name: seed for seed, pair in enumerate(pairs)})
    rows = [CONVENTION.measure(enlarge(case), case.target) for case in map(opened, pairs)]
    return {"psnr": statistics.mean(row.psnr for row in rows), "ssim": statistics.mean(row.ssim for row in rows)}


# -- showing ----------------------------------------------------------------------------------------------------------


def table(scores: Scores, counts: Counts, baseline: dict[str, float]) -> Iterable[str]:
    yield "| arm | iterations of S1 + diffusion alone + joint | PSNR, dB | SSIM |"
    yield "|---|---|---|---|"
    yield f"| bicubic | | {baseline['psnr']:.2f} | {baseline['ssim']:.4f} |"
    for key, rows in study.measured_arms(STUDY, scores).items():
        psnr, ssim = (" / ".join(f"{row[what]:.{n}f}" for row in rows) for what, n in (("psnr", 2), ("ssim", 4)))
        yield f"| {ARMS[key].name} | {' + '.join(map(str, counts[key]))} | {psnr} | {ssim} |"


def plot(scores: Scores, baseline: float, path: Path) -> None:
    """PSNR of every arm, and of bicubic enlargement. Arms of one seed have one S1: only they compare closely."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    arms = study.measured_arms(STUDY, scores)
    figure, axis = pyplot.subplots(figsize=(9, 0.5 * len(arms) + 1.5))
    for seed, marker in ((1, "o"), (2, "x")):
        found = {ARMS[key].name: scores[f"{key}-{seed}"]["psnr"] for key in arms if f"{key}-{seed}" in scores}
        if found:
            axis.plot(list(found.values()), list(found), marker, markersize=9, label=f"seed {seed}")
    axis.axvline(baseline, color="grey", linestyle="--", label="bicubic")
    axis.set(xlabel="PSNR on Y, dB", title=f"Super-resolution x{SCALE}, equal training time")
    axis.grid(axis="x", alpha=0.4)
    axis.invert_yaxis()
    axis.margins(0.06, 0.1)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
