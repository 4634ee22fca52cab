"""What the names of files and folders say of a pair: the scene, how many times smaller, which of both sides."""

from __future__ import annotations

import re
from typing import Literal

from dfrestore.tasks import role_words

# Words in file names that tell which picture of a pair it is: norain-001 and rain-001, or a_derain and a.
ROLES = role_words()
# Further ones of super-resolution.
_SIDES = frozenset({"lr", "hr", "bic", "bicubic"})

_SEPARATORS = re.compile(r"[-_. ]+")
_FACTOR = "([2-9]|1[0-6])"
# SRF_4, x4 and 4x between separators, and x4 at the end of a word at the end: babyx4
_SCALE = re.compile(rf"(?:^|_)(?:(?:srf_?|x){_FACTOR}|{_FACTOR}x)(?=_|$)|(?<=[^_])x{_FACTOR}$")
_MASK = re.compile(r"[-_. ]+mask[-_. ]*\d*$", re.IGNORECASE)

_BICUBIC = "(?:[-_ ]?bic(?:ubic)?)?"
_BY = rf"(?:[-_ ]?(?:x{_FACTOR}|{_FACTOR}x))"
# lr, LR_x4, LRbicx4, LR_bicubic, input_x4; X4, bicubic_x4
_SMALL = re.compile(rf"(?:lr|lq|low|input){_BICUBIC}{_BY}?|{_BICUBIC}{_BY}")
# hr, GTmod12, target
_LARGE = re.compile(rf"(?:hr|gt|high|target)(?:[-_ ]?mod[-_ ]?\d+)?{_BY}?")


def scene(name: str) -> str:
    """The words of a name without those that tell the side of a pair; empty where no other words are left."""
    return "_".join(word for word in _words(name) if word not in ROLES)


def scene_and_scale(name: str) -> tuple[str, int | None]:
    """:func:`scene` without the words of super-resolution too, and the scale that they state.

    ``img_001_SRF_4_LR`` -> ``img_001``, 4; ``babyx4`` -> ``baby``, 4; ``baby_HR`` -> ``baby``, None.
    """
    text = "_".join(word for word in _words(name) if word not in ROLES and word not in _SIDES)
    found = _SCALE.search(text)
    if found is None:
        return text, None
    return (text[: found.start()] + text[found.end() :]).strip("_"), _factor(found)


def side_of_file(name: str) -> Literal["lr", "hr"] | None:
    """``lr`` or ``hr``, where the name has one of these words."""
    words = set(_words(name))
    if "lr" in words:
        return "lr"
    return "hr" if "hr" in words else None


def scale_between_separators(name: str) -> int | None:
    """The scale in a name like ``image_SRF_2``, but not in ``linux2``."""
    found = _SCALE.search("_".join(_words(name)))
    return None if found is None or found[3] else _factor(found)


def small_folder(name: str) -> tuple[bool, int | None]:
    """Whether a folder of this name holds the small pictures of super-resolution, and the scale that it states."""
    found = _SMALL.fullmatch(name.lower())
    return (False, None) if found is None else (True, _factor(found))


def large_folder(name: str) -> tuple[bool, int | None]:
    """Whether a folder of this name holds the large pictures of super-resolution, and the scale that it states."""
    found = _LARGE.fullmatch(name.lower())
    return (False, None) if found is None else (True, _factor(found))


def without_mask_word(name: str) -> str:
    """``cat_mask`` and ``cat_mask003`` -> ``cat``; the name itself where nothing would be left."""
    return _MASK.sub("", name) or name


def _words(name: str) -> list[str]:
    return _SEPARATORS.split(name.lower())


def _factor(found: re.Match[str]) -> int | None:
    return next((int(group) for group in found.groups() if group), None)
