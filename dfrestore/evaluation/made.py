"""Pairs that are made from clean pictures while they are measured, as ``dfrestore degrade`` makes them in files."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dfrestore.degrade.kinds import Kind
from dfrestore.degrade.pairs import Recipe, degrade_file
from dfrestore.evaluation.cases import Case, Open
from dfrestore.photo import Photo
from dfrestore.photo.pairs import Pair


def open_degraded(kind: Kind, preset: str, seeds: Mapping[str, int]) -> Open:
    """Opens the target of a pair and makes its input. seeds: by the names of pairs.

    Where the kind makes pictures smaller, the target is cut right and bottom to a multiple of its scale; a hole is
    grey. The input is rounded to 8 bit.
    """
    recipe = Recipe(kind, preset)

    def open_made(pair: Pair) -> Case:
        made = degrade_file(pair.target, recipe, seeds[pair.name])
        photo = Photo(made.degraded.astype(np.float32) / np.float32(255))
        mask = None if made.mask is None else (made.mask > 0).astype(np.float32)
        return Case(photo, made.clean, mask, (made.icc, made.icc))

    return open_made
