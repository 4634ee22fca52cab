"""What a run is judged by: the middles of held-out photos, and their PSNR, or the stage's own verdict."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from dfrestore.methods import Network
from dfrestore.methods.method import Pair, Stage, Verdict
from dfrestore.nn import How
from dfrestore.training.config import TrainConfig
from dfrestore.training.data import Degrade, generator_for
from dfrestore.training.distributed import World
from dfrestore.training.photos import Photos

DRAWS = 1000  # stands for the stage in the draws of validation


class HeldOut:
    """The photos that a run does not train on, and how a network does on them.

    network: of the run, whose scale and multiples the pictures have. degrade: not needed for pairs. world: the
    processes that share the pictures where these are restored; a stage that judges itself shows each process all.
    """

    def __init__(
        self,
        photos: Photos,
        config: TrainConfig,
        network: Network,
        degrade: Degrade | None,
        device: torch.device,
        world: World,
    ) -> None:
        self.photos = photos
        self._config, self._network, self._degrade = config, network, degrade
        self._device, self._world = device, world
        self._pairs: tuple[list[Tensor], list[Tensor]] | None = None

    def pairs(self) -> tuple[list[Tensor], list[Tensor]]:
        """(clean, degraded) middles, float32 in [0, 1], of sides that the network takes; always the same.

        clean: (3, sH, sW), degraded: (3 or 4, H, W); s: the network's scale.
        """
        if self._pairs is None:
            self._pairs = _middles(self.photos, self._config, self._network, self._degrade)
        return self._pairs

    def restored(self, stage: Stage, network: Network, index: int, steps: int, how: How) -> Tensor:
        """The picture of this index as the stage makes it, (3, H, W) in [0, 1], on the CPU."""
        pair = self._pair(index)
        with torch.no_grad():
            restored = stage.restored(network, pair, steps, index, how).clamp(0, 1)
        if network.mask:  # what is known stays
            restored = torch.lerp(pair.degraded[:3], restored, pair.degraded[3:])
        return restored.cpu()

    def scores(self, stage: Stage, network: Network, how: How) -> tuple[dict[int, float], float]:
        """({steps: mean PSNR}, mean PSNR of the inputs)."""
        scores = {n: self._score(stage, network, n, how) for n in self._config.step_counts}
        inputs = [psnr(shown(degraded, clean), clean) for clean, degraded in zip(*self.pairs(), strict=True)]
        return scores, sum(inputs) / max(1, len(inputs))

    def verdict(self, stage: Stage, network: Network, how: How) -> Verdict:
        """Of a stage that judges itself, on one picture at least."""
        with torch.no_grad():
            sums = [
                stage.judged(network, self._pair(index), index, how).cpu() for index in range(len(self.photos.names))
            ]
        return stage.verdict(network, torch.stack(sums).sum(0))

    def _pair(self, index: int) -> Pair:
        clean, degraded = self.pairs()
        return Pair(degraded[index].to(self._device), clean[index].to(self._device))

    def _score(self, stage: Stage, network: Network, steps: int, how: How) -> float:
        clean, _ = self.pairs()
        scores = [0.0] * len(clean)
        for i in range(self._world.rank, len(clean), self._world.size):
            scores[i] = psnr(self.restored(stage, network, i, steps, how), clean[i])
        return sum(self._world.sum(scores)) / max(1, len(scores))


def psnr(a: Tensor, b: Tensor) -> float:
    """dB between pictures in [0, 1], RGB, rounded to 8 bit."""
    error = ((a * 255).round() - (b * 255).round()).square().mean().item()
    return 10 * math.log10(255**2 / max(error, 1e-10))


def shown(degraded: Tensor, clean: Tensor) -> Tensor:
    """A degraded picture as the clean one's like, (3, H, W): bicubic where that is larger, a mask left out."""
    picture = degraded[:3]
    if picture.shape == clean.shape:
        return picture
    size = (clean.shape[1], clean.shape[2])
    return functional.interpolate(picture[None], size, mode="bicubic", align_corners=False)[0].clamp(0, 1)


def _middles(
    photos: Photos, config: TrainConfig, network: Network, degrade: Degrade | None
) -> tuple[list[Tensor], list[Tensor]]:
    side, multiple, scale = config.data.validation_size, network.multiple, network.scale
    grid = scale if photos.paired else 1
    if photos.masks:
        shifts = [_to_hole(mask, side, multiple) for mask in photos.masks]
        clean, inputs, holes = (
            [
                _centre(pixels, side, multiple, shift=shift).float() / 255
                for pixels, shift in zip(pictures, shifts, strict=True)
            ]
            for pictures in (photos.pixels, photos.inputs, photos.masks)
        )
        return clean, [torch.cat([i * (1 - hole[:1]), hole[:1]]) for i, hole in zip(inputs, holes, strict=True)]
    clean = [_centre(pixels, side, multiple * scale, grid).float() / 255 for pixels in photos.pixels]
    if photos.paired:
        return clean, [_centre(pixels, side // scale, multiple).float() / 255 for pixels in photos.inputs]
    return clean, [_degraded(crop, config, i, degrade) for i, crop in enumerate(clean)]


def _centre(pixels: Tensor, side: int, multiple: int, grid: int = 1, shift: tuple[int, int] = (0, 0)) -> Tensor:
    """The middle, with sides of this ``multiple``, which begins at multiples of ``grid``; moved by so many pixels down
    and right, as far as the picture goes.
    """
    height, width = (min(side, n) // multiple * multiple for n in pixels.shape[1:])
    top, left = (
        min(max((n - m) // 2 // grid * grid + by, 0), n - m)
        for n, m, by in zip(pixels.shape[1:], (height, width), shift, strict=True)
    )
    return pixels[:, top : top + height, left : left + width].contiguous()


def _to_hole(mask: Tensor, side: int, multiple: int) -> tuple[int, int]:
    """How far the middle must be moved to see something of the hole: where there is none, nothing can be judged."""
    if _centre(mask, side, multiple)[0].any() or not mask[0].any():
        return 0, 0
    away = mask[0].nonzero() - torch.tensor(mask.shape[1:]) // 2
    down, right = away[away.square().sum(dim=1).argmin()].tolist()
    return down, right


def _degraded(clean: Tensor, config: TrainConfig, index: int, degrade: Degrade | None) -> Tensor:
    if degrade is None:
        raise ValueError("clean photos need a degradation")
    generator = generator_for(config.seed, DRAWS, index)
    return (degrade(clean[None], config.data.preset, generator)[0] * 255).round() / 255
