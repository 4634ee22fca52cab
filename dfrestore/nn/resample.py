"""Down- and upsampling by two: a 3x3 convolution and a pixel (un)shuffle. Tensor names: ``body.0``."""

from __future__ import annotations

from torch import Tensor, nn


class _Resample(nn.Module):
    body: nn.Sequential

    @property
    def conv(self) -> nn.Conv2d:
        """The convolution before the (un)shuffle."""
        conv = self.body[0]
        assert isinstance(conv, nn.Conv2d)
        return conv

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


class Downsample(_Resample):
    """(B, C, H, W) -> (B, 2C, H/2, W/2); H and W even. C -> C/2 convolution, then unshuffle."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, channels // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))


class Upsample(_Resample):
    """(B, C, H, W) -> (B, C/2, 2H, 2W). C -> 2C convolution, then shuffle."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, channels * 2, 3, padding=1, bias=False), nn.PixelShuffle(2))
