"""What the studies of this folder share: arms that are trained for the same time on one core each, and measured.

What the iterations of each arm cost is measured first, so that the schedules do not depend on what else the machine
does while it trains. The folder ``--out`` holds all that is done: stopped and started again, a study goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dfrestore.files import atomic_file

PROBE = 24  # iterations of each stage whose time is measured
WARM = 6  # of them that do not count
Settings = Mapping[str, object]
Counts = Mapping[str, list[int]]  # arm -> iterations of each stage
Scores = Mapping[str, Any]  # ARM-SEED -> what was measured


@dataclass(frozen=True)
class Arm:
    """One way to train, and one line of the table.

    shares: of the time, for each stage of the study, together 1. settings: as of ``dfrestore train --set``, on top of
    the study's own. base: the arm whose model this one builds on, of the same seed, or of its only one. task, preset:
    where they are not the study's.
    """

    name: str
    shares: tuple[float, ...]
    settings: Settings = field(default_factory=dict)
    seeds: tuple[int, ...] = (1, 2)
    base: str = ""
    task: str = ""
    preset: str = ""


@dataclass(frozen=True)
class Study:
    """stages: those of the method that the arms train. common: settings of all arms.

    timed: the arm whose iterations are measured for all, where they cost the same, so that arms that share a stage
    train it alike; empty: each is measured.
    """

    task: str
    preset: str
    stages: tuple[str, ...]
    common: Settings
    arms: Mapping[str, Arm]
    timed: str = ""

    def settings(self, key: str, seed: int, counts: Iterable[int]) -> dict[str, object]:
        """All settings of a run of the arm ``key``; counts: iterations of each stage."""
        iterations = {f"stages.{stage}.iterations": n for stage, n in zip(self.stages, counts, strict=True)}
        return {**self.common, **self.arms[key].settings, "seed": seed, **iterations}


def parse(study: Study, about: str | None, test: str) -> argparse.Namespace:
    """The options of a study; test: what the folder ``--test`` holds."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0] if about else None)
    parser.add_argument("--clean", type=Path, required=True, help="folder of clean photos to train on")
    parser.add_argument("--test", type=Path, required=True, help=test)
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs, the table and the plot")
    parser.add_argument(
        "--minutes", type=float, default=10, help="training time of an arm on one core, from its first start"
    )
    parser.add_argument("--jobs", type=int, default=2, help="arms trained at once, each on one core")
    parser.add_argument("--only", action="append", choices=study.arms, help="train this arm alone; may be repeated")
    return parser.parse_args()


def carry_out(
    study: Study, arguments: argparse.Namespace, score: Callable[[str, Path], object]
) -> tuple[Counts, Scores]:
    """Train and measure what is not yet done. score: of an arm's key and one of its run folders, plain JSON values."""
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    keys = arguments.only or list(study.arms)
    counts = plan(study, arguments, keys)
    seeds = sorted({seed for key in keys for seed in study.arms[key].seeds})
    runs = [(key, seed) for seed in seeds for key in keys if seed in study.arms[key].seeds]

    def train_one(run: tuple[str, int]) -> None:
        key, seed = run
        train(study, key, arguments.clean, out / f"{key}-{seed}", study.settings(key, seed, counts[key]), seed)

    with ThreadPoolExecutor(arguments.jobs) as pool:
        for based in (False, True):  # first what others build on
            list(pool.map(train_one, (run for run in runs if bool(study.arms[run[0]].base) == based)))
    scores = read(out / "scores.json")
    for key, seed in runs:
        name = f"{key}-{seed}"
        if name not in scores:
            scores[name] = score(key, out / name)
            write(out / "scores.json", scores)
    return counts, read(out / "scores.json")  # as they are read, also those that were just measured


# -- training ---------------------------------------------------------------------------------------------------------


def plan(study: Study, arguments: argparse.Namespace, keys: Iterable[str]) -> Counts:
    """The iterations that fill the time, from the measured cost of each; those of earlier starts stay."""
    file = arguments.out / "plan.json"
    counts = read(file)
    timed = {key: study.timed or key for key in keys if key not in counts}
    names = list(dict.fromkeys(timed.values()))
    costs: dict[str, dict[str, float]] = {}
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for based in (False, True):
            those = [name for name in names if bool(study.arms[name].base) == based]
            found = pool.map(lambda name: seconds_of_an_iteration(study, arguments, name), those)
            costs |= zip(those, found, strict=True)
    for key, name in timed.items():
        shares, time = zip(study.stages, study.arms[key].shares, strict=True), 60 * arguments.minutes
        counts[key] = [max(1, round(share * time / costs[name][stage])) if share else 0 for stage, share in shares]
    write(file, counts)
    return counts


def seconds_of_an_iteration(study: Study, arguments: argparse.Namespace, key: str) -> dict[str, float]:
    """Of each stage that the arm trains, the mean over its patch sizes."""
    run = arguments.out / f"probe-{key}"
    each = {f"stages.{stage}.patch_period": 2 for stage in study.stages}  # all patch sizes, soon
    settings = study.settings(key, 0, [PROBE if share else 0 for share in study.arms[key].shares])
    train(study, key, arguments.clean, run, {**settings, **each})
    found: dict[str, dict[int, list[float]]] = {}
    for line in (run / "log.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record.get("iteration", 0) > WARM:
            found.setdefault(record["stage"], {}).setdefault(record["patch"], []).append(record["seconds"])
    usual = {stage: [statistics.mean(fastest(times)) for times in sizes.values()] for stage, sizes in found.items()}
    return {stage: statistics.mean(times) for stage, times in usual.items()}


def fastest(times: list[float]) -> list[float]:
    """Three quarters of them: the rest was held up by something else."""
    return sorted(times)[: max(1, len(times) * 3 // 4)]


def train(study: Study, key: str, clean: Path, run: Path, settings: Settings, seed: int = 0) -> None:
    """Make this run of the arm ``key``, or go on with it; seed: 0 for a probe."""
    arm = study.arms[key]
    if (run / "RESULT.json").exists():
        return
    command = [sys.executable, "-m", "dfrestore", "train"]
    if (run / "config.toml").exists():
        command += ["--resume", str(run)]
    else:
        command += [arm.task or study.task, "--preset", arm.preset or study.preset]
        command += ["--clean", str(clean), "--run", str(run)]
        if arm.base:
            below = seed if seed in study.arms[arm.base].seeds else study.arms[arm.base].seeds[0]
            name = f"{arm.base}-{below}" if seed else f"probe-{arm.base}"
            command += ["--base", str(run.parent / name / "model.safetensors")]
        command += [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    command += ["--threads", "1", "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # where it names the model
    print(f"trained {run.name}", file=sys.stderr, flush=True)


# -- showing ----------------------------------------------------------------------------------------------------------


def show(table: Iterable[str], out: Path) -> None:
    """Print a table, and keep it in ``out``."""
    text = "\n".join(table)
    print(text)
    (out / "table.md").write_text(text + "\n", encoding="utf-8")


def measured_arms(study: Study, scores: Scores) -> dict[str, list[Any]]:
    """The scores of each arm, one a seed; arms that have not been measured are left out."""
    names = {key: [f"{key}-{seed}" for seed in arm.seeds] for key, arm in study.arms.items()}
    found = {key: [scores[name] for name in names[key] if name in scores] for key in names}
    return {key: rows for key, rows in found.items() if rows}


def read(file: Path) -> dict[str, Any]:
    """The values that the file holds; none where there is no file."""
    return json.loads(file.read_text()) if file.exists() else {}


def write(file: Path, values: Mapping[str, Any]) -> None:
    with atomic_file(file, overwrite=True) as stream:
        stream.write(json.dumps(values, indent=1).encode())
