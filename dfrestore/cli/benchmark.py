"""``dfrestore benchmark``: seconds and peak memory on this machine; with ``--train``, the speed of training."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dfrestore import strict_json
from dfrestore.cli.options import (
    check_task,
    complete_models,
    complete_presets,
    complete_tasks,
    parse_memory,
    parse_size,
    parse_window,
)
from dfrestore.cli.restoring_options import Device, Precision, Window
from dfrestore.errors import UsageError, one_line
from dfrestore.tasks import any_task, preset_of

if TYPE_CHECKING:
    from dfrestore.benchmark.measure import Measurement

_RESTORING = ("model", "size", "steps", "window", "memory", "plain")
_TRAINING = ("patch", "batch", "clean", "rounds")


def benchmark(
    context: typer.Context,
    task: Annotated[
        str, typer.Argument(metavar="TASK", help=f"{any_task()}.", autocompletion=complete_tasks)
    ] = "derain",
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Name, file or hf:// address.", autocompletion=complete_models),
    ] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Size of the picture.")] = "1000x1000",
    steps: Annotated[
        list[int] | None, typer.Option(min=1, max=1000, metavar="N", help="Repeatable; default: 1, and the model's.")
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    window: Window = None,
    memory: Annotated[str | None, typer.Option(metavar="SIZE", help="Memory to use, like 8G.")] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Also measure the network as the paper writes it, in fp32.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per row.")] = False,
    train: Annotated[bool, typer.Option("--train", help="Measure training instead of restoring.")] = False,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Measure the untrained network of this preset instead of a model; see train --list-presets. "
            "Default with --train: compact.",
            autocompletion=complete_presets,
        ),
    ] = None,
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
            metavar="FOLDER", help="With --train: clean photos to take crops from; default: noise. Repeatable."
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="With --train: how often each way is timed; default: 7.")
    ] = None,
) -> None:
    """Measure time and peak memory for a picture of one megapixel.

    Memory is counted above the idle process with the model loaded; each row runs in a process of its own. The limit
    is what this machine reaches in large matrix products of the row's precision.

    With --train: forward and backward of a training step, both as training computes it here and as the paper writes the
    network, in fp32; the two are timed in turns. Then the whole step, and the drawing of a batch beside it.

    \b
    Examples:
      dfrestore benchmark
      dfrestore benchmark denoise --size 4000x3000 --steps 1 --steps 4 --json
      dfrestore benchmark --preset paper-derain --size 1024x1024 --steps 1 --plain
      dfrestore benchmark derain --train --patch 64 --batch 16 --clean photos/
    """
    check_task(task, training=train)
    _refuse(context, _RESTORING if train else _TRAINING, "is of no use with --train" if train else "needs --train")
    if train:
        from dfrestore.cli.benchmark_training import benchmark_training

        preset = preset or preset_of(task)
        benchmark_training(task, preset, patch or [], batch or [], clean, device, precision, rounds, as_json)
        return
    if model is not None and preset is not None:
        raise UsageError("--model and --preset are two networks; give one")
    shape = parse_size(size)
    options = {
        "device": device,
        "precision": precision,
        "window": parse_window(window),
        "memory": parse_memory(memory),
    }
    from dfrestore.benchmark.measure import Subject, measure, step_counts

    subject = Subject(task, model, preset)
    usual = step_counts(subject)  # raises for a name that is not known
    rows: list[Measurement] = []
    for count in steps or usual:
        row = measure(subject, shape, count, options)
        _show(row, first=not rows, plain=False, as_json=as_json)
        rows.append(row)
    if plain:
        other = measure(subject, shape, 1, {**options, "precision": "fp32"}, plain=True)
        _show(other, first=False, plain=True, as_json=as_json)
        for row in rows if not as_json else []:
            print(_compared(row, other))


def _show(row: Measurement, *, first: bool, plain: bool, as_json: bool) -> None:
    if as_json:
        more = {"way": "plain" if plain else "engine", "seconds_each": row.seconds_each, "share": row.share}
        print(strict_json.dumps({**asdict(row), **more}), flush=True)
        return
    if first:
        where = f"{row.device} ({row.device_reason})"
        print(one_line(f"{row.task}: {row.model} on {where}, {row.size[0]}x{row.size[1]}"), file=sys.stderr)
        titles = f"{'seconds':>8} {'s/MP/eval':>9} {'of limit':>8} {'peak memory':>12}"
        print(f"{'steps':>5} {'precision':>9} {titles}  plan")
    peak = "unknown" if row.peak_bytes is None else f"{row.peak_bytes / 2**20:.0f} MiB"
    numbers = f"{row.seconds:>8.2f} {row.seconds_each:>9.2f} {row.share:>8.0%} {peak:>12}"
    print(f"{row.steps:>5} {row.precision:>9} {numbers}  {row.plan}", flush=True)


def _compared(row: Measurement, plain: Measurement) -> str:
    """One line: how much faster an evaluation is, and how much less memory it takes."""
    text = f"{row.steps} step{'s' if row.steps > 1 else ''} in {row.precision}: an evaluation is "
    text += f"{plain.seconds_each / row.seconds_each:.2f} times as fast as the paper's form in fp32"
    if row.peak_bytes and plain.peak_bytes:
        text += f", in {row.peak_bytes / plain.peak_bytes:.0%} of its memory"
    return text


def _refuse(context: typer.Context, names: Sequence[str], why: str) -> None:
    """Raises UsageError where one of these options was given."""
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"--{name} {why}")
