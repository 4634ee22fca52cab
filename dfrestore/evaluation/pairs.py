"""Pairs of pictures as evaluation knows them; they are found in ``photo``, for training needs them too."""

from __future__ import annotations

from dfrestore.photo.pairs import LAYOUTS, Matching, Pair, find_pairs, match_folders

__all__ = ["LAYOUTS", "Matching", "Pair", "find_pairs", "match_folders"]
