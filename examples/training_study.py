"""The paper's trends at a small scale: trains every arm, measures it, and writes a table and a plot.

    python examples/training_study.py --clean photos/ --test Rain100L/ --out study/ [--minutes 10] [--jobs 2]

Every arm gets the same time on one core. What its iterations cost is measured first, so that the schedules do not
depend on what else the machine does while it trains. Stopped and started again it goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.filters import prewitt_h, prewitt_v

from dfrestore import Restorer
from dfrestore.metrics import psnr_y, ssim_y, to_8bit
from dfrestore.metrics.luma import luma
from dfrestore.photo import read
from dfrestore.photo.pairs import find_pairs

SEEDS = (1, 2)
PROBE = 24  # iterations of each stage whose time is measured
STEPS = (1, 2, 4)
MANY_STEPS = (1, 2, 4, 10, 25)

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


@dataclass(frozen=True)
class Arm:
    """name: one line of the table. coarse_share: the coarse stage's part of the time."""

    name: str
    coarse_share: float
    settings: dict[str, object]
    steps: tuple[int, ...] = STEPS


ARMS = {
    "eps-coarse-fine": Arm("epsilon, coarse then fine (the paper's)", 0.5, {}),
    "eps-coarse": Arm("epsilon, coarse only", 1.0, {}, MANY_STEPS),
    "eps-no-time": Arm("epsilon, coarse then fine, no time embedding", 0.5, {"model.network.time_embedding": False}),
    "eps-fixed-patch": Arm("epsilon, coarse then fine, fixed patch of 64", 0.5, FIXED_PATCH),
    "sample-coarse-fine": Arm("sample, coarse then fine", 0.5, SAMPLE),
    "sample-coarse": Arm("sample, coarse only", 1.0, SAMPLE, MANY_STEPS),
    "sample-one-step": Arm("sample, short coarse, fine mostly on one step", 0.15, ONE_STEP),
    "sample-one-step-ssim": Arm(
        "the same, fine loss 0.84 (1 - SSIM) + 0.16 L1", 0.15, {**ONE_STEP, "fine.loss": "ssim"}
    ),
}


def main() -> None:
    arguments = parse()
    arguments.out.mkdir(parents=True, exist_ok=True)
    plan_file, scores_file = arguments.out / "plan.json", arguments.out / "scores.json"
    if not plan_file.exists():
        plan_file.write_text(json.dumps(plan(arguments), indent=1))
    counts = json.loads(plan_file.read_text())
    runs = [(key, seed) for seed in SEEDS for key in ARMS]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda run: train(arguments, *run, counts[run[0]]), runs))
    scores = json.loads(scores_file.read_text()) if scores_file.exists() else {}
    for key, seed in runs:
        name = f"{key}-{seed}"
        if name not in scores:
            model = arguments.out / name / "model.safetensors"
            scores[name] = {n: score(model, arguments.test, n) for n in ARMS[key].steps}
            scores_file.write_text(json.dumps(scores, indent=1))
    scores = json.loads(scores_file.read_text())
    print("\n".join(table(scores, counts)))
    plot(scores, arguments.out / "training_study.png")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clean", type=Path, required=True, help="folder of clean photos to train on")
    parser.add_argument("--test", type=Path, required=True, help="folder of pairs to measure on (input/, target/)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs, the table and the plot")
    parser.add_argument("--minutes", type=float, default=10, help="training time of an arm on one core")
    parser.add_argument("--jobs", type=int, default=2, help="arms trained at once, each on one core")
    return parser.parse_args()


# -- training ---------------------------------------------------------------------------------------------------------


def plan(arguments: argparse.Namespace) -> dict[str, tuple[int, int]]:
    """Arm -> (coarse, fine) iterations that fill the time, from the measured cost of each."""

    def measured(item: tuple[str, Arm]) -> tuple[str, tuple[int, int]]:
        key, arm = item
        coarse, fine = seconds_of_an_iteration(arguments, key, arm)
        total = 60 * arguments.minutes
        return key, (round(arm.coarse_share * total / coarse), round((1 - arm.coarse_share) * total / fine))

    with ThreadPoolExecutor(arguments.jobs) as pool:
        return dict(pool.map(measured, ARMS.items()))


def seconds_of_an_iteration(arguments: argparse.Namespace, key: str, arm: Arm) -> tuple[float, float]:
    """Mean over the patch sizes of the median time, of the coarse and of the fine stage."""
    run = arguments.out / f"probe-{key}"
    settings = {**arm.settings, "coarse.patch_period": 2, "fine.patch_period": 2}
    launch(arguments.clean, run, settings, seed=0, counts=(PROBE, PROBE))
    found: dict[str, dict[int, list[float]]] = {"coarse": {}, "fine": {}}
    for line in (run / "log.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record.get("iteration", 0) > 6:
            found[record["stage"]].setdefault(record["patch"], []).append(record["seconds"])
    coarse, fine = (
        statistics.mean(statistics.mean(sorted(times)[: max(1, len(times) * 3 // 4)]) for times in sizes.values())
        for sizes in (found["coarse"], found["fine"])
    )
    return coarse, fine


def train(arguments: argparse.Namespace, key: str, seed: int, counts: tuple[int, int]) -> None:
    run = arguments.out / f"{key}-{seed}"
    if not (run / "RESULT.json").exists():
        settings = dict(ARMS[key].settings)
        launch(arguments.clean, run, settings, seed, counts, resume=(run / "checkpoints").exists())
        print(f"trained {run.name}", file=sys.stderr, flush=True)


def launch(
    clean: Path,
    run: Path,
    settings: dict[str, object],
    seed: int,
    counts: tuple[int, int],
    resume: bool = False,
) -> None:
    command = [sys.executable, "-m", "dfrestore", "train"]
    if resume:
        command += ["--resume", str(run)]
    else:
        values = {**COMMON, **settings, "seed": seed}
        values |= {"coarse.iterations": counts[0], "fine.iterations": counts[1]}
        command += ["derain", "--preset", "smoke", "--clean", str(clean), "--run", str(run)]
        command += [part for key, value in values.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    command += ["--threads", "1", "--quiet"]
    subprocess.run(command, check=True)


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


def table(scores: dict[str, dict[str, dict[str, float]]], counts: dict[str, list[int]]) -> Iterable[str]:
    yield "| arm | iterations | 1 step | 2 steps | 4 steps | SSIM, 4 | GMSD, 4 |"
    yield "|---|---|---|---|---|---|---|"
    for key, arm in ARMS.items():
        cells = [both(scores, key, str(n), "psnr", 2) for n in STEPS]
        cells += [both(scores, key, "4", "ssim", 3), both(scores, key, "4", "gmsd", 4)]
        yield f"| {arm.name} | {counts[key][0]} + {counts[key][1]} | " + " | ".join(cells) + " |"


def both(scores: dict[str, dict[str, dict[str, float]]], key: str, steps: str, what: str, digits: int) -> str:
    return " / ".join(f"{row[steps][what]:.{digits}f}" for row in of_arm(scores, key))


def of_arm(scores: dict[str, dict[str, dict[str, float]]], key: str) -> list[dict[str, dict[str, float]]]:
    """An arm's scores, of each seed that has been measured."""
    return [scores[f"{key}-{seed}"] for seed in SEEDS if f"{key}-{seed}" in scores]


def plot(scores: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    """PSNR of every arm in 4 steps, and PSNR and GMSD against the number of steps after the coarse stage."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(15, 4.5), width_ratios=(1.3, 1, 1))
    best = [[max(row["psnr"] for row in rows.values()) for rows in of_arm(scores, key)] for key in ARMS]
    left.barh(list(ARMS), [statistics.mean(values) for values in best], color="#9ab")
    for key, values in zip(ARMS, best, strict=True):
        left.plot(values, [key] * len(values), "k.")
    left.set(xlabel="PSNR on Y, dB, at the best of its step counts (dots: seeds)", title="Equal training time")
    left.set_xlim(left=min(map(min, best)) - 1)
    left.invert_yaxis()
    for axis, what in ((middle, "psnr"), (right, "gmsd")):
        for key, colour in (("eps-coarse", "C0"), ("sample-coarse", "C1")):
            for rows in of_arm(scores, key):
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
