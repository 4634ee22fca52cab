"""What the configurations of all methods share: their plain form, and the checks of single settings.

Each check raises ValueError with the setting's name, its value and what it may be.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, TypeVar

from dfrestore.errors import did_you_mean

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Settings = TypeVar("Settings", bound=DataclassInstance)


def from_plain(kind: type[Settings], values: Mapping[str, Any], whose: str) -> Settings:
    """A dataclass from a checkpoint's or a preset's plain values; lists become tuples.

    ``whose``: what the settings are of, in words. Raises ValueError on unknown values and on those of another kind
    than the field's default (true or false, whole number, number, list of whole numbers or of names).
    """
    defaults = {f.name: f.default for f in fields(kind)}
    check_known(values, defaults, whose)
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    for key, value in plain.items():
        _check_kind(key, value, defaults[key])
    return kind(**plain)


def to_plain(settings: DataclassInstance) -> dict[str, Any]:
    """Plain values that :func:`from_plain` reads back; tuples become lists."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()}


def check_known(values: Iterable[str], known: Collection[str], whose: str) -> None:
    """Every name is a known one."""
    for key in values:
        if key not in known:
            raise ValueError(f"unknown setting '{key}' of {whose}{did_you_mean(key, known)}")


def check_levels(dim: int, least: int, blocks: Sequence[int], heads: Sequence[int]) -> None:
    """A network of four levels, each twice as wide as the one before; attention splits each width by its heads."""
    if not least <= dim <= 1024 or dim % 2:
        raise ValueError(f"dim {dim} is not an even number from {least} to 1024")
    if len(blocks) != 4 or not all(0 < n <= 64 for n in blocks):
        raise ValueError(f"blocks {list(blocks)} are not four numbers from 1 to 64")
    if len(heads) != 4 or not all(h > 0 and (dim << i) % h == 0 for i, h in enumerate(heads)):
        raise ValueError(f"heads {list(heads)} do not divide the widths {[dim << i for i in range(4)]}")


def check_ffn_factor(factor: float, dim: int) -> None:
    """The feed-forward's hidden width, ``dim * factor``, is neither nothing nor vast."""
    if not 0.25 <= factor <= 16 or int(dim * factor) < 1:
        raise ValueError(f"ffn_factor {factor} is not from 0.25 to 16")


def check_norm(norm: str) -> None:
    """One of the two layer norms."""
    if norm not in ("WithBias", "BiasFree"):
        raise ValueError(f"norm {norm!r} is neither 'WithBias' nor 'BiasFree'")


def check_stem(what: str, stem: int) -> None:
    """By how much a picture is pixel-unshuffled."""
    if stem not in (1, 2, 4):
        raise ValueError(f"{what} {stem} is not 1, 2 or 4")


def check_range(what: str, value: int, low: int, high: int) -> None:
    """From ``low`` to ``high``."""
    if not low <= value <= high:
        raise ValueError(f"{what} {value} is not from {low} to {high}")


def one_of(value: object, known: tuple[str, ...], what: str) -> Any:
    """The value, which is one of the known names."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{what} {value!r} is not one of {', '.join(known)}{did_you_mean(str(value), known)}")
    return value


def whole_number(value: object, what: str, low: int, high: int) -> int:
    """The value, which is a whole number from ``low`` to ``high``; true and false are none."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{what} {value!r} is not a whole number from {low} to {high}")
    return value


def true_or_false(value: object, what: str) -> bool:
    """The value, which is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{what} {value!r} is neither true nor false")
    return value


def two_betas(betas: object) -> tuple[float, float]:
    """First and last beta of a noise schedule, 0 < first <= last < 1."""
    pair = list(betas) if isinstance(betas, list | tuple) else []
    if len(pair) != 2 or any(type(b) not in (int, float) for b in pair) or not 0 < pair[0] <= pair[1] < 1:
        raise ValueError(f"betas {betas!r} are not two numbers with 0 < first <= last < 1")
    return float(pair[0]), float(pair[1])


def _check_kind(key: str, value: object, default: object) -> None:
    """Raise ValueError unless the value is of the default's kind."""
    if isinstance(default, bool):
        true_or_false(value, key)
    elif isinstance(default, tuple):
        kind = type(default[0]) if default else int
        if not (isinstance(value, tuple) and all(type(item) is kind for item in value)):
            raise ValueError(f"{key} {value!r} is not a list of {'names' if kind is str else 'whole numbers'}")
    elif isinstance(default, int):
        if type(value) is not int:
            raise ValueError(f"{key} {value!r} is not a whole number")
    elif isinstance(default, float) and type(value) not in (int, float):
        raise ValueError(f"{key} {value!r} is not a number")
