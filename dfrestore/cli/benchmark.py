"""``dfrestore benchmark``: seconds and peak memory on this machine; with ``--train``, the speed of training."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dfrestore.cli.options import check_task, complete_models, parse_memory, parse_size, parse_window
from dfrestore.errors import UsageError, one_line

_RESTORING = ("model", "size", "steps", "window", "memory")
_TRAINING = ("preset", "patch", "batch", "clean", "rounds")


def benchmark(
    context: typer.Context,
    task: Annotated[str, typer.Argument(metavar="[TASK]", help="derain, denoise or deblur.")] = "derain",
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Name, file or hf:// address.", autocompletion=complete_models),
    ] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Size of the picture.")] = "1000x1000",
    steps: Annotated[
        list[int] | None, typer.Option(min=1, max=1000, metavar="N", help="Repeatable; default: 1, and the model's.")
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[str, typer.Option(metavar="NAME", help="auto, fp32, bf16 or fp16.")] = "auto",
    window: Annotated[str | None, typer.Option(metavar="N|global", help="Side of the attention's windows in pixels; default: the model's.")] = None,
    memory: Annotated[str | None, typer.Option(metavar="SIZE", help="Memory to use, like 8G.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a row.")] = False,
    train: Annotated[bool, typer.Option("--train", help="Measure training instead of restoring.")] = False,
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="With --train: named settings, see train --list-presets.")
    ] = "compact",
    patch: Annotated[
        list[int] | None,
        typer.Option(min=1, metavar="N", help="With --train: side of the crops. Repeatable; default: the preset's."),
    ] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option(min=1, metavar="N", help="With --train: crops in a batch, one for each --patch."),
    ] = None,
    clean: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER", help="With --train: clean photos to draw crops from; default: noise. Repeatable."
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="With --train: how often each is timed; default: 7.")
    ] = None,
) -> None:
    """Measure time and peak memory for a picture of one megapixel.

    Memory is counted above the idle process with the model loaded; each row runs in a process of its own.

    With --train: forward and backward of a training step, as training computes it here and as the paper writes the
    network in fp32, taken in turns; then the whole step, and what drawing a batch takes beside it.

    \b
    Examples:
      dfrestore benchmark
      dfrestore benchmark denoise --size 4000x3000 --steps 1 --steps 4 --json
      dfrestore benchmark derain --train --patch 64 --batch 16 --clean photos/
    """
    check_task(task)
    _refuse(context, _RESTORING if train else _TRAINING, "is of no use with --train" if train else "needs --train")
    if train:
        from dfrestore.cli.benchmark_training import benchmark_training

        benchmark_training(task, preset, patch or [], batch or [], clean, device, precision, rounds, as_json)
        return
    shape = parse_size(size)
    options = {
        "device": device,
        "precision": precision,
        "window": parse_window(window),
        "memory": parse_memory(memory),
    }
    from dfrestore.restore.measure import measure
    from dfrestore.weights import read_spec, resolve

    path = resolve(model, task=task).path
    rows = steps or sorted({1, read_spec(path).default_steps})
    for number, count in enumerate(rows):
        row = measure(task, model, shape, count, options)
        if as_json:
            print(json.dumps(asdict(row)), flush=True)
            continue
        if number == 0:
            where = f"{row.device} ({row.device_reason}), {row.precision}"
            print(one_line(f"{task}: {row.model} on {where}, {shape[0]}x{shape[1]}"), file=sys.stderr)
            print(f"{'steps':>5} {'seconds':>9} {'peak memory':>12}  plan")
        peak = "unknown" if row.peak_bytes is None else f"{row.peak_bytes / 2**20:.0f} MiB"
        print(f"{row.steps:>5} {row.seconds:>9.2f} {peak:>12}  {row.plan}", flush=True)


def _refuse(context: typer.Context, names: Sequence[str], why: str) -> None:
    """Raises UsageError where one of these options was given."""
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"--{name} {why}")
