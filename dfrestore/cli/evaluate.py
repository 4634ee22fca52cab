"""``dfrestore evaluate``: scores of restored pictures, or of a model on a folder of pairs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from enum import StrEnum
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfrestore.cli.comparison import check_models, check_scales, labels, parted
from dfrestore.cli.comparison_page import ComparisonPage
from dfrestore.cli.distances import distances
from dfrestore.cli.evaluation_page import EvaluationPage, PairsPage
from dfrestore.cli.evaluation_pairs import Asked, checked, complete_presets, find
from dfrestore.cli.evaluation_print import print_comparisons, print_scores
from dfrestore.cli.options import complete_models, complete_tasks, parse_window
from dfrestore.cli.page import page_path
from dfrestore.cli.restoring_options import Base, Device, Precision, Window
from dfrestore.errors import StartError, UsageError, one_line
from dfrestore.optional_packages import pip_install
from dfrestore.tasks import TASKS, any_of, any_pair_folders, any_task, channel_of
from dfrestore.threads import keep_few_kernels

if TYPE_CHECKING:
    from dfrestore.evaluation import Convention, Restore
    from dfrestore.photo import Photo
    from dfrestore.photo.mask import Strength
    from dfrestore.photo.pairs import Matching, Pair
    from dfrestore.restore import Restorer


_SCALED = any_of([task.name for task in TASKS.values() if task.scale] or ["a larger result"])
_MASKED = any_of([task.name for task in TASKS.values() if task.mask] or ["holes"])


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
        typer.Argument(
            metavar="RESTORED TARGET", help="Two folders: restored pictures and clean ones. Or one word, for --task."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help=f"Restore the inputs of --data or --clean first: {any_task()}.",
            autocompletion=complete_tasks,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help=f"Folder of pairs: {any_pair_folders()}; for {_SCALED} also lr_x4/ with hr/, LRbicx4/ with GTmod12/, "
            "LR_bicubic/X4/ with HR/, or files *_LR and *_HR.",
        ),
    ] = None,
    targets: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The clean pictures, where --data is the folder of the inputs alone."),
    ] = None,
    clean: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Make the inputs from these clean pictures, as 'dfrestore degrade' does."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"How --clean makes them, see 'dfrestore degrade --help'; default: bench, or mixed; for {_SCALED} "
            "bicubic, by the model's scale.",
            autocompletion=complete_presets,
        ),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help=f"For {_MASKED}: white is missing. Named like the pictures, _mask or _mask001 may follow; one file "
            "serves all; default: mask/ in --data, or drawn by --preset.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="Name, file or hf:// address; default: the task's own. Given two or three times: they are compared.",
            autocompletion=complete_models,
        ),
    ] = None,
    base: Base = None,
    steps: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Sampling steps; default: the model's own.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the sampling noise.")] = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    window: Window = None,
    tile: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Work in tiles of N pixels; 0: whole; default: whole if it fits."),
    ] = None,
    ensemble: Annotated[
        int, typer.Option(min=1, metavar="K", help="Mean of K restorations, each of the picture turned.")
    ] = 1,
    keep_color: Annotated[bool, typer.Option("--keep-color", help="Broad colours as in the input.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Measure the first N pairs only.")] = None,
    channel: Annotated[
        Channel | None,
        typer.Option(help="y (luma) or rgb; default: as the papers of the task, without a task y."),
    ] = None,
    y_rounded: Annotated[bool, typer.Option("--y-rounded", help="Round luma to whole numbers, like MATLAB.")] = False,
    crop_border: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help=f"Pixels left out at each border; default: 0, for {_SCALED} the model's scale."
        ),
    ] = None,
    lpips: Annotated[
        bool, typer.Option("--lpips", help=f"Also LPIPS; needs {pip_install('metrics')}, and downloads weights.")
    ] = False,
    lpips_net: Annotated[
        Net | None, typer.Option(help="Network of --lpips: alex (the usual one for scores) or vgg; default: alex.")
    ] = None,
    dists: Annotated[bool, typer.Option("--dists", help="Also DISTS; needs the same package as --lpips.")] = False,
    gmsd: Annotated[bool, typer.Option("--gmsd", help="Also GMSD, which compares edges; needs nothing more.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per picture, and one with the means.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV: one line per picture, then the means.")] = False,
    report: Annotated[
        str | None,
        typer.Option(metavar="FILE.html", help="Write an HTML page of pictures and scores; replaces an older report."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Measure restored pictures against clean ones. By PSNR, SSIM, LPIPS, DISTS and GMSD.

    Either two folders whose pictures share their names, or --task with --data or --clean to restore and measure.

    Where a model enlarges, the score of the input is that of its bicubic enlargement, and a target may have a few more
    rows and columns than the result, which are cut off. Where holes are filled, what is known is put back before
    measuring, and PSNR is also measured inside the holes alone. Two folders are measured as they are; --masks adds
    the score inside the holes. Usual for finished x4 results: --crop-border 4.

    PSNR is in dB; higher is better. SSIM is at most 1; higher is better. LPIPS, DISTS and GMSD are distances: 0 is
    best. The weights that the first two need are downloaded once, into TORCH_HOME (233 MB for AlexNet, 528 MB for
    VGG-16). Time is in seconds per picture. Numbers go to standard output, messages to standard error. The exit code is
    1 when a pair could not be measured.

    With --model A --model B (and a third one) all are run on the same pairs, and B - A of each metric stands beside the
    scores, in the mean with a 95 % interval over the pictures: where 0 lies in it, there is no clear difference.

    \b
    Examples:
      dfrestore evaluate restored/ clean/
      dfrestore evaluate --task derain --data pairs/ --report scores.html
      dfrestore evaluate --task derain --data pairs/ --model derain/compact --model my-model.safetensors
      dfrestore evaluate --task denoise --data pairs/ --model my-model.safetensors --steps 4 --json
      dfrestore evaluate restored/ clean/ --lpips --dists --gmsd
      dfrestore evaluate upscale --data Set5/ --model my-x4.safetensors
      dfrestore evaluate upscale --clean Set14/ --report scores.html
      dfrestore evaluate inpaint --data pairs/ --masks masks/
      dfrestore evaluate inpaint --clean photos/ --preset thick
    """
    keep_few_kernels()
    from dfrestore.evaluation import Convention, compare_pairs, measure_pairs

    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other")
    if channel is Channel.rgb and y_rounded:
        raise UsageError("--y-rounded is about luma; leave out --channel rgb")
    if lpips_net is not None and not lpips:
        raise UsageError("--lpips-net is about --lpips; add it")
    models: list[str | None] = [*model] if model else [None]
    check_models(models)
    asked = checked(Asked(tuple(folders or ()), task, data, targets, clean, preset, masks), models[0], base, steps)
    convention = Convention(
        "y" if y_rounded and channel is None else channel.value if channel else channel_of(asked.task),
        y_rounded,
        crop_border or 0,
        hole=asked.has_holes,
    )
    options = {"base": base, "device": device, "precision": precision, "window": parse_window(window)}
    restorers = _restorers(asked, models, options) if asked.enlarges else []  # the pairs follow from their scale
    found = find(asked, restorers[0].network.scale if restorers else 1)
    matching = found.matching
    place = page_path(report, _all_files(matching))
    pairs = _chosen(matching, limit)
    net = (lpips_net or Net.alex).value if lpips else None
    convention = replace(convention, distances=distances(net, dists, gmsd, device, quiet=quiet))
    plans: Counter[str] = Counter()
    runs: list[tuple[Restore, dict[str, Any]]] = []
    if asked.restores:
        restorers = restorers or _restorers(asked, models, options)
        how = {"seed": seed, "plan": tile, "ensemble": ensemble, "keep_color": keep_color}
        runs = [_restoration(restorer, asked, steps, how, plans) for restorer in restorers]
        convention = _of_model(convention, restorers[0], crop_border)
    told, own = parted([about for _, about in runs])
    _tell_settings([about for _, about in runs])
    restores = [restore for restore, _ in runs]
    measured: Iterator[Any] = (
        compare_pairs(pairs, convention, restores, found.opener)
        if own
        else measure_pairs(pairs, convention, restores[0] if restores else None, found.opener)
    )
    page = None
    if place is not None:
        page = _page(place, matching, pairs, convention, told | found.about, own, plans, quiet)
    scores = map(attrgetter("score"), measured) if page is None else page.follow(measured)
    form = "json" if as_json else "csv" if as_csv else ""
    # rows that come one by one on the same terminal are progress enough, and a bar would tear them
    if not quiet and sys.stderr.isatty() and (as_csv or not sys.stdout.isatty()):
        scores = _with_progress(scores, len(pairs))
    width = max(max(len(pair.name) for pair in pairs), len("mean of 9999, 9999 failed"))
    if asked.clean is not None:
        told |= {key: str(value) for key, value in found.about.items()}  # how the inputs were made
    with nullcontext() if page is None else page.written():
        if own:
            failed = print_comparisons(scores, convention, width, form, own, told)
        else:
            failed = print_scores(scores, convention, width, bool(runs), form, told)
    if failed or (page is not None and page.failed):
        raise typer.Exit(1)


def _page(
    path: Path,
    matching: Matching,
    pairs: list[Pair],
    convention: Convention,
    settings: dict[str, Any],
    own: list[dict[str, Any]],
    plans: Counter[str],
    quiet: bool,
) -> PairsPage[Any]:
    lists = [
        ("No clean picture for", [str(path) for path in matching.lonely_inputs]),
        ("No restored or degraded picture for", [str(path) for path in matching.lonely_targets]),
        ("No mask for", [str(path) for path in matching.without_mask]),
    ]
    if len(pairs) < len(matching.pairs):
        settings |= {"pairs": f"the first {len(pairs)} of {len(matching.pairs)}"}

    def tell(line: str) -> None:
        print(one_line(line), file=sys.stderr)

    says: dict[str, Any] = {
        "say": (lambda line: None) if quiet else tell,
        "complain": lambda line: tell(f"dfrestore: {line}"),
    }
    if own:
        words = labels(own, settings["seed"])
        return ComparisonPage(path, len(pairs), convention, settings, plans, lists, labels=words, **says)
    return EvaluationPage(path, len(pairs), convention, settings, plans, lists, **says)


def _all_files(matching: Matching) -> list[Path]:
    pairs = [path for pair in matching.pairs for path in (pair.input, pair.target, *pair.masks)]
    return [*pairs, *matching.lonely_inputs, *matching.lonely_targets, *matching.without_mask]


def _restorers(asked: Asked, models: Sequence[str | None], options: dict[str, Any]) -> list[Restorer]:
    """One a model; options: of ``Restorer.from_pretrained``.

    All are held at once: weights are small beside what a restoration needs, and only one of those runs at a time.
    """
    from dfrestore.restore import Restorer

    assert asked.task is not None
    restorers = [Restorer.from_pretrained(asked.task, model, **options) for model in models]
    check_scales(restorers)
    return restorers


def _tell_settings(abouts: Sequence[Mapping[str, Any]]) -> None:
    """A line for people on what is about to run, one a model."""
    from dfrestore.evaluation.comparison import LETTERS

    for letter, about in zip(LETTERS, abouts, strict=False):
        line = ", ".join(f"{key} {one_line(value)}" for key, value in about.items())
        print(line if len(abouts) == 1 else f"{letter}: {line}", file=sys.stderr)


def _of_model(convention: Convention, restorer: Restorer, crop_border: int | None) -> Convention:
    """The convention with the model's scale, which is the usual border too where the result is larger."""
    scale = restorer.network.scale
    if scale > 1 and crop_border is None:
        convention = replace(convention, border=scale)
    return replace(convention, scale=scale)


def _restoration(
    restorer: Restorer, asked: Asked, steps: int | None, how: dict[str, Any], plans: Counter[str]
) -> tuple[Restore, dict[str, Any]]:
    """The function that restores one photo (and counts its plan), and the settings to print with the numbers.

    how: further arguments of ``Restorer.restore_rgb``.
    """
    from dfrestore.restore.flow import drain

    steps = restorer.checked_steps(steps)
    about = {"task": asked.task, "model": restorer.label, "steps": steps, "seed": how["seed"]}
    usual = {"plan": None, "ensemble": 1, "keep_color": False}
    about |= {{"plan": "tile"}.get(name, name): how[name] for name in usual if how[name] != usual[name]}
    about |= {"window": restorer.spec.window, "device": restorer.device.name, "precision": restorer.precision.name}

    def restore(photo: Photo, mask: Strength | None = None) -> Any:
        outcome = drain(restorer.restore_rgb(photo.rgb, steps=steps, mask=mask, **how))
        plans[outcome.plan] += 1
        return outcome.rgb

    return restore, about


def _chosen(matching: Matching, limit: int | None) -> list[Pair]:
    """The pairs to measure. Pictures without a partner are named on stderr: they are missing from every mean."""
    for paths, what in (
        (matching.lonely_inputs, "clean picture"),
        (matching.lonely_targets, "restored or degraded picture"),
        (matching.without_mask, "mask"),
    ):
        if paths:
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            print(f"no {what} for {one_line(paths[0])}{more}; not measured", file=sys.stderr)
    if not matching.pairs and matching.without_mask:
        raise StartError("no picture has a mask of its name; nothing to measure")
    if not matching.pairs:
        raise StartError("no pictures of the same name in the two folders; nothing to measure")
    return list(matching.pairs[:limit])


def _with_progress(scores: Iterable[Any], total: int) -> Iterator[Any]:
    from tqdm import tqdm

    yield from tqdm(scores, total=total, unit="picture", file=sys.stderr, leave=False)
