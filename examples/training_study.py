"""The paper's trends at a small scale: trains every arm, measures it, and writes a table and a plot.

    python examples/training_study.py --clean photos/ --test Rain100L/ --out study/ [--minutes 10] [--jobs 2]

Every arm gets the same time on one core. What its iterations cost is measured first, so that the schedules do not
depend on what else the machine does while it trains. Stopped and started again it goes on.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import study
from numpy.typing import NDArray
from skimage.filters import prewitt_h, prewitt_v
from study import Arm, Counts, Scores, Study

from dfrestore import Restorer
from dfrestore.metrics import psnr_y, ssim_y, to_8bit
from dfrestore.metrics.luma import luma
from dfrestore.photo import read
from dfrestore.photo.pairs import find_pairs

STEPS = (1, 2, 4)
MANY_STEPS = (1, 2, 4, 10, 25)
WITH_MANY_STEPS = ("eps-coarse", "sample-coarse")

# 0.78 M parameters on a half-resolution stem. Rates, cycles and shares follow the paper's deraining schedule:
# three quarters of the iterations coarse, patches from small to large with batches of equal area.
COMMON = {
    "log_every": 1,
    "validate_every": 1000000,
    "data.validation": 1,
    "model.network.dim": 16,
    "model.network.blocks": [1, 1, 1, 1],
    "model.network.heads": [1, 2, 4, 8],
    "model.network.stem": 2,
    "model.prediction": "epsilon",
    "model.default_steps": 4,
    "coarse.lr": 1e-3,
    "coarse.periods": [0.2, 0.8],
    "coarse.minima": [1e-3, 1e-4],
    "coarse.warmup": 50,
    "fine.lr": 5e-4,
    "fine.periods": [0.2, 0.8],
    "fine.minima": [5e-4, 1e-6],
    "fine.steps": [4],
    "fine.loss": "l1",
    **{f"{stage}.patches": [32, 64, 128] for stage in ("coarse", "fine")},
    **{f"{stage}.batches": [64, 16, 4] for stage in ("coarse", "fine")},
}
FIXED_PATCH = {
    **{f"{stage}.patches": [64] for stage in ("coarse", "fine")},
    **{f"{stage}.batches": [16] for stage in ("coarse", "fine")},
}
SAMPLE = {"model.prediction": "sample"}
ONE_STEP = {**SAMPLE, "model.default_steps": 1, "fine.steps": [1, 1, 1, 1, 1, 1, 2, 4]}


ARMS = {
    "eps-coarse-fine": Arm("epsilon, coarse then fine (the paper's)", (0.5, 0.5)),
    "eps-coarse": Arm("epsilon, coarse only", (1.0, 0.0)),
    "eps-no-time": Arm(
        "epsilon, coarse then fine, no time embedding", (0.5, 0.5), {"model.network.time_embedding": False}
    ),
    "eps-fixed-patch": Arm("epsilon, coarse then fine, fixed patch of 64", (0.5, 0.5), FIXED_PATCH),
    "sample-coarse-fine": Arm("sample, coarse then fine", (0.5, 0.5), SAMPLE),
    "sample-coarse": Arm("sample, coarse only", (1.0, 0.0), SAMPLE),
    "sample-one-step": Arm("sample, short coarse, fine mostly on one step", (0.15, 0.85), ONE_STEP),
    "sample-one-step-ssim": Arm(
        "the same, fine loss 0.84 (1 - SSIM) + 0.16 L1", (0.15, 0.85), {**ONE_STEP, "fine.loss": "ssim"}
    ),
}
STUDY = Study("derain", "smoke", ("coarse", "fine"), COMMON, ARMS)


def main() -> None:
    arguments = study.parse(STUDY, __doc__, "folder of pairs to measure on (input/, target/)")

    def scored(key: str, run: Path) -> dict[int, dict[str, float]]:
        steps = MANY_STEPS if key in WITH_MANY_STEPS else STEPS
        return {n: score(run / "model.safetensors", arguments.test, n) for n in steps}

    counts, scores = study.carry_out(STUDY, arguments, scored)
    study.show(table(scores, counts), arguments.out)
    plot(scores, arguments.out / "training_study.png")


# -- measuring --------------------------------------------------------------------------------------------------------


def score(model: Path, test: Path, steps: int) -> dict[str, float]:
    """Mean PSNR and SSIM on Y (dB, 1) and GMSD (lower is better) of the model's restorations."""
    restorer = Restorer.from_pretrained("derain", model=model, precision="fp32")
    rows = []
    for pair in find_pairs(test).pairs:
        target = to_8bit(read(pair.target).rgb)
        restored = to_8bit(restorer(read(pair.input).rgb, steps=steps))
        rows.append((psnr_y(restored, target), ssim_y(restored, target), gmsd(luma(restored), luma(target))))
    psnr, ssim, deviation = np.mean(rows, axis=0)
    return {"psnr": float(psnr), "ssim": float(ssim), "gmsd": float(deviation)}


def gmsd(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Gradient magnitude similarity deviation (Xue et al., TIP 2014) of two lumas 0..255: 0 for equal pictures."""

    def gradient(x: NDArray[np.float64]) -> NDArray[np.float64]:
        rows, columns = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
        halved = x[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))
        magnitude: NDArray[np.float64] = np.hypot(prewitt_h(halved), prewitt_v(halved))
        return magnitude

    p, q = gradient(a), gradient(b)
    return float(((2 * p * q + 170) / (p * p + q * q + 170)).std())


# -- showing ----------------------------------------------------------------------------------------------------------


def table(scores: Scores, counts: Counts) -> Iterable[str]:
    yield "| arm | iterations | 1 step | 2 steps | 4 steps | SSIM, 4 | GMSD, 4 |"
    yield "|---|---|---|---|---|---|---|"
    for key, rows in study.measured_arms(STUDY, scores).items():
        cells = [both(rows, str(n), "psnr", 2) for n in STEPS]
        cells += [both(rows, "4", "ssim", 3), both(rows, "4", "gmsd", 4)]
        yield f"| {ARMS[key].name} | {counts[key][0]} + {counts[key][1]} | " + " | ".join(cells) + " |"


def both(rows: list[dict[str, dict[str, float]]], steps: str, what: str, digits: int) -> str:
    return " / ".join(f"{row[steps][what]:.{digits}f}" for row in rows)


def plot(scores: Scores, path: Path) -> None:
    """PSNR of every arm in 4 steps, and PSNR and GMSD against the number of steps after the coarse stage."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(15, 4.5), width_ratios=(1.3, 1, 1))
    arms = study.measured_arms(STUDY, scores)
    best = [[max(row["psnr"] for row in rows.values()) for rows in seeds] for seeds in arms.values()]
    left.barh(list(arms), [statistics.mean(values) for values in best], color="#9ab")
    for key, values in zip(arms, best, strict=True):
        left.plot(values, [key] * len(values), "k.")
    left.set(xlabel="PSNR on Y, dB, at the best of its step counts (dots: seeds)", title="Equal training time")
    left.set_xlim(left=min(map(min, best)) - 1)
    left.invert_yaxis()
    for axis, what in ((middle, "psnr"), (right, "gmsd")):
        for key, colour in zip(WITH_MANY_STEPS, ("C0", "C1"), strict=True):
            for rows in arms.get(key, []):
                axis.plot([int(n) for n in rows], [row[what] for row in rows.values()], "o-", color=colour, label=key)
        axis.set(xscale="log", xlabel="sampling steps, after the coarse stage", xticks=MANY_STEPS)
        axis.set_xticklabels([str(n) for n in MANY_STEPS])
        axis.minorticks_off()
    middle.set_title("PSNR on Y, dB")
    right.set_title("GMSD (lower is better)")
    handles, labels = middle.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    middle.legend(unique.values(), unique.keys())
    figure.tight_layout()
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
