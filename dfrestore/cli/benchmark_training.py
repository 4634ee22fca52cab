"""``dfrestore benchmark --train``: options, table, JSON; the measuring is in :mod:`dfrestore.benchmark.throughput`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dfrestore import strict_json
from dfrestore.cli.training_job import degradation_of, look_at_data, option_settings
from dfrestore.errors import UsageError, one_line

if TYPE_CHECKING:
    from dfrestore.benchmark.throughput import Throughput
    from dfrestore.training.config import TrainConfig

_PRECISIONS = ("auto", "fp32", "bf16")


def benchmark_training(
    task: str,
    preset: str,
    patches: Sequence[int],
    batches: Sequence[int],
    clean: list[Path] | None,
    device: str,
    precision: str,
    rounds: int | None,
    as_json: bool,
) -> None:
    """Print how fast a training step is in each way to compute it, and how long drawing a batch takes."""
    if len(patches) != len(batches):
        raise UsageError(f"{len(patches)} --patch and {len(batches)} --batch do not pair; give both for each size")
    config = _config(task, preset, clean, precision)
    from dfrestore.benchmark.throughput import ROUNDS, noise_photos, sizes_of, throughput
    from dfrestore.engine import choose_device

    rounds = rounds or ROUNDS
    chosen = choose_device(device)
    degrade = degradation_of(config)
    sizes = list(zip(patches, batches, strict=True)) or sizes_of(config)
    side = max(512, 2 * max(patch for patch, _ in sizes))
    photos = look_at_data(config, as_json, sys.stderr) if clean else noise_photos(side)
    count = len(photos.names)
    drawn_from = f"{count} photo{'s' if count > 1 else ''}" if clean else "noise"
    about = {
        "task": task,
        "preset": preset,
        "device": chosen.name,
        "device_reason": chosen.reason,
        "rounds": rounds,
        "drawn_from": drawn_from,
    }
    rows = throughput(config, photos, degrade, sizes, device=str(chosen.torch_device), rounds=rounds)
    for number, row in enumerate(rows):
        if as_json:
            print(strict_json.dumps(about | asdict(row)), flush=True)
            continue
        if number == 0:
            where = f"{chosen.name} ({chosen.reason}), crops of {drawn_from}"
            print(one_line(f"{task}: training preset {preset} on {where}, medians of {rounds}"), file=sys.stderr)
            print(f"{'patch':>5} {'batch':>5}  {'network':<12} {'dtype':<8} {'ms':>8} {'patches/s':>9} {'ratio':>6}")
        print("\n".join(_lines(row)), flush=True)


def _config(task: str, preset: str, clean: list[Path] | None, precision: str) -> TrainConfig:
    if preset == "finetune":
        raise UsageError("preset finetune has no network of its own to measure: it goes on from a model; name another")
    if precision not in _PRECISIONS:
        raise UsageError(f"--precision {precision}: training knows {', '.join(_PRECISIONS)}")
    from dfrestore.training.settings import load_preset

    user_settings = option_settings(clean, None, None, None, "", "")
    return load_preset(
        preset, task, user_settings | ({} if precision == "auto" else {"optim": {"precision": precision}})
    )


def _lines(row: Throughput) -> list[str]:
    """A line for each way to compute the step, with a mark at the one that training takes, and a line on the rest."""
    ways = [
        f"{row.patch:>5} {row.batch:>5}  {way.function:<12} {way.dtype:<8} {way.seconds * 1000:>8.1f} "
        f"{way.patches_per_second:>9.1f} {way.ratio:>6.2f}{'  (training)' if way.training else ''}"
        for way in row.ways
    ]
    step, update = f"{row.step_seconds * 1000:.1f} ms", f"{row.update_seconds * 1000:.1f} ms"
    draw, overlapped = f"{row.draw_seconds * 1000:.1f} ms", f"{row.iteration_seconds * 1000:.1f} ms"
    rest = f"whole step {step}, {update} of it the update; drawing a batch {draw}, {row.draw_share:.0%} of the step"
    return [*ways, f"{'':13}{rest}; beside each other {overlapped}"]
