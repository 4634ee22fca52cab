"""The tasks: what can be restored or learnt, and everything about a task that other rooms need to know.

One table. A new task is one more entry here; help texts, pairs of folders, ensembles and evaluation read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from dfrestore.errors import UsageError

Channel = Literal["y", "rgb"]


@dataclass(frozen=True)
class Task:
    """One task.

    name: of its command. summary: one sentence for help texts. removes: what it takes away, as in "without rain"; empty
    where it adds instead.
    upright: its pictures have an up and a down (rain falls), so they are not turned by a quarter. channel: what its
    papers measure PSNR and SSIM on. noise: it takes away noise, from which detail can be told. mask: it needs a mask.
    scale: its result is larger than the picture. restores: a command of its name restores pictures; otherwise its
    models are only trained, for others to build on. draws: its training draws the damage itself, from clean photos.
    folders: pairs of folder names that its data sets use, degraded before clean. roles: words that its data sets put
    into file names to tell a degraded picture from a clean one. preset: of training, where none is named.
    """

    name: str
    summary: str
    removes: str
    upright: bool = False
    channel: Channel = "y"
    noise: bool = False
    mask: bool = False
    scale: bool = False
    restores: bool = True
    draws: bool = False
    folders: tuple[tuple[str, str], ...] = ()
    roles: tuple[str, ...] = ()
    preset: str = "compact"


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        task.name: task
        for task in (
            Task(
                name="derain",
                summary="Take rain out of photos.",
                removes="rain",
                upright=True,  # rain falls
                folders=(("rain", "norain"),),
                roles=("rainy",),
            ),
            Task(
                name="denoise",
                summary="Take noise out of photos.",
                removes="noise",
                noise=True,
                channel="rgb",
                roles=("noisy", "real", "mean"),
            ),
            Task(
                name="deblur",
                summary="Take motion blur out of photos.",
                removes="motion blur",
                channel="rgb",
                folders=(("blur", "sharp"),),
                roles=("blurry",),
            ),
            Task(
                name="dejpeg",
                summary="Take JPEG artefacts out of photos.",
                removes="JPEG artefacts",
                roles=("jpeg", "compressed"),
            ),
            Task(
                name="dehaze",
                summary="Take haze and fog out of photos.",
                removes="haze",
                upright=True,  # far is high in a picture
                channel="rgb",
                folders=(("hazy", "clear"), ("hazy", "gt")),
                roles=("haze",),
                preset="dtpm-compact-dehaze",
            ),
            Task(
                name="desnow",
                summary="Take falling snow out of photos.",
                removes="snow",
                upright=True,
                folders=(("snow", "gt"), ("synthetic", "gt")),  # CSD, Snow100K
                roles=("snowy",),
                preset="dtpm-compact-desnow",
            ),
            Task(
                name="raindrop",
                summary="Take drops on the glass out of photos.",
                removes="drops on the glass",
                upright=True,
                folders=(("data", "gt"),),
                roles=("drops",),
                preset="dtpm-compact-raindrop",
            ),
            Task(
                name="defocus",
                summary="Make what is out of focus sharp.",
                removes="defocus",
                channel="rgb",
                folders=(("source", "target"),),
                roles=("defocused",),
                preset="dtpm-compact-defocus",
            ),
            Task(
                name="upscale",
                summary="Make photos larger.",
                removes="",
                scale=True,
                folders=(("lr", "hr"),),
                preset="diffir-compact-upscale",
            ),
            Task(
                name="inpaint",
                summary="Fill holes in photos: scratches, stains, what a mask covers.",
                removes="",
                channel="rgb",
                mask=True,
                preset="compact-inpaint",
            ),
            Task(
                name="texture",
                summary="Learn the texture of clean photos: the prior that DTPM's tasks build on.",
                removes="",
                channel="rgb",
                restores=False,
                preset="dtpm-compact-prior",
            ),
            Task(
                name="detect",
                summary="Tell what is wrong with photos, and how badly.",
                removes="",
                upright=True,
                channel="rgb",
                restores=False,
                draws=True,
                preset="detect-compact",
            ),
        )
    }
)

DETECT = "detect"
"""The task whose command looks at pictures and changes none."""

CHAIN = "run"
"""The command of several tasks in turn; its results have it in their names."""

AUTO = "auto"
"""The command that chooses the tasks itself; its results have it in their names."""

COMBINED = (CHAIN, AUTO)
"""The commands that may do several tasks to a photo."""

_FOLDERS = (("input", "target"), ("lq", "gt"))
_ROLES = ("hq", "clean", "degraded", "restored")
_FOREIGN_TASKS = ("deraindrop",)  # results of other programs have it in their names


def restoring_tasks() -> Mapping[str, Task]:
    """The tasks that have a command."""
    return {name: task for name, task in TASKS.items() if task.restores}


def is_upright(task: str) -> bool:
    """Whether pictures of ``task`` have an up and a down; False for a task that is not in the table."""
    return task in TASKS and TASKS[task].upright


def channel_of(task: str | None) -> Channel:
    """What the papers of ``task`` measure on: ``y`` (luma) or ``rgb``; ``y`` without a task, or for an unknown one."""
    return TASKS[task].channel if task is not None and task in TASKS else "y"


def preset_of(task: str | None) -> str:
    """The training preset of the task's shipped model; of an unknown task, that of most tasks."""
    return TASKS[task].preset if task is not None and task in TASKS else Task.preset


def pair_folders() -> tuple[tuple[str, str], ...]:
    """Names of two folders that hold pairs, (degraded, clean): the usual ones, then those of each task."""
    return (*_FOLDERS, *(folders for task in TASKS.values() for folders in task.folders))


def role_words() -> frozenset[str]:
    """Words in file names that say which picture of a pair it is, not which scene it shows."""
    words = {*_ROLES, *_FOREIGN_TASKS, *restoring_tasks(), *(word for folders in pair_folders() for word in folders)}
    return frozenset(words.union(*(task.roles for task in TASKS.values())))


def check_chain(tasks: Sequence[str]) -> None:
    """Whether these tasks can follow one another. Raises UsageError."""
    if not tasks:
        raise UsageError("a chain needs a task at least, like derain,denoise")
    for number, task in enumerate(tasks):
        if task in tasks[:number]:
            raise UsageError(f"{','.join(tasks)}: {task} stands there twice; a chain does each task once")
    larger = [task for task in tasks if task in TASKS and TASKS[task].scale]
    if len(larger) > 1:
        raise UsageError(f"{','.join(tasks)}: {any_of(larger, 'and')} both enlarge; take one of them")


def any_of(names: Iterable[str], last: str = "or") -> str:
    """``rain, noise or blur``."""
    *others, final = names
    return f"{', '.join(others)} {last} {final}" if others else final


def any_task() -> str:
    """``derain, denoise or deblur``, for help texts: the tasks that have a command."""
    return any_of(restoring_tasks())


def any_trained_task() -> str:
    """As :func:`any_task`, with those that are only trained."""
    return any_of(TASKS)


def any_pair_folders() -> str:
    """``input/ with target/, lq/gt, rain/norain or blur/sharp``, for help texts."""
    (degraded, clean), *others = pair_folders()
    return any_of([f"{degraded}/ with {clean}/", *("/".join(folders) for folders in others)])
