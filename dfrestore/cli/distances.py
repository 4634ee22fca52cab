"""``--lpips``, ``--dists`` and ``--gmsd`` of ``dfrestore evaluate``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dfrestore.errors import FileFailure

if TYPE_CHECKING:
    from dfrestore.evaluation import Distance


def distances(lpips: str | None, dists: bool, gmsd: bool, device: str, *, quiet: bool) -> tuple[Distance, ...]:
    """What is measured beside PSNR and SSIM. lpips: its backbone. Raises StartError where the extra or weights miss."""
    learned = _learned(lpips, dists, device, quiet=quiet) if lpips is not None or dists else []
    return (*learned, _edges()) if gmsd else tuple(learned)


def _edges() -> Distance:
    from dfrestore.evaluation import Distance
    from dfrestore.metrics import gmsd

    return Distance("GMSD", "luma of 0 to 255, halved, c = 170", gmsd)


def _learned(lpips: str | None, dists: bool, device: str, *, quiet: bool) -> list[Distance]:
    """Those of features that a network has learnt."""
    from dfrestore.engine import choose_device
    from dfrestore.evaluation import Distance
    from dfrestore.metrics.perceptual import NETS, load_dists, load_lpips

    place = choose_device(device).torch_device
    progress = sys.stderr.isatty() and not quiet
    found = []
    if lpips is not None:
        about = f"version 0.1, {NETS[lpips].name}, RGB in [-1, 1]"
        found.append(Distance(f"LPIPS {lpips}", about, _fitting(load_lpips(lpips, place, progress=progress))))
    if dists:
        about = "VGG-16, RGB in [0, 1], not resized"
        found.append(Distance("DISTS", about, _fitting(load_dists(place, progress=progress))))
    return found


def _fitting(measure: Callable[[Any, Any], float]) -> Callable[[Any, Any], float]:
    """The measure with a picture too large for the memory as a failure of that picture."""
    from dfrestore.engine import is_out_of_memory

    def fitting(a: Any, b: Any) -> float:
        try:
            return measure(a, b)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        raise FileFailure(f"{a.shape[1]}x{a.shape[0]} pixels do not fit into memory for LPIPS or DISTS; leave them out")

    return fitting
