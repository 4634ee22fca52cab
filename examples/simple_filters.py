"""The best that a simple filter can do on a set of pairs, its settings tuned on that very set: what a model must beat.

    python examples/simple_filters.py --data pairs/ [--channel y|rgb] [--kinds opening median gaussian unsharp nlm]

Every setting is one row of the search; the mean PSNR of the set decides. Needs the ``dev`` extra.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.restoration import denoise_nl_means

from dfrestore.metrics import psnr_rgb, psnr_y, to_8bit
from dfrestore.photo import read
from dfrestore.photo.pairs import find_pairs

Picture = NDArray[np.float32]
Filter = Callable[[Picture], Picture]
KINDS = ("opening", "median", "gaussian", "unsharp", "nlm")


def filters(kinds: tuple[str, ...]) -> Iterator[tuple[str, Filter]]:
    """(description, filter) of every setting; pictures are float (H, W, 3) in [0, 1]."""
    shares = (0.25, 0.5, 0.75, 1.0)
    if "opening" in kinds:
        for (height, width), share in product(((1, 2), (1, 3), (1, 4), (1, 5), (1, 7), (2, 2), (3, 3)), shares):
            size = (height, width, 1)
            yield f"opening {height}x{width}, {share:.0%}", partial(mixed, partial(opening, size=size), share)
    if "median" in kinds:
        for (height, width), share in product(((1, 3), (1, 5), (1, 7), (1, 9), (3, 3), (5, 5)), shares):
            plain = partial(ndimage.median_filter, size=(height, width, 1))
            yield f"median {height}x{width}, {share:.0%}", partial(mixed, plain, share)
    if "gaussian" in kinds:
        for sigma in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.25, 1.5, 2.0):
            yield f"Gaussian {sigma:g}", partial(ndimage.gaussian_filter, sigma=(sigma, sigma, 0))
    if "unsharp" in kinds:
        for sigma, amount in product((0.5, 1.0, 1.5, 2.0, 3.0, 5.0), (0.1, 0.25, 0.5, 1.0, 1.5, 2.0)):
            yield f"unsharp {sigma:g}, {amount:g}", partial(unsharp, sigma=sigma, amount=amount)
    if "nlm" in kinds:
        for strength in (0.02, 0.04, 0.06, 0.08, 0.1, 0.13, 0.17):
            plain = partial(denoise_nl_means, h=strength, patch_size=5, patch_distance=6, channel_axis=2)
            yield f"non-local means {strength:g}", plain


def opening(picture: Picture, size: tuple[int, int, int]) -> Picture:
    """Bright things narrower than ``size`` go; ndimage mirrors the borders."""
    opened: Picture = ndimage.grey_opening(picture, size=size)
    return opened


def unsharp(picture: Picture, sigma: float, amount: float) -> Picture:
    smooth: Picture = ndimage.gaussian_filter(picture, sigma=(sigma, sigma, 0))
    return np.clip(picture + amount * (picture - smooth), 0, 1)


def mixed(plain: Filter, share: float, picture: Picture) -> Picture:
    return picture + share * (plain(picture) - picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of pairs, as for 'dfrestore evaluate'")
    parser.add_argument("--channel", choices=("y", "rgb"), default="y")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["opening", "median"])
    chosen = parser.parse_args()
    score = psnr_y if chosen.channel == "y" else psnr_rgb
    pairs = [(read(pair.input).rgb, to_8bit(read(pair.target).rgb)) for pair in find_pairs(chosen.data).pairs]
    before = np.mean([score(to_8bit(degraded), target) for degraded, target in pairs])
    print(f"{chosen.data}: {len(pairs)} pairs, PSNR ({chosen.channel}) of the input {before:.2f}")
    rows = []
    for name, plain in filters(tuple(chosen.kinds)):
        rows.append((float(np.mean([score(to_8bit(plain(degraded)), target) for degraded, target in pairs])), name))
    best_of: dict[str, tuple[float, str]] = {}
    for value, name in sorted(rows):
        best_of[name.split()[0]] = (value, name)
    for value, name in sorted(best_of.values(), reverse=True):
        print(f"  {value:.2f}  {name}")


if __name__ == "__main__":
    main()
