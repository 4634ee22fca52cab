"""``dfrestore auto``: finds what is wrong with each photo, and repairs that."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from dfrestore.cli.chain import Items, common_options, complete_chain, defaults, split
from dfrestore.cli.options import complete_models
from dfrestore.cli.restoring import with_parameters
from dfrestore.cli.restoring_run import run
from dfrestore.cli.restoring_values import Looking, Options
from dfrestore.cli.together import in_crew
from dfrestore.errors import UsageError, did_you_mean
from dfrestore.severities import DAMAGES
from dfrestore.tasks import AUTO, any_of


def help_text() -> str:
    from dfrestore.restore.remedies import FALL, ORDER, RISE
    from dfrestore.restore.rules import RULES

    order = ", ".join(ORDER)
    tried = any_of([DAMAGES[name].words for name, rule in RULES.items() if rule.share])
    least = ", ".join(f"{DAMAGES[name].words} {rule.least:g}" for name, rule in RULES.items())
    return f"""Find what is wrong with photos, and repair that. A photo that needs nothing stays as it is.

Each photo is looked at as by 'dfrestore detect'. Where there might be {tried}, the task is tried on a few small crops
or on a small view, and what it would change there counts too: the severity is a weighted geometric mean of both. Damage
is treated from these severities on: {least}; what is just so severe only by half. The order is {order}. After each step
the photo is looked at again, and damage that was hidden until then is treated next. A step is taken back if its damage
has not fallen by {FALL:.0%}, or if another that was not hidden rose by {RISE:g} or more, and by more than half of what
fell; that is said.

A photo that needs nothing is copied byte for byte, with another --format written anew; with --skip-clean there is no
result. upscale alone changes sizes, so it is done only where --only names it. TASK.OPTION=VALUE: an option of one of
the tasks, as its own --help has it; a strength is multiplied with that of the damage. --region and --mask blend the
result of all tasks with the photo once, at the end.

\b
Examples:
  dfrestore auto photo.jpg
  dfrestore auto photo.jpg --dry-run                     only looks
  dfrestore auto holiday/ -o better/ --skip-clean --report holiday.html
  dfrestore auto holiday/ -o better/ --only derain,denoise
  dfrestore auto photo.jpg --never deblur,defocus derain.steps=4
  dfrestore auto scans/ -o scans-better/ --json > done.jsonl
"""


Only = Annotated[
    str | None,
    typer.Option(metavar="TASK,TASK,...", help="Choose from these tasks alone.", autocompletion=complete_chain),
]
Never = Annotated[
    str | None,
    typer.Option(metavar="TASK,TASK,...", help="Leave these tasks out.", autocompletion=complete_chain),
]
SkipClean = Annotated[bool, typer.Option("--skip-clean", help="Write no result of a photo that needs nothing.")]
Detector = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE", help="The model that looks; default: the one that ships.", autocompletion=complete_models
    ),
]


def command() -> Callable[..., None]:
    """The command: its arguments, and the options of a task that hold for all."""
    kind = inspect.Parameter.KEYWORD_ONLY
    own = [
        inspect.Parameter("items", kind, annotation=Items),
        inspect.Parameter("only", kind, default=None, annotation=Only),
        inspect.Parameter("never", kind, default=None, annotation=Never),
        inspect.Parameter("skip_clean", kind, default=False, annotation=SkipClean),
        inspect.Parameter("detector", kind, default=None, annotation=Detector),
    ]
    context, *common = common_options()

    def choose(**values: Any) -> None:
        repair(**values)

    return with_parameters(choose, [context, *own, *common])


@in_crew
def repair(
    context: typer.Context,
    items: list[str],
    only: str | None,
    never: str | None,
    skip_clean: bool,
    detector: str | None,
    **common: Any,
) -> None:
    """common: the options that hold for all tasks."""
    from dfrestore.restore.remedies import ORDER

    named = _tasks(only, "--only", ORDER)
    barred = _tasks(never, "--never", ORDER)
    own, inputs = split(items, ORDER, context)
    set_up = [task for task, values in own.items() if values]
    tasks = _chosen(named, barred, [task for task in set_up if own[task].get("model")])
    for task in set_up:
        if task not in tasks:
            raise UsageError(f"{task}.{next(iter(own[task]))}=...: {task} is not among the tasks of this run")
    if not inputs:
        raise UsageError(f"no INPUT; name a file or folder behind {AUTO}")
    common = {**defaults(), **common, "inputs": inputs}
    steps = [(name, Options(**{**common, **own[name]})) for name in tasks]
    run(AUTO, context.obj, Options(**common), steps, Looking(detector, skip_clean))


def _tasks(text: str | None, option: str, known: Sequence[str]) -> list[str] | None:
    """The names in a list with commas. Raises UsageError."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            raise UsageError(f"{option} {text}: '{name}' is no task to choose from{near} (known: {', '.join(known)})")
    return names


def _chosen(only: Sequence[str] | None, never: Sequence[str] | None, with_model: Sequence[str]) -> list[str]:
    """The tasks that may be done: those named, else all that have a model and keep the size. Raises UsageError."""
    from dfrestore.restore.remedies import unasked
    from dfrestore.weights import load_registry

    both = [task for task in only or () if task in (never or ())]
    if both:
        raise UsageError(f"--only and --never both name {both[0]}")
    allowed = unasked({*load_registry().tasks, *with_model}) if only is None else dict.fromkeys(only)
    tasks = [task for task in allowed if task not in (never or ())]
    if not tasks:
        raise UsageError("--never leaves no task to choose from; 'dfrestore detect' looks alone")
    return tasks
