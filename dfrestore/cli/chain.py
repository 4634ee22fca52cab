"""``dfrestore run``: several tasks in turn, with one reading and one writing of each photo."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from typing import Annotated, Any

import typer

from dfrestore.cli.options import check_task, complete_tasks
from dfrestore.cli.restoring import command_of, restore, with_parameters
from dfrestore.cli.restoring_options import ALONE_OPTIONS, PREVIEW_OPTIONS, STEP_OPTIONS, WHERE_OPTIONS, is_of_step
from dfrestore.cli.restoring_run import run
from dfrestore.cli.restoring_values import Options
from dfrestore.cli.together import in_crew
from dfrestore.errors import UsageError, did_you_mean
from dfrestore.tasks import CHAIN, TASKS, check_chain

HELP = """Do several tasks to a photo, one after the other. Nothing is rounded between them.

TASKS: names with commas, in the order of work. INPUT: files and folders, as for a task alone; the result stands beside
its input as NAME_run.EXT, or where -o says. TASK.OPTION=VALUE: an option of one of the tasks, as its own --help has it:
its model, steps, seed, strength, size, mask ...; flags take yes or no. Masks and regions are of the photo as it is
read; --region and --mask blend the result of all tasks with it once, at the end. In a --name, {task} is run; {model},
{steps} and {seed} are what all tasks have in common, else that of each, as in 1-4.

\b
Examples:
  dfrestore run derain,denoise photo.jpg
  dfrestore run derain,denoise,upscale photo.jpg derain.strength=0.8 upscale.scale=2
  dfrestore run inpaint,upscale photo.jpg inpaint.mask=mask.png -o whole.png
  dfrestore run denoise,deblur holiday/ -o better/ denoise.model=my-model.safetensors --compare strips/
  dfrestore run derain,upscale photo.jpg --region 120,40,300,200
  dfrestore run denoise,upscale photo.jpg --preview 800,600,400,300
  dfrestore run denoise,upscale holiday/ upscale.long-edge=3840 --dry-run
"""

_FLAG = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_SETTING = re.compile(r"(?P<task>[A-Za-z][\w-]*)\.(?P<option>[A-Za-z][\w-]*)=(?P<value>.*)", re.DOTALL)


def complete_chain(incomplete: str) -> list[str]:
    """The tasks that may come next."""
    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",")
    return [f"{before}{comma}{task}" for task in complete_tasks(last) if task not in taken]


Tasks = Annotated[
    str,
    typer.Argument(metavar="TASK,TASK,...", help="What to do, in this order.", autocompletion=complete_chain),
]
Items = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT... [TASK.OPTION=VALUE]...", help="Pictures, and folders of pictures; or -. Options of a task."
    ),
]


def command() -> Callable[..., None]:
    """The command: its arguments, and the options of a task that hold for a whole chain."""
    kind = inspect.Parameter.KEYWORD_ONLY
    own = [inspect.Parameter(name, kind, annotation=hint) for name, hint in (("tasks", Tasks), ("items", Items))]
    context, *common = common_options()

    def run_chain(**values: Any) -> None:
        run_tasks(**values)

    return with_parameters(run_chain, [context, *own, *common])


def common_options() -> list[inspect.Parameter]:
    """The context, and the options that hold for several tasks together."""
    known = inspect.signature(restore, eval_str=True).parameters
    context, *common = (each for name, each in known.items() if name not in {"inputs", *STEP_OPTIONS, *ALONE_OPTIONS})
    kind = inspect.Parameter.KEYWORD_ONLY
    more = (WHERE_OPTIONS | PREVIEW_OPTIONS).items()
    where = [inspect.Parameter(name, kind, default=None, annotation=hint) for name, hint in more]
    return [context, *where, *common]


@in_crew
def run_tasks(context: typer.Context, tasks: str, items: list[str], **common: Any) -> None:
    """common: the options that hold for the whole chain; see :data:`STEP_OPTIONS` for the others."""
    names = tuple(name.strip() for name in tasks.split(","))
    for name in names:
        check_task(name)
    check_chain(names)
    filling = [name for name in names if TASKS[name].mask]
    where = next((f"--{name}" for name in WHERE_OPTIONS if common[name]), None)
    if filling and where:
        raise UsageError(f"{where}: a chain with {filling[0]} has none; {filling[0]}.mask=FILE is what to fill")
    own, inputs = split(items, names, context)
    if not inputs:
        raise UsageError(f"no INPUT; name a file or folder behind {tasks}")
    common = {**defaults(), **common, "inputs": inputs}
    # What lies beside a result is planned for all of the chain.
    beside = {key: value for values in own.values() for key, value in values.items() if key == "save_mask"}
    steps = [(name, Options(**{**common, **own[name]})) for name in names]
    run(CHAIN, context.obj, Options(**{**common, **beside}), steps)


def misplaced(option: str) -> str | None:
    """What to write in place of an option that is of one task; None where no task has it."""
    name = option.removeprefix("--").replace("-", "_")
    if name in ALONE_OPTIONS:
        return f"a chain has no {option}; run a task alone for it"
    return f"{option} is of one task: write TASK.{option.removeprefix('--')}=VALUE" if name in STEP_OPTIONS else None


def defaults() -> dict[str, Any]:
    """Of the options of a task."""
    parameters = inspect.signature(restore).parameters.values()
    known = {field.name for field in fields(Options)}
    return {item.name: item.default for item in parameters if item.name in known}


def split(
    items: Sequence[str], tasks: Sequence[str], context: typer.Context
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """(the options of each task, the INPUTs). Raises UsageError."""
    own: dict[str, dict[str, Any]] = {task: {} for task in tasks}
    inputs: list[str] = []
    for item in items:
        setting = _SETTING.fullmatch(item)
        if setting is None or (setting["task"] not in TASKS and os.path.lexists(item)):
            inputs.append(item)
            continue
        task, values = setting["task"], own.get(setting["task"])
        if values is None:
            check_task(task)
            raise UsageError(f"{item}: {task} is not in this chain, which is {','.join(tasks)}")
        command = _command_of(task)
        parameter = _parameter(command, task, setting["option"])
        value = _value(command, parameter, item, setting["value"], context)
        if parameter.multiple:
            values.setdefault(parameter.name, []).extend(value)
        elif parameter.name in values:
            raise UsageError(f"{item}: {task}.{setting['option']} is given twice; once is meant")
        else:
            values[parameter.name] = value
    return own, inputs


@cache
def _command_of(task: str) -> Any:
    """The task's own command, with its options."""
    from typer.main import get_command

    alone = typer.Typer(rich_markup_mode=None, add_completion=False)
    alone.command(task)(command_of(TASKS[task]))
    return get_command(alone)


def _parameter(command: Any, task: str, option: str) -> Any:
    known = {item.opts[0].removeprefix("--"): item for item in command.params if is_of_step(item.name, task)}
    name = option.replace("_", "-")
    if name in known:
        return known[name]
    others = [item.name for item in command.params if f"--{name}" in (*item.opts, *item.secondary_opts)]
    if others and others[0] in ALONE_OPTIONS:
        raise UsageError(f"{task}.{option}: a chain has no --{name}; run {task} alone for it")
    if others:
        raise UsageError(f"{task}.{option}: --{name} holds for the whole chain; write it as an option of its own")
    raise UsageError(f"{task} has no option '{option}'{did_you_mean(name, known)} (known: {', '.join(known)})")


def _value(command: Any, parameter: Any, item: str, text: str, context: typer.Context) -> Any:
    """As the task's own command understands it. Raises UsageError."""
    option = parameter.opts[0]
    if parameter.is_flag and text.lower() not in _FLAG:
        raise UsageError(f"{item}: yes or no is needed")
    words = [f"{option}={text}"] if not parameter.is_flag else [option] if _FLAG[text.lower()] else []
    try:
        return command.make_context(command.name, ["INPUT", *words], parent=context).params[parameter.name]
    except typer.BadParameter as error:
        raise UsageError(f"{item}: {str(error.message).rstrip('.')}") from error
