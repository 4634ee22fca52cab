"""In which order two kinds of damage are best taken away: PSNR of both orders, on photos that have both.

``python examples/order_study.py PHOTOS... [--of noise] [--seed 1]``. Each photo gets the kind named by ``--of`` and,
in turn, each other kind that a photo can have beside it, as :mod:`dfrestore.degrade.mixture` draws them. Counted are
those on which both are noticed. :data:`dfrestore.restore.remedies.ORDER` was chosen by these tables.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import torch

from dfrestore.degrade.mixture import damaged, may_meet
from dfrestore.metrics import psnr_rgb
from dfrestore.photo import read
from dfrestore.restore import Restorer
from dfrestore.restore.images import Rgb
from dfrestore.restore.inputs import pictures_of
from dfrestore.severities import DAMAGES

LEAST = 0.3  # severity of each
KINDS = tuple(name for name in DAMAGES if name != "lowres")  # whose tasks keep the size of a photo
SIDES = (384, 480)  # pixels: of a photo, at most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--of", default="noise", choices=sorted(KINDS))
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    photos = [_rgb_of(path) for path in pictures_of(given.photos, recursive=True).files]
    print(f"| {given.of} and | photos | input | {given.of} last | {given.of} first |\n|---|---|---|---|---|")
    for other in (name for name in KINDS if may_meet(name, given.of)):
        scores: dict[object, list[float]] = defaultdict(list)
        for number, photo in enumerate(photos):
            picture = damaged(torch.from_numpy(photo).permute(2, 0, 1), (other, given.of), given.seed * 4000 + number)
            truth = dict(zip(DAMAGES, picture.severities.tolist(), strict=True))
            if min(truth[other], truth[given.of]) >= LEAST:
                start = picture.picture.permute(1, 2, 0).numpy()
                scores["input"].append(_score(start, photo))
                for order in ((other, given.of), (given.of, other)):
                    scores[order].append(_score(_repaired(start, order), photo))
        if scores:
            means = " | ".join(f"{np.mean(values):.2f}" for values in scores.values())
            print(f"| {other} | {len(scores['input'])} | {means} |", flush=True)


def _repaired(rgb: Rgb, order: tuple[str, ...]) -> Rgb:
    for name in order:
        rgb = _restorer(DAMAGES[name].task)(rgb)
    return rgb


@cache
def _restorer(task: str) -> Restorer:
    return Restorer.from_pretrained(task)


def _rgb_of(path: Path) -> Rgb:
    return np.ascontiguousarray(read(path).rgb[: SIDES[0], : SIDES[1]]).astype(np.float32)


def _score(result: Rgb, target: Rgb) -> float:
    return psnr_rgb(*(np.rint(np.clip(rgb, 0, 1) * 255) for rgb in (result, target)))


if __name__ == "__main__":
    main()
