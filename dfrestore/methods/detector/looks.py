"""What a detector sees of a photo: some crops at full size, and one small view of the whole.

Noise, blocks and blur are told from pixels as they are, haze and drops from the whole. The crops are chosen by the
photo alone: the busiest, where blur and blocks show, the flattest, where noise shows, and others spread between them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dfrestore.nn.padding import padded_index

SMALLEST = 32  # pixels: smaller sides are continued by reflection
BUSIEST, FLATTEST = 1 / 3, 1 / 4  # of the crops
MAX_PIXELS = 1 << 21  # that the choice looks at: rows are left out of larger photos

Looks = tuple[Tensor, Tensor]
"""crops (B, n, 3, c, c') and views (B, 3, v, v'), float32 in [0, 1]."""


def look(pictures: Tensor, *, crop: int, crops: int, view: int) -> Looks:
    """Of pictures (B, 3, H, W) in [0, 1]: at most ``crops`` crops of side ``crop``, and a view of longer side ``view``.

    Pictures with a smaller side have smaller crops, and views are never larger than the picture.
    """
    pictures = _enlarged_to(pictures, SMALLEST)
    height, width = pictures.shape[2:]
    side = min(crop, height), min(crop, width)
    rows, columns = (_spread(length, step) for length, step in zip((height, width), side, strict=True))
    places = [(top, left) for top in rows for left in columns]
    if len(places) > crops:
        chosen = [[places[i] for i in _chosen(_activity(picture, places, side), crops)] for picture in pictures]
    else:
        chosen = [places] * len(pictures)
    cut = [
        torch.stack([picture[:, top : top + side[0], left : left + side[1]] for top, left in own])
        for picture, own in zip(pictures, chosen, strict=True)
    ]
    return torch.stack(cut), _view(pictures, view)


def _spread(length: int, step: int) -> list[int]:
    """Beginnings of as few steps as cover the length, evenly spread."""
    count = -(-length // step)
    return [round(i * (length - step) / max(1, count - 1)) for i in range(count)]


def _activity(picture: Tensor, places: list[tuple[int, int]], side: tuple[int, int]) -> list[float]:
    """The mean step of each crop from pixel to pixel, of green alone."""
    every = max(1, picture.shape[1] * picture.shape[2] // MAX_PIXELS)
    green = picture[1]
    steps = (green[::every, 1:] - green[::every, :-1]).abs()
    sums = functional.pad(steps.double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    tops = torch.tensor([-(-top // every) for top, _ in places])
    bottoms = torch.tensor([-(-(top + side[0]) // every) for top, _ in places])
    lefts = torch.tensor([left for _, left in places])
    rights = lefts + side[1] - 1
    total = sums[bottoms, rights] - sums[tops, rights] - sums[bottoms, lefts] + sums[tops, lefts]
    activity: list[float] = (total / ((bottoms - tops) * (rights - lefts)).to(total.device)).tolist()
    return activity


def _chosen(activity: list[float], count: int) -> list[int]:
    """The busiest, the flattest, and of the others as many as are left, evenly spread; in their order."""
    order = sorted(range(len(activity)), key=lambda i: activity[i])
    flattest, busiest = round(count * FLATTEST), round(count * BUSIEST)
    ends = order[:flattest] + order[len(order) - busiest :]
    others = sorted(set(order) - set(ends))
    between = count - len(ends)
    spread = [others[int((i + 0.5) * len(others) / between)] for i in range(between)]
    return sorted(ends + spread)


def _view(pictures: Tensor, longest: int) -> Tensor:
    """The mean of the pixels that each pixel of the view covers."""
    height, width = pictures.shape[2:]
    factor = max(1.0, max(height, width) / longest)
    size = max(1, round(height / factor)), max(1, round(width / factor))
    small = pictures if factor == 1 else functional.interpolate(pictures, size, mode="area")
    return _enlarged_to(small, SMALLEST)


def _enlarged_to(pictures: Tensor, least: int) -> Tensor:
    for dim in (2, 3):
        length = pictures.shape[dim]
        if length < least:
            index = padded_index(length, least).to(pictures.device)
            pictures = pictures.index_select(dim, index)
    return pictures
