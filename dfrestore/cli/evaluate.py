"""``dfrestore evaluate``: scores of restored pictures, or of a model on a folder of pairs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from enum import StrEnum
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfrestore.cli.distances import distances
from dfrestore.cli.evaluation_page import EvaluationPage
from dfrestore.cli.options import (
    check_task,
    complete_models,
    complete_tasks,
    parse_window,
)
from dfrestore.cli.page import page_path
from dfrestore.cli.restoring_options import Device, Precision, Window
from dfrestore.errors import StartError, UsageError, one_line
from dfrestore.tasks import any_pair_folders, any_task, channel_of

if TYPE_CHECKING:
    from dfrestore.evaluation import Convention, FileScore, Restore
    from dfrestore.photo import Photo
    from dfrestore.photo.pairs import Matching, Pair


class Net(StrEnum):
    """The network whose features LPIPS compares."""

    alex = "alex"
    vgg = "vgg"


class Channel(StrEnum):
    """What PSNR and SSIM are measured on."""

    y = "y"
    rgb = "rgb"


def evaluate(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RESTORED TARGET", help="Two folders: restored pictures and clean ones."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help=f"Restore the inputs of --data first: {any_task()}.",
            autocompletion=complete_tasks,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help=f"Folder of pairs: {any_pair_folders()}."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Name, file or hf:// address; default: the task's own.",
            autocompletion=complete_models,
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Sampling steps; default: the model's own.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the sampling noise.")] = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    window: Window = None,
    tile: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Work in tiles of this side in pixels; 0: whole; default: as restoring."),
    ] = None,
    ensemble: Annotated[
        int, typer.Option(min=1, metavar="K", help="Mean of this many restorations, as restoring.")
    ] = 1,
    keep_color: Annotated[bool, typer.Option("--keep-color", help="The inputs' broad colours, as restoring.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Measure the first N pairs only.")] = None,
    channel: Annotated[
        Channel | None, typer.Option(help="y (luma) or rgb; by default what the task's papers measure, else y.")
    ] = None,
    y_rounded: Annotated[bool, typer.Option("--y-rounded", help="Luma rounded to whole numbers, as MATLAB.")] = False,
    crop_border: Annotated[int, typer.Option(min=0, metavar="N", help="Pixels left out at each border.")] = 0,
    lpips: Annotated[
        bool, typer.Option("--lpips", help="Also LPIPS; needs pip install 'dfrestore[metrics]', and its weights.")
    ] = False,
    lpips_net: Annotated[
        Net | None, typer.Option(help="Network of --lpips: alex (the usual one for scores) or vgg; default: alex.")
    ] = None,
    dists: Annotated[bool, typer.Option("--dists", help="Also DISTS; needs the same.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a picture, and one of means.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV: a line a picture, then the mean.")] = False,
    report: Annotated[
        str | None,
        typer.Option(metavar="FILE.html", help="Write a page to look through, with scores; replaces a report."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Measure restored pictures: PSNR, SSIM, LPIPS and DISTS against clean ones.

    Either two folders whose pictures share their names, or --task and --data to restore and measure.

    PSNR is in dB, more is better, as SSIM up to 1; LPIPS and DISTS are distances, 0 is best. The weights that these
    two need are downloaded once, into TORCH_HOME (233 MB for AlexNet, 528 MB for VGG-16). Time is in seconds a picture.
    The numbers go to standard output, all else to standard error; exit code 1 where a pair could not be measured.

    \b
    Examples:
      dfrestore evaluate restored/ clean/
      dfrestore evaluate --task derain --data pairs/ --report scores.html
      dfrestore evaluate --task denoise --data pairs/ --model my-model.safetensors --steps 4 --json
      dfrestore evaluate restored/ clean/ --lpips --dists
    """
    from dfrestore.evaluation import Convention, measure_pairs
    from dfrestore.photo.pairs import find_pairs, match_folders

    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other")
    if channel is Channel.rgb and y_rounded:
        raise UsageError("--y-rounded is about luma; leave out --channel rgb")
    if lpips_net is not None and not lpips:
        raise UsageError("--lpips-net is about --lpips; add it")
    convention = Convention(
        "y" if y_rounded and channel is None else channel.value if channel else channel_of(task),
        y_rounded,
        crop_border,
    )
    restore: Restore | None = None
    if folders:
        _require_only_folders(folders, data, model, steps)
        matching = match_folders(folders[0], folders[1])
        about: dict[str, Any] = {"restored": folders[0], "target": folders[1]}
    elif task is None or data is None:
        raise UsageError("give two folders, RESTORED and TARGET, or --task with --data")
    else:
        check_task(task)
        matching, about = find_pairs(data), {"data": data}
    place = page_path(report, _all_files(matching))
    pairs = _chosen(matching, limit)
    net = (lpips_net or Net.alex).value if lpips else None
    convention = replace(convention, distances=distances(net, dists, device, quiet=quiet))
    told: dict[str, Any] = {}
    plans: Counter[str] = Counter()
    if task is not None and not folders:
        options = {"model": model, "device": device, "precision": precision, "window": parse_window(window)}
        how = {"seed": seed, "plan": tile, "ensemble": ensemble, "keep_color": keep_color}
        restore, told = _restoration(task, steps, how, options, plans)
        print(", ".join(f"{key} {one_line(value)}" for key, value in told.items()), file=sys.stderr)
    measured, page = measure_pairs(pairs, convention, restore), None
    if place is not None:
        page = _page(place, matching, pairs, convention, told | about, plans, quiet)
    scores = map(attrgetter("score"), measured) if page is None else page.follow(measured)
    form = "json" if as_json else "csv" if as_csv else ""
    # rows that come one by one on the same terminal are progress enough, and a bar would tear them
    if not quiet and sys.stderr.isatty() and (as_csv or not sys.stdout.isatty()):
        scores = _with_progress(scores, len(pairs))
    width = max(max(len(pair.name) for pair in pairs), len("mean of 9999, 9999 failed"))
    with nullcontext() if page is None else page.written():
        failed = _print(scores, convention, width, restore is not None, form, told)
    if failed or (page is not None and page.failed):
        raise typer.Exit(1)


def _page(
    path: Path,
    matching: Matching,
    pairs: list[Pair],
    convention: Convention,
    settings: dict[str, Any],
    plans: Counter[str],
    quiet: bool,
) -> EvaluationPage:
    lists = [
        ("No clean picture for", [str(path) for path in matching.lonely_inputs]),
        ("No restored or degraded picture for", [str(path) for path in matching.lonely_targets]),
    ]
    if len(pairs) < len(matching.pairs):
        settings |= {"pairs": f"the first {len(pairs)} of {len(matching.pairs)}"}

    def tell(line: str) -> None:
        print(one_line(line), file=sys.stderr)

    return EvaluationPage(
        path,
        len(pairs),
        convention,
        settings,
        plans,
        lists,
        say=(lambda line: None) if quiet else tell,
        complain=lambda line: tell(f"dfrestore: {line}"),
    )


def _all_files(matching: Matching) -> list[Path]:
    pairs = [path for pair in matching.pairs for path in (pair.input, pair.target)]
    return [*pairs, *matching.lonely_inputs, *matching.lonely_targets]


def _require_only_folders(folders: list[Path], data: Path | None, model: str | None, steps: int | None) -> None:
    if len(folders) != 2:
        raise UsageError(f"evaluate takes two folders, RESTORED and TARGET, not {len(folders)}")
    if data is not None or model is not None or steps is not None:
        raise UsageError("two folders are measured as they are: leave out --data, --model and --steps")


def _restoration(
    task: str, steps: int | None, how: dict[str, Any], options: dict[str, Any], plans: Counter[str]
) -> tuple[Restore, dict[str, Any]]:
    """The function that restores one photo (and counts its plan), and what to say of it beside the numbers.

    how: further arguments of ``Restorer.restore_rgb``, options: of ``Restorer.from_pretrained``.
    """
    from dfrestore.restore import Restorer
    from dfrestore.restore.flow import drain

    restorer = Restorer.from_pretrained(task, **options)
    steps = restorer.checked_steps(steps)
    about = {"task": task, "model": restorer.label, "steps": steps, "seed": how["seed"]}
    usual = {"plan": None, "ensemble": 1, "keep_color": False}
    about |= {{"plan": "tile"}.get(name, name): how[name] for name in usual if how[name] != usual[name]}
    about |= {"window": restorer.spec.window, "device": restorer.device.name, "precision": restorer.precision.name}

    def restore(photo: Photo) -> Any:
        outcome = drain(restorer.restore_rgb(photo.rgb, steps=steps, **how))
        plans[outcome.plan] += 1
        return outcome.rgb

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
        print(header(width, restored, convention.titles))
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
