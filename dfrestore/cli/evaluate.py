"""``dfrestore evaluate``: scores of restored pictures, or of a model on a folder of pairs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfrestore.cli.options import check_task, complete_models, parse_window
from dfrestore.errors import StartError, UsageError, one_line

if TYPE_CHECKING:
    from dfrestore.evaluation import Convention, FileScore, Matching, Pair, Restore
    from dfrestore.photo import Photo


class Channel(StrEnum):
    """What PSNR and SSIM are measured on."""

    y = "y"
    rgb = "rgb"


def evaluate(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RESTORED TARGET", help="Two folders: restored pictures and clean ones."),
    ] = None,
    task: Annotated[str | None, typer.Option(help="Restore the inputs of --data first: derain, denoise, ...")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of pairs: input/ with target/, lq/gt, rain/norain or blur/sharp.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Name, file or hf:// address; the task's default without.", autocompletion=complete_models),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps; the model's default without.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sampling noise.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    window: Annotated[str | None, typer.Option(help="Reach of the attention; this version: global.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Measure the first N pairs only.")] = None,
    channel: Annotated[
        Channel | None, typer.Option(help="y (luma) or rgb; by default what the task's papers measure, else y.")
    ] = None,
    y_rounded: Annotated[bool, typer.Option("--y-rounded", help="Luma rounded to whole numbers, as MATLAB.")] = False,
    crop_border: Annotated[int, typer.Option(min=0, help="Pixels left out at each border.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a picture, and one of means.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV: a line a picture, then the mean.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Measure PSNR and SSIM of restored pictures against clean ones.

    Either two folders whose pictures share their names, or --task and --data to restore and measure.
    """
    from dfrestore.evaluation import Convention, default_channel, evaluate_pairs, find_pairs, match_folders

    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other")
    if channel is Channel.rgb and y_rounded:
        raise UsageError("--y-rounded is about luma; leave out --channel rgb")
    convention = Convention(
        "y" if y_rounded and channel is None else channel.value if channel else default_channel(task),
        y_rounded,
        crop_border,
    )
    about: dict[str, Any] = {}
    restore: Restore | None = None
    if folders:
        _require_only_folders(folders, data, model, steps)
        pairs = _chosen(match_folders(folders[0], folders[1]), limit)
    elif task is None or data is None:
        raise UsageError("give two folders, RESTORED and TARGET, or --task with --data")
    else:
        check_task(task)
        pairs = _chosen(find_pairs(data), limit)
        options = {"model": model, "device": device, "precision": precision, "window": parse_window(window)}
        restore, about = _restoration(task, steps, seed, options)
        told = ", ".join(f"{key} {one_line(value)}" for key, value in about.items())
        print(told, file=sys.stderr)
    scores = evaluate_pairs(pairs, convention, restore)
    form = "json" if as_json else "csv" if as_csv else ""
    # rows that come one by one on the same terminal are progress enough, and a bar would tear them
    if not quiet and sys.stderr.isatty() and (as_csv or not sys.stdout.isatty()):
        scores = _with_progress(scores, len(pairs))
    width = max(max(len(pair.name) for pair in pairs), len("mean of 9999, 9999 failed"))
    failed = _print(scores, convention, width, restore is not None, form, about)
    if failed:
        raise typer.Exit(1)


def _require_only_folders(folders: list[Path], data: Path | None, model: str | None, steps: int | None) -> None:
    if len(folders) != 2:
        raise UsageError(f"evaluate takes two folders, RESTORED and TARGET, not {len(folders)}")
    if data is not None or model is not None or steps is not None:
        raise UsageError("two folders are measured as they are: leave out --data, --model and --steps")


def _restoration(task: str, steps: int | None, seed: int, options: dict[str, Any]) -> tuple[Restore, dict[str, Any]]:
    """The function that restores one photo, and what to say of it beside the numbers."""
    from dfrestore.restore import Restorer

    restorer = Restorer.from_pretrained(task, **options)
    steps = restorer.checked_steps(steps)
    about = {"task": task, "model": restorer.label, "steps": steps, "seed": seed}
    about |= {"window": restorer.spec.window, "precision": restorer.precision.name}

    def restore(photo: Photo) -> Any:
        return restorer(photo.rgb, steps=steps, seed=seed)

    return restore, about


def _chosen(matching: Matching, limit: int | None) -> list[Pair]:
    """The pairs to measure; pictures without a partner are told, for they are missing from every mean."""
    for paths, what in ((matching.lonely_inputs, "clean"), (matching.lonely_targets, "restored or degraded")):
        if paths:
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            print(f"no {what} picture for {one_line(paths[0])}{more}; not measured", file=sys.stderr)
    if not matching.pairs:
        raise StartError("no pictures of the same name in the two folders; nothing to measure")
    return list(matching.pairs[:limit])


def _with_progress(scores: Iterable[FileScore], total: int) -> Iterator[FileScore]:
    from tqdm import tqdm

    yield from tqdm(scores, total=total, unit="picture", file=sys.stderr, leave=False)


def _print(
    scores: Iterable[FileScore], convention: Convention, width: int, restored: bool, form: str, about: dict[str, Any]
) -> int:
    """Print each score as it comes and the means at the end; returns how many pictures failed."""
    from dfrestore.evaluation import csv_text, header, json_line, json_totals, row, summarise, totals

    done = []
    if not form:
        print(header(width, restored))
    for score in scores:
        done.append(score)
        if score.error is not None and (form or not sys.stdout.isatty()):  # a terminal shows it in the table
            print(f"{one_line(score.name)}: {score.error}", file=sys.stderr)
        if form == "json":
            print(json_line(score), flush=True)
        elif not form:
            print(row(score, width, restored), flush=True)
    summary = summarise(done)
    if form == "json":
        print(json_totals(summary, convention, about))
    elif form == "csv":
        print(csv_text(done, summary, convention), end="")
    else:
        print(totals(summary, convention, width, restored))
    return summary.failed
