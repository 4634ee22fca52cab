"""From a user's name for a model to its file on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from dfrestore.errors import UsageError, WeightsError, did_you_mean, nearest_beside
from dfrestore.tasks import DETECT, TASKS, restoring_tasks
from dfrestore.weights.checkpoint import sha256_of
from dfrestore.weights.entries import ModelEntry, Original, Registry
from dfrestore.weights.fetch import fetch
from dfrestore.weights.header import read_header, read_spec
from dfrestore.weights.hub import SCHEME, HubAddress, parse_address
from dfrestore.weights.registry import load_registry

_NO_WARNINGS: tuple[str, ...] = ()
_WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".tar", ".bin")


@dataclass(frozen=True)
class Resolved:
    """path: the file. entry: its registry entry, None for files and addresses. label: how to call it in a start
    line. sha256: what the file must have, for :func:`load_checkpoint`. warnings: one line each. base: the file that it
    builds on, once that is found (see :func:`dfrestore.weights.base.on_base`).
    """

    path: Path
    entry: ModelEntry | None
    label: str
    sha256: str | None = None
    warnings: tuple[str, ...] = ()
    base: Path | None = None


def resolve(
    name: str | Path | None,
    *,
    task: str | None = None,
    offline: bool = False,
    restoring: bool = True,
    registry: Registry | None = None,
    factor: float | Decimal | None = None,
) -> Resolved:
    """The file that ``name`` means: None (the task's default), ``compact``, ``derain/compact``, a path, or
    ``hf://ORG/REPO/FILE[@REVISION]``. Names of the registry win over files; ``./compact`` is always a file.

    offline: make no request over the network. restoring: refuse the file of a training stage that makes no model to
    restore with. factor: how many times a picture is to be enlarged, for a default that stands for several models.
    Raises :class:`UsageError` for a name or file that is unknown or for another task, and :class:`WeightsError` for a
    model that is known, and not to be had or damaged.
    """
    found = _resolved(name, task, offline, registry, factor)
    spec = read_spec(found.path)
    if found.entry is None:
        _check_task(found.label, spec.task, task)
    elif spec.task != found.entry.task:
        raise WeightsError(_for_another_task(f"{found.label} ({found.path})", spec.task, found.entry.task))
    if restoring and spec.stage:
        raise UsageError(
            f"{found.label} was made by the training stage '{spec.stage}', which makes no model to restore with; "
            f"continue training with 'dfrestore train {spec.task} --init-from {found.label}'"
        )
    return found


def _resolved(
    name: str | Path | None, task: str | None, offline: bool, registry: Registry | None, factor: float | Decimal | None
) -> Resolved:
    """:func:`resolve` without reading the file's header."""
    if isinstance(name, Path):
        return _from_file(name, str(name))
    if name is not None and name.startswith(SCHEME):
        return _from_hub(parse_address(name), offline)
    if name is not None and _is_path(name):
        path = Path(name).expanduser()
        return _from_file(path, str(path))
    registry = load_registry() if registry is None else registry
    entry = _named(name, task, registry, factor)
    if entry is None:
        assert name is not None
        if Path(name).exists():
            return _from_file(Path(name), name)
        raise _unknown(name, task, registry)
    _check_task(entry.name, entry.task, task)
    return _from_entry(entry, offline)


def _is_path(name: str) -> bool:
    beginnings = ("./", "../", "~", ".\\", "..\\")
    return name.startswith(beginnings) or Path(name).is_absolute() or name.lower().endswith(_WEIGHT_SUFFIXES)


def _named(name: str | None, task: str | None, registry: Registry, factor: float | Decimal | None) -> ModelEntry | None:
    if name is None:
        if task is None:
            raise UsageError(f"which model? {_listing(registry.models)}")
        full = registry.defaults.get(task)
        if full is None or full not in registry.models:
            raise _no_default(task, full, registry)
        return _of_scale(registry.models[full], registry, factor)
    return _registered(name, task, registry) or _registered(_without_alias(name, registry), task, registry)


def _of_scale(default: ModelEntry, registry: Registry, factor: float | Decimal | None) -> ModelEntry:
    """The default, or another model from the same registry that enlarges less but enough."""
    if factor is None or not default.scale or default.scale < factor:
        return default
    alike = (entry for entry in registry.models.values() if entry.task == default.task)
    enough = [entry for entry in alike if entry.registry == default.registry and entry.scale >= max(factor, 1)]
    return min(enough, key=lambda entry: (entry.scale, entry is not default))


def _without_alias(name: str, registry: Registry) -> str:
    """``name`` with an alias in its last part replaced by what it stands for."""
    task, slash, short = name.rpartition("/")
    return f"{task}{slash}{registry.aliases.get(short, short)}"


def _registered(name: str, task: str | None, registry: Registry) -> ModelEntry | None:
    if name in registry.models:
        return registry.models[name]
    if "/" in name:
        return None
    if task is not None:
        return registry.models.get(f"{task}/{name}")
    same = [entry for entry in registry.models.values() if entry.short_name == name]
    if len(same) > 1:
        raise UsageError(f"'{name}' could be {' or '.join(entry.name for entry in same)}: give one of them")
    return same[0] if same else None


def _no_default(task: str, default: str | None, registry: Registry) -> UsageError | WeightsError:
    known = _tasks(registry)
    if task not in known:
        return UsageError(f"unknown task '{task}'{did_you_mean(task, known)} (known: {', '.join(known)})")
    missing = f"no model '{default}'" if default else "no model"
    own = [name for name in registry.models if name.startswith(f"{task}/")]
    make = f"give --model FILE or hf://..., or make one with 'dfrestore train {task}'"
    way = f"name one with --model {_listing(own)}" if own else make
    return WeightsError(f"there is {missing} for {task} yet: {way}")


def _unknown(name: str, task: str | None, registry: Registry) -> UsageError | WeightsError:
    wanted_task, _, short = _without_alias(name, registry).rpartition("/")
    wanted_task = wanted_task or task or ""
    if wanted_task and task and wanted_task != task and wanted_task in _tasks(registry):
        return UsageError(f"model '{name}' is for {wanted_task}, not for {task} {_listing(registry.models, task)}")
    originals = list(registry.originals.values())
    meant = [original for original in originals if original.short_name == short and wanted_task in ("", original.task)]
    if meant:
        return WeightsError(_how_to_get(name, meant))
    known = [*registry.models, *registry.originals]
    if "/" not in name:
        models: list[ModelEntry | Original] = [*registry.models.values(), *originals]
        known = [*(model.short_name for model in models if task in (None, model.task)), *registry.aliases]
    return UsageError(f"unknown model '{name}'{did_you_mean(name, known)} {_listing(registry.models, task)}")


def _how_to_get(name: str, originals: list[Original]) -> str:
    """How a user gets one of ``originals``, which ``name`` may mean; each is for another task."""
    first = originals[0]
    why = f"'{name}' is the authors' own model, which is not shipped (licence: {first.licence})"
    if len(originals) == 1:
        return (
            f"{why}: get {first.file} from {first.url} (linked from {first.project}) and run "
            f"'dfrestore weights convert {first.file} --task {first.task}'"
        )
    tasks = "|".join(original.task for original in originals)
    return (
        f"{why}: get a file that {first.project} links to and run "
        f"'dfrestore weights convert FILE{Path(first.file).suffix} --task {tasks}'"
    )


def _listing(models: Iterable[str], task: str | None = None) -> str:
    names = sorted(name for name in models if task is None or name.startswith(f"{task}/"))
    return f"(there is: {', '.join(names)})" if names else "(no model is registered)"


def _tasks(registry: Registry) -> list[str]:
    return sorted({*TASKS, *registry.defaults, *(entry.task for entry in registry.models.values())})


def _check_task(label: str, task: str, requested: str | None) -> None:
    """Raise :class:`UsageError` unless the model ``label``, which is for ``task``, is for the requested one."""
    if requested is not None and task != requested:
        raise UsageError(_for_another_task(label, task, requested))


def _for_another_task(label: str, task: str, requested: str) -> str:
    has_command = task in (*restoring_tasks(), DETECT)
    way_out = f"run 'dfrestore {task}' with it" if has_command else "no command restores pictures with it"
    return f"{label} is a model for {task}, not for {requested}: {way_out}"


def _from_file(path: Path, label: str) -> Resolved:
    if not os.path.lexists(path):
        raise UsageError(f"{path}: no such file{nearest_beside(path)}")
    return Resolved(path, None, label)


def _from_hub(address: HubAddress, offline: bool) -> Resolved:
    fetched = fetch(address, offline=offline)
    return Resolved(fetched.path, None, str(address), fetched.sha256, fetched.warnings)


def _from_entry(entry: ModelEntry, offline: bool) -> Resolved:
    path, warnings = entry.local_path, _NO_WARNINGS
    if path is None:
        fetched = fetch(parse_address(entry.source), sha256=entry.sha256, size=entry.size, offline=offline)
        path, warnings = fetched.path, fetched.warnings
    else:
        verify_local(entry)
    return Resolved(path, entry, entry.name, entry.sha256, warnings)


def verify_local(entry: ModelEntry) -> None:
    """Check the file of an entry that is not a download: there, whole, and with the registry's size and sha256.

    Raises :class:`WeightsError` with the way out: reinstall for bundled files, convert again for the user's.
    """
    path = entry.local_path
    assert path is not None
    remedy = (
        "reinstall dfrestore" if entry.packaged else f"make it again, or correct '{entry.name}' in {entry.registry}"
    )
    if not path.is_file():
        raise WeightsError(f"{path}: missing, though '{entry.name}' names it; {remedy}")
    size = path.stat().st_size
    if entry.size and size != entry.size:
        raise WeightsError(f"{path}: damaged ({size} bytes, '{entry.name}' has {entry.size}); {remedy}")
    if entry.sha256 and (found := sha256_of(path)) != entry.sha256:
        raise WeightsError(
            f"{path}: damaged (sha256 {found[:16]}..., '{entry.name}' has {entry.sha256[:16]}...); {remedy}"
        )
    read_header(path)
