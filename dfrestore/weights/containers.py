"""Finding the weights in the content of a file: by content first, by name second.

A file may hold several sets: averaged and raw weights, and those of several networks if a trainer saves all of its
modules in one map (``generator.``, ``discriminator.``, ``loss_...``). All sets that could be wanted are returned, the
likeliest first; a method decides which one it knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfrestore.errors import WeightsError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

# Averaged weights before raw ones. 'params' alone proves nothing: some projects keep run settings under it.
PREFERRED_KEYS = ("params_ema", "params-ema", "ema_helper", "ema", "params", "state_dict", "model_state_dict", "model")
# What training code calls the network, as the first part of its tensors' names.
PREFIXES = ("module", "netG", "net_g", "generator", "model", "net", "network")
_NOT_WEIGHTS = ("optimizer", "scheduler", "callback", "loops")
_MAX_DEPTH = 3


@dataclass(frozen=True)
class StateDict:
    """tensors: by name. key: where they were in the file: ``params_ema``; ``state_dict.generator`` for tensors of
    ``state_dict`` whose names begin with ``generator.``; ``""`` for the file itself.
    """

    tensors: Mapping[str, Tensor]
    key: str


def find_state_dicts(content: object, name: str, key: str | None = None) -> list[StateDict]:
    """The state dicts in ``content``, at least one, the likeliest first; with ``key``, that one alone.

    key: names in the file joined by dots; the last may be a prefix of tensors' names (``state_dict.netD``). A prefix
    such as ``module.`` is removed if every tensor has it; if only some have it, these also come as a state dict of
    their own. Raises :class:`WeightsError`.
    """
    whole = sorted(_candidates(content, "", _MAX_DEPTH), key=_rank)
    if not whole:
        raise WeightsError(f"{name}: holds no weights (no dict of tensors){_top_level(content)}")
    found = [part for state in whole for part in _with_parts(state)]
    if key is None:
        return found
    named = [state for state in found if state.key == key] or [
        part for state in whole if (part := _part_called(state, key))
    ]
    if not named:
        keys = [state.key or "(the file itself)" for state in found]
        raise WeightsError(f"{name}: no weights under '{key}'{did_you_mean(key, keys)} (weights: {', '.join(keys)})")
    return named[:1]


def renamed(tensors: Mapping[str, Tensor], rename: Mapping[str, str], name: str) -> dict[str, Tensor]:
    """``tensors`` under the names that ``rename`` gives them; tensors that it does not name are left out.

    A module that is used under two names is saved twice, so two names may become one. Raises :class:`WeightsError`,
    which names the file ``name``, if their values differ.
    """
    import torch

    result: dict[str, Tensor] = {}
    first: dict[str, str] = {}
    for old, new in rename.items():
        tensor = tensors[old]
        if new in result and (result[new].dtype != tensor.dtype or not torch.equal(result[new], tensor)):
            raise WeightsError(f"{name}: '{first[new]}' and '{old}' should hold the same values, and differ")
        result.setdefault(new, tensor)
        first.setdefault(new, old)
    return result


def strip_prefix(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Without ``module.`` and the like, repeatedly, as long as all names begin with the same one."""
    for _ in range(4):
        heads = {name.partition(".")[0] for name in tensors}
        if len(heads) != 1 or not heads <= set(PREFIXES) or not all("." in name for name in tensors):
            break
        tensors = {name.partition(".")[2]: tensor for name, tensor in tensors.items()}
    return tensors


def _candidates(content: object, key: str, depth: int) -> Iterator[StateDict]:
    """Every dict of tensors, without the common prefix of their names."""
    if not isinstance(content, Mapping):
        return
    if _is_state_dict(content):
        yield StateDict(strip_prefix(content), key)
        return
    for name, value in content.items():
        if depth and isinstance(name, str) and not name.startswith(_NOT_WEIGHTS):
            yield from _candidates(value, f"{key}.{name}" if key else name, depth - 1)


def _with_parts(state: StateDict) -> Iterator[StateDict]:
    """The state dict, then those of its parts whose prefix says that they are the network."""
    yield state
    for prefix in PREFIXES:
        if part := _part(state, prefix):
            yield part


def _part_called(state: StateDict, key: str) -> StateDict | None:
    """The part of the state dict that ``key`` names: its own key, a dot, and any prefix of its tensors' names."""
    own = f"{state.key}." if state.key else ""
    return _part(state, key.removeprefix(own)) if key.startswith(own) else None


def _part(state: StateDict, prefix: str) -> StateDict | None:
    """The tensors whose names begin with ``prefix`` and a dot, without these; None where there are none."""
    start = f"{prefix}."
    part = {name.removeprefix(start): tensor for name, tensor in state.tensors.items() if name.startswith(start)}
    return StateDict(strip_prefix(part), f"{state.key}.{prefix}" if state.key else prefix) if part else None


def _is_state_dict(content: Mapping[Any, Any]) -> bool:
    import torch

    return bool(content) and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in content.items())


def _rank(state: StateDict) -> tuple[int, int]:
    last = state.key.rpartition(".")[2]
    known = PREFERRED_KEYS.index(last) if last in PREFERRED_KEYS else len(PREFERRED_KEYS)
    return known, -len(state.tensors)


def _top_level(content: object) -> str:
    if not isinstance(content, Mapping):
        return f", only a {type(content).__name__}"
    keys = [str(key)[:40] for key in list(content)[:8]]
    return f"; its keys: {', '.join(keys)}" if keys else "; it is empty"


def file_label(path: str | Path, key: str) -> str:
    """How a converted file calls its origin: ``net_g.pth [params_ema]``."""
    return f"{Path(path).name} [{key}]" if key else Path(path).name
