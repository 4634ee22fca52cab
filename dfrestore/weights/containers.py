"""Finding the weights inside what a file holds: by content first, by name second."""

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
PREFIXES = ("module", "netG", "net_g", "generator", "model", "net", "network")
_NOT_WEIGHTS = ("optimizer", "scheduler", "callback", "loops")
_MAX_DEPTH = 3


@dataclass(frozen=True)
class StateDict:
    """tensors by name; key: where in the file they were (``params_ema``, ``""`` for the file itself)."""

    tensors: Mapping[str, Tensor]
    key: str


def find_state_dict(content: object, name: str, key: str | None = None) -> StateDict:
    """The state dict in ``content``: that under ``key`` (dots for nested ones), else the preferred one.

    A common prefix such as ``module.`` is taken off, only if every tensor has it. Raises :class:`WeightsError`.
    """
    found = {state.key: state for state in _candidates(content, "", _MAX_DEPTH)}
    if not found:
        raise WeightsError(f"{name}: holds no weights (no dict of tensors){_top_level(content)}")
    if key is not None and key not in found:
        keys = [k or "(the file itself)" for k in found]
        raise WeightsError(f"{name}: no weights under '{key}'{did_you_mean(key, keys)} (weights: {', '.join(keys)})")
    chosen = found[key] if key is not None else min(found.values(), key=_rank)
    return StateDict(strip_prefix(chosen.tensors), chosen.key)


def strip_prefix(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Without ``module.`` and the like, repeatedly, as long as all names begin with the same one."""
    for _ in range(4):
        heads = {name.partition(".")[0] for name in tensors}
        if len(heads) != 1 or not heads <= set(PREFIXES) or not all("." in name for name in tensors):
            break
        tensors = {name.partition(".")[2]: tensor for name, tensor in tensors.items()}
    return tensors


def _candidates(content: object, key: str, depth: int) -> Iterator[StateDict]:
    if not isinstance(content, Mapping):
        return
    if _is_state_dict(content):
        yield StateDict(content, key)
        return
    for name, value in content.items():
        if depth and isinstance(name, str) and not name.startswith(_NOT_WEIGHTS):
            yield from _candidates(value, f"{key}.{name}" if key else name, depth - 1)


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
