"""``dfrestore weights``: its commands list, find, fetch, verify, describe, publish and convert models."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfrestore import strict_json
from dfrestore.cli.options import complete_models, complete_tasks, complete_trained_tasks
from dfrestore.cli.restoring_options import Base
from dfrestore.errors import DfrestoreError, UsageError, WeightsError, did_you_mean, one_line
from dfrestore.tasks import TASKS, any_task, any_trained_task, restoring_tasks

if TYPE_CHECKING:
    from dfrestore.weights import ModelEntry, Registry, Resolved

_SHORT_HELP = "Models: list, path, get, verify, card, publish, convert."
_HELP = f"""{_SHORT_HELP}

\b
Examples:
  dfrestore weights list
  dfrestore weights card derain/compact
  dfrestore weights verify runs/try/model.safetensors
  dfrestore weights get hf://ORG/REPO/FILE.safetensors@REV
  dfrestore weights convert net_g_derain_fine.pth --task derain
  dfrestore weights publish model.safetensors --repo ORG/NAME --licence "CC BY 4.0" --dry-run
"""

app = typer.Typer(help=_HELP, short_help=_SHORT_HELP, no_args_is_help=True)

_Task = Annotated[
    str | None,
    typer.Option(
        metavar="TASK",
        help=f"The task that the model is for: {any_trained_task()}.",
        autocompletion=complete_trained_tasks,
    ),
]
_Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="derain/compact, compact with --task, a file or hf://ORG/REPO/FILE@REV",
        autocompletion=complete_models,
    ),
]


@app.command("list")
def list_models(
    task: _Task = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per model.")] = False,
) -> None:
    """List the registered models. The default of each task is marked with a star.

    \b
    Examples:
      dfrestore weights list
      dfrestore weights list --task derain --json
    """
    from dfrestore.weights import load_registry

    registry = load_registry()
    if task is not None:
        _check_task(task, {*TASKS, *registry.defaults})
    entries = [entry for name, entry in sorted(registry.models.items()) if task in (None, entry.task)]
    if as_json:
        for entry in entries:
            typer.echo(strict_json.dumps(_as_json(entry, registry), ascii=False))
        return
    for entry in entries:
        star = "*" if registry.defaults.get(entry.task) == entry.name else " "
        typer.echo(f"{star} {entry.name:20} {_megabytes(entry.size):>9}  {entry.licence or 'licence not stated'}")
        about = (entry.note, entry.base and f"builds on {entry.base}", entry.data and f"trained on {entry.data}")
        for detail in (*about, *_score_lines(entry)):
            if detail:
                typer.echo(f"    {one_line(detail)}")
    if not entries:
        typer.echo("no model is registered" + (f" for {task}" if task else ""), err=True)


@app.command("path")
def path_of(name: _Name, task: _Task = None) -> None:
    """Print where a model's file lies; nothing is fetched.

    \b
    Examples:
      dfrestore weights path derain/compact
      cp "$(dfrestore weights path compact --task derain)" .
    """
    from dfrestore.weights import on_base, resolve

    resolved = resolve(name, task=task, offline=True, restoring=False)
    _warn(resolved.warnings)
    with suppress(WeightsError):
        _say_base(on_base(resolved, offline=True))
    typer.echo(str(resolved.path))


@app.command("get")
def get(
    name: _Name,
    task: _Task = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use the cache alone.")] = False,
) -> None:
    """Fetch a model into the cache, check it, and print its path.

    One that is on this machine already is not fetched again. What it builds on is fetched too.

    \b
    Examples:
      dfrestore weights get derain/compact
      dfrestore weights get hf://ORG/REPO/FILE.safetensors@REV
    """
    from dfrestore.weights import on_base, resolve

    resolved = resolve(name, task=task, offline=offline, restoring=False)
    _warn(resolved.warnings)
    _say_base(on_base(resolved, offline=offline))
    typer.echo(str(resolved.path))


@app.command("verify")
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Names or files; default: all registered models.",
            autocompletion=complete_models,
        ),
    ] = None,
    base: Base = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per model.")] = False,
) -> None:
    """Check that models are whole.

    Size, sha256, header, finite values, and whether they fit their network.

    Models that have not been fetched are listed and do not count as failures. The exit code is 1 when one fails.

    \b
    Examples:
      dfrestore weights verify
      dfrestore weights verify runs/try/model.safetensors --json
    """
    from dfrestore.weights import load_registry

    registry = load_registry()
    failed = False
    if not names and not registry.models:
        typer.echo("no model is registered", err=True)
    for name in names or sorted(registry.models):
        record = _verified(name, registry, explicit=bool(names), base=base)
        failed |= record["state"] == "failed"
        if as_json:
            typer.echo(strict_json.dumps(record, ascii=False))
        elif record["state"] == "failed":
            typer.echo(f"failed: {record['error']}", err=True)
        else:
            typer.echo(f"{record['state']}: {name}" + (f" ({record['path']})" if "path" in record else ""))
    if failed:
        raise typer.Exit(1)


@app.command("card")
def card(name: _Name, task: _Task = None) -> None:
    """Print a model's card (Markdown).

    It is the .md file beside the model, else one made from its header and the registry. Nothing is fetched.

    \b
    Examples:
      dfrestore weights card derain/compact
      dfrestore weights card runs/try/model.safetensors
    """
    from dfrestore.weights import resolve
    from dfrestore.weights.card import card_of

    resolved = resolve(name, task=task, offline=True, restoring=False)
    _warn(resolved.warnings)
    typer.echo(card_of(resolved), nl=False)


@app.command("publish")
def publish(
    file: Annotated[Path, typer.Argument(metavar="FILE.safetensors", help="The checkpoint.")],
    repo: Annotated[str, typer.Option(metavar="ORG/NAME", help="The repository; created if it does not exist.")],
    branch: Annotated[
        str, typer.Option("--revision-branch", metavar="BRANCH", help="The branch that takes the commit.")
    ] = "main",
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    card_file: Annotated[
        Path | None,
        typer.Option("--card", metavar="FILE.md", help="The card; default: the one beside FILE, else a generated one."),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Licence of a file that states none; stored in the published copy only."),
    ] = None,
    base: Base = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
) -> None:
    """Publish a checkpoint and its card on the Hugging Face Hub.

    Prints its table for a weights.toml, which is pinned to the commit that was made. Log in first with 'hf auth login',
    or set HF_TOKEN.

    \b
    Examples:
      dfrestore weights publish model.safetensors --repo me/derain-mine --licence "CC BY 4.0" --dry-run
      dfrestore weights publish model.safetensors --repo me/derain-mine --licence "CC BY 4.0" --card card.md
    """
    from dfrestore.weights.publish import prepare
    from dfrestore.weights.publish import publish as send

    what = prepare(file, repo, branch=branch, licence=licence, card=card_file)
    from dfrestore.methods import load_network  # torch: only now, after what needs none

    load_network(file, base=base)  # a file that does not load here would load for nobody
    would = "would publish" if dry_run else "publishing"
    about = {what.file: f" ({_megabytes(len(what.data))}, {what.spec.licence})", "README.md": f" ({what.card})"}
    contents = ", ".join(name + about.get(name, "") for name in what.contents)
    print(one_line(f"{would} {contents} to {what.page}, branch {what.branch}"), file=sys.stderr)
    if what.relicensed:
        print(one_line(f"the licence stands in the published copy; {file} is left as it is"), file=sys.stderr)
    if dry_run:
        typer.echo(what.registration(), nl=False)
        return
    done = send(what, private=private)
    _warn(done.warnings)
    print(one_line(f"published as {done.url}; the table is for a weights.toml"), file=sys.stderr)
    typer.echo(what.registration(done.commit), nl=False)


@app.command("convert")
def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE.pth", help="The authors' file.")],
    task: Annotated[
        str,
        typer.Option(
            metavar="TASK",
            autocompletion=complete_tasks,
            help=f"What the model does: {any_task()}. The file does not say.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write to this file; default: register the model as TASK/METHOD."
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which weights of the file, e.g. params; default: averaged, if any."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
) -> None:
    """Convert the authors' .pth file to a checkpoint (safetensors). Nothing in it is executed.

    \b
    Examples:
      dfrestore weights convert net_g_derain_fine.pth --task derain
      dfrestore derain rainy.jpg --model c2f-dft
    """
    from dfrestore.weights import load_registry

    registry = load_registry()
    _check_task(task, {*restoring_tasks(), *registry.defaults})
    if out is None:
        target = _convert_and_register(file, task, key, overwrite, registry)
    else:
        from dfrestore.methods.convert import convert_file

        convert_file(file, out, task, key, overwrite=overwrite)
        target = out
    typer.echo(str(target))


def _convert_and_register(file: Path, task: str, key: str | None, overwrite: bool, registry: Registry) -> Path:
    """Convert to a file of the user's data folder, and register it by its task and its method."""
    from dfrestore.methods.convert import check_output, read_original
    from dfrestore.weights import save_checkpoint
    from dfrestore.weights.registry import data_folder
    from dfrestore.weights.user_registry import register, source_for

    folder = data_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made ({error.strerror}); give -o FILE.safetensors") from error
    tensors, spec = read_original(file, task, key)
    if spec.stage:
        raise UsageError(
            f"{file}: weights of the training stage '{spec.stage}', which makes no model to restore with; "
            "give -o FILE.safetensors to start training from them"
        )
    short = spec.method
    target = folder / f"{task}-{short}.safetensors"
    check_output(file, target, overwrite)
    existed = target.exists()
    digest = save_checkpoint(target, tensors, spec)
    try:
        fields: dict[str, str | int | float] = {"task": task, "method": spec.method, "source": source_for(target)}
        fields |= {"size": target.stat().st_size, "sha256": digest, "licence": spec.licence}
        fields["note"] = f"converted from {spec.source}"
        register(f"{task}/{short}", fields)
    except DfrestoreError:
        if not existed:
            target.unlink(missing_ok=True)
        raise
    typer.echo(f"registered as {task}/{short}", err=True)
    for alias in (alias for alias, name in registry.aliases.items() if name == short):
        if f"{task}/{alias}" in registry.models:
            typer.echo(f"'--model {alias}' still means {task}/{alias}, which was registered earlier", err=True)
    return target


def _verified(name: str, registry: Registry, *, explicit: bool, base: Path | None) -> dict[str, Any]:
    """The outcome for one model: state ``ok``, ``not fetched`` or ``failed``, with its path or error."""
    from dfrestore.methods import load_network
    from dfrestore.weights import on_base, read_spec, resolve
    from dfrestore.weights.base import check_entry
    from dfrestore.weights.fetch import is_fetched
    from dfrestore.weights.hub import parse_address

    entry = registry.models.get(name)
    for needed in (entry, registry.models.get(entry.base)) if entry is not None and not explicit else ():
        if needed is not None and needed.local_path is None and not is_fetched(parse_address(needed.source)):
            return {"model": name, "state": "not fetched", "source": needed.source}
    try:
        resolved = resolve(name, offline=True, restoring=False, registry=registry)
        spec = read_spec(resolved.path)
        if resolved.entry is not None:
            check_entry(resolved.entry, spec, registry)
        load_network(resolved.path, base=on_base(resolved, base if spec.base else None, offline=True).base)
    except DfrestoreError as error:
        return {"model": name, "state": "failed", "error": str(error)}
    return {"model": name, "state": "ok", "path": str(resolved.path)}


def _check_task(task: str, known: Collection[str]) -> None:
    if task not in known:
        names = ", ".join(sorted(known))
        raise UsageError(f"unknown task '{task}'{did_you_mean(task, sorted(known))} (known: {names})")


def _as_json(entry: ModelEntry, registry: Registry) -> dict[str, Any]:
    return {
        "model": entry.name,
        "task": entry.task,
        "method": entry.method,
        "base": entry.base,
        "default": registry.defaults.get(entry.task) == entry.name,
        "source": entry.source,
        "size": entry.size,
        "sha256": entry.sha256,
        "licence": entry.licence,
        "data": entry.data,
        "scores": {table: [dict(row) for row in rows] for table, rows in entry.scores.items()},
        "note": entry.note,
        "minutes": entry.minutes,
        "command": entry.command,
        "registry": str(entry.registry),
    }


def _score_lines(entry: ModelEntry) -> Iterable[str]:
    for table, rows in entry.scores.items():
        for row in rows:
            numbers = ", ".join(f"{key} {value}" for key, value in row.items() if key != "command")
            yield f"{table}: {numbers}  [{row['command']}]"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size else "?"


def _say_base(resolved: Resolved) -> None:
    from dfrestore.weights import read_spec

    if resolved.base is not None and (base := read_spec(resolved.path).base) is not None:
        print(one_line(f"it builds on {base.name}: {resolved.base}"), file=sys.stderr)


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"warning: {one_line(line)}", file=sys.stderr)
