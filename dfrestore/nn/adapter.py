"""The conditional guidance adapter of DTPM: what it adds to features depends on them and on a picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Adapter(nn.Module):
    """x + back(into(x) + sight(picture)): x (B, C, H, W), picture (B, 3, H, W), all three linear. (DTPM, Eq. 5.)

    hidden: channels in between. ``back`` is zero at first, so an untrained adapter adds nothing.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.into = nn.Conv2d(channels, hidden, 1)
        self.sight = nn.Conv2d(3, hidden, 3, padding=1)
        self.back = nn.Conv2d(hidden, channels, 1)
        with torch.no_grad():
            self.back.weight.zero_()
            assert self.back.bias is not None
            self.back.bias.zero_()

    def forward(self, x: Tensor, picture: Tensor) -> Tensor:
        out: Tensor = x + self.back(self.into(x) + self.sight(picture))
        return out
