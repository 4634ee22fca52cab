"""Rain streaks as grey maps: layers drawn streak by streak, and layers of thresholded, motion-blurred noise.

Sources. Drawn streaks: lines with a cross profile and tapered ends, after the streak appearance model of Garg and
Nayar, "Photorealistic rendering of rain streaks", SIGGRAPH 2006 (bright along the fall, uneven over the length).
Noise: the photo-editing recipe (noise, threshold, directional blur) by which public rain sets are commonly made.
Summing several layers of different direction: Yang et al., "Deep joint rain detection and removal from a single
image", CVPR 2017, equation 3. Everything is vectorised over all layers of all pictures of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Blend = Literal["additive", "screen", "alpha"]
MIN_EDGE = 0.4  # pixels: below a pixel edges are jagged, as in cheaply drawn rain
# fmt: off
DRAWN_FIELDS = ("length", "width", "angle", "opacity", "angle_spread", "length_spread", "width_spread",
                "opacity_spread", "softness", "taper", "unevenness", "ripple", "waviness")
# fmt: on
MAX_ELEMENTS = 4_000_000  # pixels of streaks worked on at a time: bounds memory on whole photos
NOISE_TAPS = (0.35, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0, 0.8, 0.35)  # brightness along a streak of a noise layer
NOISE_CROSS = (0.5, 1.0, 0.5)  # and across it; wider than a cell, or the turned grid of cells would show


@dataclass(frozen=True)
class StreakLayer:
    """One layer of similar streaks. Lengths in pixels, angles in degrees from the vertical (positive: falls right).

    ``coverage`` is the expected number of streaks over a pixel (streaks per pixel x length x width, 0..4);
    ``opacity`` the brightness of the brightest ones (0..1); spreads are relative to the mean, except ``angle_spread``.
    """

    kind: Literal["drawn", "noise"] = "drawn"
    coverage: float = 0.1
    length: float = 30.0
    width: float = 2.0
    angle: float = 0.0
    opacity: float = 0.5
    angle_spread: float = 2.0
    length_spread: float = 0.4
    width_spread: float = 0.3
    opacity_spread: float = 0.7
    softness: float = 0.6  # of the width is a soft edge: 0 hard, 1 or more bell-shaped (defocused)
    taper: float = 0.5  # of each half of the length fades out
    unevenness: float = 0.3  # how much one end may be brighter than the other
    ripple: float = 0.0  # 0..1, brightness swinging along the streak (an oscillating drop)
    waviness: float = 0.0  # pixels by which the centre line swings

    def __post_init__(self) -> None:
        if self.length <= 0 or self.width <= 0:
            raise ValueError(f"streaks need a length and a width, not {self.length} x {self.width}")
        if self.coverage < 0 or not 0 <= self.opacity <= 1:
            raise ValueError(f"coverage {self.coverage} or opacity {self.opacity} is out of range")


@dataclass(frozen=True)
class RainParams:
    """All of one picture's rain: streak layers, how they are laid over it, and the mist behind them.

    ``tint``: colour of the streaks (1, 1, 1 is white). ``veil``: 0..1, share of ``airlight`` (RGB) mixed into the
    picture before the streaks (accumulated far rain), varying smoothly over it by up to ``veil_variation``.
    """

    layers: tuple[StreakLayer, ...]
    blend: Blend = "additive"
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    veil: float = 0.0
    airlight: tuple[float, float, float] = (0.8, 0.8, 0.8)
    veil_variation: float = 0.5

    def scaled(self, factor: float) -> RainParams:
        """The same rain on a picture ``factor`` times as large: lengths and widths grow, coverage stays."""
        layers = (replace(x, length=x.length * factor, width=x.width * factor) for x in self.layers)
        return replace(self, layers=tuple(layers))


def streak_maps(rains: Sequence[RainParams], height: int, width: int, generator: torch.Generator | None) -> Tensor:
    """Summed streaks of each rain, (len(rains), height, width), fp32, not below 0, not clipped above.

    Lives on the generator's device (CPU without one).
    """
    device = generator.device if generator is not None else torch.device("cpu")
    maps = torch.zeros(len(rains), height, width, device=device)
    chosen = [(i, layer) for i, rain in enumerate(rains) for layer in rain.layers]
    drawn = [x for x in chosen if x[1].kind == "drawn"]
    noise = [x for x in chosen if x[1].kind == "noise"]
    # small patches together, which is fast; on photos one layer at a time, which bounds memory
    together = max(1, MAX_ELEMENTS // (4 * height * width))
    work = [(_paint_drawn, drawn)]
    work += [(_paint_noise, noise[i : i + together]) for i in range(0, len(noise), together)]
    for paint, part in work:
        if part:
            paint(maps, torch.tensor([i for i, _ in part], device=device), [layer for _, layer in part], generator)
    return maps


def moments(layer: StreakLayer) -> tuple[float, float]:
    """Expected mean of a layer and expected square above its mean's, both for opacity 1 (opacity scales them)."""
    amount = 1 - layer.opacity_spread / 2
    amount_square = 1 - layer.opacity_spread + layer.opacity_spread**2 / 3
    if layer.kind == "noise":
        across = 0.75 * 8 / 9  # NOISE_CROSS squared over its area; linear interpolation leaves 8/9 of the variance
        mean, square = sum(NOISE_TAPS) / len(NOISE_TAPS), sum(t * t for t in NOISE_TAPS) / len(NOISE_TAPS) * across
    else:
        soft, swing = min(1.0, layer.softness), 1 - layer.ripple / 2
        # integrals over the profile: a smooth step squared has the area 13/35, a linear fade 1/2 and squared 1/3
        mean = (1 - layer.taper / 2) * swing
        square = (1 - 2 * layer.taper / 3) * (1 - 9 / 35 * soft) * (1 + layer.unevenness**2 / 9) * swing**2
        square *= 1 + layer.ripple**2 / 8
    return layer.coverage * amount * mean, layer.coverage * amount_square * square


def _margin(layer: StreakLayer) -> tuple[float, float]:
    """How far outside a picture (x, y) the middle of a streak may be and still reach into it."""
    reach = 0.5 * layer.length * (1 + layer.length_spread)
    angle, spread = math.radians(layer.angle), math.radians(layer.angle_spread)
    rest = layer.width * (1 + layer.width_spread) * (1 + layer.softness) + layer.waviness + 1
    return (
        reach * min(1.0, abs(math.sin(angle)) + spread) + rest,
        reach * min(1.0, abs(math.cos(angle)) + spread) + rest,
    )


def _column(values: list[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).to(like.device)


def _paint_drawn(
    maps: Tensor, owners: Tensor, layers: Sequence[StreakLayer], generator: torch.Generator | None
) -> None:
    """Draw every streak of every layer into ``maps`` (owner of a layer, H, W)."""
    height, width = maps.shape[1:]
    table = torch.tensor([[getattr(x, f) for f in DRAWN_FIELDS] for x in layers], device=maps.device)
    # streaks lie anywhere in the picture and in a margin from which they reach into it
    margins = [_margin(x) for x in layers]
    rates = [
        x.coverage / (x.length * x.width) * (width + 2 * mx) * (height + 2 * my)
        for x, (mx, my) in zip(layers, margins, strict=True)
    ]
    counts = torch.poisson(_column(rates, maps), generator=generator).long()
    layer = torch.repeat_interleave(counts)
    if layer.numel() == 0:
        return
    length, thick, angle, opacity, angle_spread, length_spread, thick_spread = table[layer, :7].unbind(1)
    opacity_spread, softness, taper, unevenness, ripple, waviness = table[layer, 7:].unbind(1)
    draws = torch.rand(9, layer.numel(), device=maps.device, generator=generator)
    u = 2 * draws - 1
    mx, my = torch.tensor(margins, device=maps.device)[layer].unbind(1)
    theta = torch.deg2rad(angle + angle_spread * u[0])
    half_length = (0.5 * length * (1 + length_spread * u[1])).clamp(min=1.0)
    half_width = 0.5 * (thick * (1 + thick_spread * u[2])).clamp(min=1.0)
    edge = (2 * half_width * softness).clamp(min=MIN_EDGE)
    streaks = torch.stack(
        [
            draws[3] * (width + 2 * mx) - mx,
            draws[4] * (height + 2 * my) - my,
            theta.sin(),
            theta.cos(),
            half_length,
            half_width,
            edge,
            (taper * half_length).clamp(min=1.0),
            opacity * (1 - opacity_spread * draws[5]),
            unevenness * u[6] / half_length,
            ripple,
            waviness,
            math.pi * (0.5 + 2.5 * draws[7]) / half_length,  # half a swing to three swings along a streak
            2 * math.pi * draws[8],
        ]
    )
    # thin and thick streaks apart, so that the thin ones do not pay for the width of the thickest
    slope = torch.maximum(streaks[2].abs(), streaks[3].abs())
    extent = (half_width + 0.5 * edge) / slope  # a swinging centre line takes the pixels along
    for low, high in ((0.0, 2.5), (2.5, 4.5), (4.5, math.inf)):
        pick = ((extent >= low) & (extent < high)).nonzero().squeeze(1)
        if pick.numel():
            _rasterise(maps, owners[layer[pick]], streaks[:, pick], int(float(extent[pick].max()) + 0.5))


def _rasterise(maps: Tensor, owner: Tensor, streaks: Tensor, radius: int) -> None:
    """Add streaks (14, N) to ``maps``; ``radius``: pixels each side of the centre line that may be touched.

    A streak is walked a row (or a column, where it lies flatter than 45 degrees) at a time.
    """
    height, width = maps.shape[1:]
    x, y, sin, cos, half_length, half_width, edge = streaks[:7]
    steep = cos.abs() >= sin.abs()
    major, minor = torch.where(steep, y, x), torch.where(steep, x, y)
    along, across = torch.where(steep, cos, sin), torch.where(steep, sin, cos)
    span = half_length * along.abs() + (half_width + 0.5 * edge) * across.abs()
    last = torch.where(steep, height - 1, width - 1)
    first = (major - span).ceil().clamp(min=0)
    rows = ((major + span).floor().minimum(last) - first + 1).clamp(min=0).long()
    streak = torch.repeat_interleave(rows)
    starts = rows.cumsum(0) - rows
    position = torch.arange(streak.numel(), device=maps.device) - starts[streak] + first[streak].long()
    packed = torch.stack([major, minor, along, across, half_length, half_width + 0.5 * edge, 1 / edge, *streaks[7:]])
    stride_major, stride_minor = torch.where(steep, width, 1), torch.where(steep, 1, width)
    limit = torch.where(steep, width, height)
    whole = torch.stack([owner * (height * width), stride_major, stride_minor, limit])
    offsets = torch.arange(-radius, radius + 1, device=maps.device)
    flat = maps.view(-1)
    step = max(1, MAX_ELEMENTS // offsets.numel())
    for start in range(0, streak.numel(), step):
        part, place = streak[start : start + step], position[start : start + step]
        values, minor_index = _profile(packed[:, part].unsqueeze(2), place, offsets)
        base, by_major, by_minor, bound = whole[:, part].unsqueeze(2)
        inside = (minor_index >= 0) & (minor_index < bound)
        index = base + place.unsqueeze(1) * by_major + minor_index.clamp(min=0).minimum(bound - 1) * by_minor
        flat.index_add_(0, index.flatten(), (values * inside).flatten())


def _profile(packed: Tensor, place: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Brightness (R, J) and minor coordinate (R, J) of the pixels around the centre line at row ``place`` (R,)."""
    major, minor, along, across, half_length, outer, per_edge, taper, opacity, uneven = packed[:10]
    ripple, waviness, frequency, phase = packed[10:]
    dm = place.unsqueeze(1) - major
    swing = torch.sin(dm * frequency + phase)  # one value per row: cheap
    minor = minor + waviness * swing
    bright = opacity * (1 - ripple * (0.5 + 0.5 * swing))
    index = (minor + dm * across / along + 0.5).floor().long() + offsets
    dn = index - minor
    reach = dm * along + dn * across
    distance = (dn * along - dm * across).abs()
    cross = ((outer - distance) * per_edge).clamp(0, 1)
    fade = ((half_length - reach.abs()) / taper).clamp(0, 1)
    cross = cross * cross * (3 - 2 * cross)
    return cross * fade * bright * (1 + uneven * reach), index


def _paint_noise(
    maps: Tensor, owners: Tensor, layers: Sequence[StreakLayer], generator: torch.Generator | None
) -> None:
    """Add layers of noise, thresholded to sparse seeds, blurred along the fall, turned and stretched to size."""
    height, width = maps.shape[1:]
    count, taps, cross = len(layers), len(NOISE_TAPS), len(NOISE_CROSS)
    across = [max(0.6, x.width / sum(NOISE_CROSS)) for x in layers]
    along = [max(1.0, x.length / taps) for x in layers]
    diagonal = math.hypot(height, width)
    columns, rows = int(diagonal / min(across)) + 4, int(diagonal / min(along)) + 4
    noise = torch.rand(count, rows + taps - 1, columns + cross - 1, device=maps.device, generator=generator)
    share = _column([min(1.0, x.coverage / (taps * sum(NOISE_CROSS)) + 1e-7) for x in layers], maps).view(-1, 1, 1)
    spread = _column([x.opacity_spread for x in layers], maps).view(-1, 1, 1)
    seeds = torch.where(noise < share, 1 - spread * noise / share, 0)
    # shifted sums: on a CPU a good deal faster than a convolution of one channel
    thick = torch.stack([w * seeds[:, :, i : i + columns] for i, w in enumerate(NOISE_CROSS)]).sum(0)
    blurred = torch.zeros_like(thick[:, :rows])
    for i, weight in enumerate(NOISE_TAPS):
        blurred.add_(thick[:, i : i + rows], alpha=weight)
    theta = torch.deg2rad(_column([x.angle for x in layers], maps)).view(-1, 1, 1)
    phase = torch.rand(2, count, 1, 1, device=maps.device, generator=generator)
    x = torch.arange(width, device=maps.device).view(1, 1, -1) - 0.5 * (width - 1)
    y = torch.arange(height, device=maps.device).view(1, -1, 1) - 0.5 * (height - 1)
    u = (x * theta.cos() - y * theta.sin()) / _column(across, maps).view(-1, 1, 1) + phase[0]
    v = (x * theta.sin() + y * theta.cos()) / _column(along, maps).view(-1, 1, 1) + phase[1]
    grid = torch.stack([2 * u / (columns - 1), 2 * v / (rows - 1)], dim=3)
    turned = functional.grid_sample(blurred.unsqueeze(1), grid, padding_mode="reflection", align_corners=True)
    opacity = _column([layer.opacity for layer in layers], maps).view(-1, 1, 1)
    maps.index_add_(0, owners, turned.squeeze(1) * opacity)
