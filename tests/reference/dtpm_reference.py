"""DTPM's block, U-Net, adapter and sampler, literally as the facts write them: numpy in fp64, pixel by pixel.

Slow, and independent of the package: only the names of its tensors are used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = Mapping[str, Array]


def conv(x: Array, w: Weights, name: str, stride: int = 1, groups: int = 1) -> Array:
    """(c, H, W) -> (o, H', W'); kernels of odd size are padded with zeros."""
    weight, bias = w[f"{name}.weight"], w.get(f"{name}.bias")
    outputs, inputs, size, _ = weight.shape
    around = size // 2 if size % 2 else 0
    padded = np.pad(x, ((0, 0), (around, around), (around, around)))
    height, width = ((side + 2 * around - size) // stride + 1 for side in x.shape[1:])
    out = np.zeros((outputs, height, width))
    of_each = outputs // groups
    for o in range(outputs):
        begin = o // of_each * inputs
        for i in range(height):
            for j in range(width):
                seen = padded[begin : begin + inputs, i * stride : i * stride + size, j * stride : j * stride + size]
                out[o, i, j] = (seen * weight[o]).sum()
        if bias is not None:
            out[o] += bias[o]
    return out


def linear(x: Array, w: Weights, name: str) -> Array:
    return w[f"{name}.weight"] @ x + w[f"{name}.bias"]


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def norm(x: Array) -> Array:
    """Over the channels of each pixel, eps 1e-6, without affine."""
    out = np.empty_like(x)
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            pixel = x[:, i, j]
            out[:, i, j] = (pixel - pixel.mean()) / math.sqrt(pixel.var() + 1e-6)
    return out


def gate(x: Array) -> Array:
    half = len(x) // 2
    return x[:half] * x[half:]


def naf_block(f: Array, w: Weights, name: str, scale1: Array, shift1: Array, scale2: Array, shift2: Array) -> Array:
    """Section 3.1, steps 2 to 4."""
    h = norm(f) * scale1[:, None, None] + shift1[:, None, None]
    h = gate(conv(conv(h, w, f"{name}.mixing.expand"), w, f"{name}.mixing.depthwise", groups=2 * len(f)))
    average = h.mean(axis=(1, 2))[:, None, None]
    h = h * conv(average, w, f"{name}.mixing.attend")
    f = f + w[f"{name}.mixing.beta"][0] * conv(h, w, f"{name}.mixing.project")
    h = norm(f) * scale2[:, None, None] + shift2[:, None, None]
    return f + w[f"{name}.feed.beta"][0] * conv(gate(conv(h, w, f"{name}.feed.expand")), w, f"{name}.feed.project")


def denoiser_block(f: Array, w: Weights, name: str, time: Array, code: Array | None) -> Array:
    """Section 3.1, step 1, and the block."""
    m = linear(silu(time), w, f"{name}.time")
    if code is not None:
        m = m + linear(silu(code), w, f"{name}.semantic")
    a1, b1, a2, b2 = np.split(m, 4)
    return naf_block(f, w, name, 1 + a1, b1, 1 + a2, b2)


def learnt_block(f: Array, w: Weights, name: str) -> Array:
    affines = [w[f"{name}.norm{i}.{part}"] for i in (1, 2) for part in ("weight", "bias")]
    return naf_block(f, w, name, *affines)


def adapter(f: Array, y: Array, w: Weights, name: str) -> Array:
    """Eq. 5: f + M_out(M_in(f) + Conv(y)), y already at f's resolution."""
    return f + conv(conv(f, w, f"{name}.into") + conv(y, w, f"{name}.sight"), w, f"{name}.back")


def area_average(picture: Array, factor: int) -> Array:
    channels, height, width = picture.shape
    out = np.zeros((channels, height // factor, width // factor))
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            block = picture[:, i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
            out[:, i, j] = block.mean(axis=(1, 2))
    return out


def shuffle(x: Array, factor: int) -> Array:
    """Pixel shuffle."""
    channels, height, width = len(x) // factor**2, x.shape[1], x.shape[2]
    out = np.zeros((channels, height * factor, width * factor))
    for c in range(channels):
        for r in range(factor):
            for s in range(factor):
                out[c, r::factor, s::factor] = x[c * factor**2 + r * factor + s]
    return out


def unshuffle(x: Array, factor: int) -> Array:
    return np.stack([x[c, r::factor, s::factor] for c in range(len(x)) for r in range(factor) for s in range(factor)])


def u_net(
    picture: Array,
    w: Weights,
    name: str,
    encoder: Sequence[int],
    middle: int,
    decoder: Sequence[int],
    stem: int,
    block: Callable[[Array, str, str, int], Array],
) -> Array:
    """Section 3.2. block(f, name, place, index): what a block, and an adapter after it, makes of f."""

    def group(f: Array, place: str, count: int) -> Array:
        for index in range(count):
            f = block(f, f"{name}.{place}.{index}", place, index)
        return f

    f, skips = conv(unshuffle(picture, stem), w, f"{name}.intro"), []
    for level, count in enumerate(encoder):
        f = group(f, f"encoder{level + 1}", count)
        skips.append(f)
        f = conv(f, w, f"{name}.downs.{level}", stride=2)
    f = group(f, "middle", middle)
    for level in reversed(range(len(decoder))):
        f = shuffle(conv(f, w, f"{name}.ups.{level}"), 2) + skips.pop()
        f = group(f, f"decoder{level + 1}", decoder[level])
    return shuffle(conv(f, w, f"{name}.ending"), stem)


def time_vector(t: float, w: Weights, channels: int) -> Array:
    half = channels // 2
    angles = t * np.array([10000 ** (-k / half) for k in range(half)])
    embedded = np.concatenate([np.sin(angles), np.cos(angles)])
    return linear(silu(linear(embedded, w, "denoiser.embed.first")), w, "denoiser.embed.second")


def alpha_bars() -> Array:
    """Section 2: T = 1000, beta linear from 1e-4 to 0.02."""
    return np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))


def ddim(
    y_eps: Array, x: Array, points: Sequence[int], evaluate: Callable[[Array, int], Array], prediction: str = "epsilon"
) -> Array:
    """Section 2: the picture after the whole chain, clamped to [-1, 1]."""
    bars, r0 = alpha_bars(), np.zeros_like(x)
    for t, after in zip(points, [*points[1:], -1], strict=True):
        bar, following = bars[t], 1.0 if after == -1 else bars[after]
        output = evaluate(x, t)
        r0 = (x - math.sqrt(1 - bar) * output) / math.sqrt(bar) if prediction == "epsilon" else output
        r0 = np.clip(r0, -2, 2)
        e = (x - math.sqrt(bar) * r0) / math.sqrt(1 - bar)
        x = math.sqrt(following) * r0 + math.sqrt(1 - following) * e
    return np.clip(y_eps + r0, -1, 1)
