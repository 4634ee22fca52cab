"""The settings of a detector, and their check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dfrestore.methods.settings import check_range, from_plain, one_of, to_plain
from dfrestore.severities import DAMAGES


@dataclass(frozen=True)
class DetectorConfig:
    """widths: channels at a half, a quarter, ... of the sides. blocks: residual blocks at each. hidden: of the head.

    crop: side of the crops at full size; crops: how many of a photo are looked at; view: longer side of the small view
    of all of it. kinds: names of :data:`dfrestore.severities.DAMAGES`, in the order of what comes out.
    """

    widths: tuple[int, ...] = (24, 48, 80, 96)
    blocks: tuple[int, ...] = (0, 1, 1, 1)
    hidden: int = 96
    crop: int = 160
    crops: int = 12
    view: int = 160
    kinds: tuple[str, ...] = tuple(DAMAGES)

    def __post_init__(self) -> None:
        if not 1 <= len(self.widths) <= 6 or not all(4 <= width <= 512 for width in self.widths):
            raise ValueError(f"widths {list(self.widths)} are not one to six numbers from 4 to 512")
        if len(self.blocks) != len(self.widths) or not all(0 <= count <= 16 for count in self.blocks):
            raise ValueError(f"blocks {list(self.blocks)} are not a number from 0 to 16 for each of the widths")
        check_range("hidden", self.hidden, 4, 1024)
        check_range("crop", self.crop, 32, 1024)
        check_range("crops", self.crops, 1, 256)
        check_range("view", self.view, 32, 1024)
        if not self.kinds or len(set(self.kinds)) != len(self.kinds):
            raise ValueError(f"kinds {list(self.kinds)} are none, or name one twice")
        for kind in self.kinds:
            one_of(kind, tuple(DAMAGES), "kind")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> DetectorConfig:
        """From a checkpoint's or a preset's plain values. Raises ValueError on unknown or impossible ones."""
        return from_plain(cls, values, "a detector")

    def to_mapping(self) -> dict[str, Any]:
        """Plain values that :meth:`from_mapping` reads back."""
        return to_plain(self)
