"""How well a detector, and ``auto`` with it, tells what is wrong with photos that it has not seen: tables of its card.

``python examples/detector_study.py PHOTOS... [--model FILE] [--seed 1]``. Every photo gets each kind of damage alone,
as :mod:`dfrestore.degrade.mixture` draws it, then pairs of kinds; and it is looked at as it is. A damage is found where
``dfrestore auto`` would treat it, which also tries what the detector is not sure of (``--alone``: it does not); it
counts as there where it is severe enough to be noticed. Of two, one may be found once the other is gone. The mean
error is that of the detector alone.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from dfrestore.degrade.mixture import damaged, may_meet
from dfrestore.photo import read
from dfrestore.restore import Auto
from dfrestore.restore.inputs import pictures_of
from dfrestore.restore.remedies import ORDER, remedies
from dfrestore.severities import DAMAGES

STRENGTHS = {"mild": (0.3, 0.5), "medium": (0.5, 0.7), "strong": (0.7, 1.01)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--model")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--alone", action="store_true", help="nothing is tried")
    parser.add_argument("--pairs", type=int, default=2, help="mixtures of two kinds for each photo")
    given = parser.parse_args()
    auto = Auto.from_pretrained(ORDER, detector=given.model)

    def look(picture: torch.Tensor) -> tuple[dict[str, float], dict[str, float]]:
        """Severities of (3, H, W): (as they count, as the detector tells)."""
        alone = auto.detection.severities(_rgb(picture))
        return (alone if given.alone else auto.second_opinion(_rgb(picture), alone)), alone

    rows: dict[str, list[tuple[float, dict[str, float]]]] = defaultdict(list)
    mixed: list[bool] = []
    clean: list[tuple[Path, dict[str, float]]] = []
    errors: dict[str, list[float]] = defaultdict(list)
    pairs = [pair for pair in itertools.combinations(DAMAGES, 2) if may_meet(*pair)]
    for number, path in enumerate(pictures_of(given.photos, recursive=True).files):
        picture = torch.from_numpy(np.ascontiguousarray(read(path).rgb)).permute(2, 0, 1).float()
        clean.append((path, look(picture)[0]))
        chosen = [pairs[(number * given.pairs + k) * 7 % len(pairs)] for k in range(given.pairs)]
        for turn, kinds in enumerate([*((name,) for name in DAMAGES), *chosen]):
            mixture = damaged(picture, kinds, given.seed * 1_000_003 + number * 101 + turn)
            told, alone = look(mixture.picture)
            truth = dict(zip(DAMAGES, mixture.severities.tolist(), strict=True))
            for name in DAMAGES:
                errors[name].append(abs(alone[name] - truth[name]))
            if len(kinds) == 1:
                rows[kinds[0]].append((truth[kinds[0]], told))
            elif min(truth[name] for name in kinds) >= STRENGTHS["mild"][0]:
                mixed.append({*kinds} <= (_found(told) if given.alone else _treated(auto, _rgb(mixture.picture))))
    _print_singles(rows, errors)
    print(f"both of two: {np.mean(mixed):.1%} of {len(mixed)}")
    harmed = [(path, told) for path, told in clean if _found(told)]
    print(f"untouched as they are: {1 - len(harmed) / len(clean):.1%} of {len(clean)}")
    for path, told in harmed:
        print("  ", path.name, {name: round(told[name], 2) for name in sorted(_found(told))})


def _print_singles(rows: dict[str, list[tuple[float, dict[str, float]]]], errors: dict[str, list[float]]) -> None:
    print("| damage | " + " | ".join(STRENGTHS) + " | all | mean error |\n|---|" + "---|" * (len(STRENGTHS) + 2))
    total: list[bool] = []
    for name, cases in rows.items():
        cells = []
        for low, high in STRENGTHS.values():
            found = [name in _found(told) for truth, told in cases if low <= truth < high]
            cells.append(f"{np.mean(found):.0%} of {len(found)}" if found else "-")
        found = [name in _found(told) for truth, told in cases if truth >= STRENGTHS["mild"][0]]
        total += found
        print(
            f"| {DAMAGES[name].words} | "
            + " | ".join(cells)
            + f" | {np.mean(found):.1%} | {np.mean(errors[name]):.3f} |"
        )
    error = np.mean([value for values in errors.values() for value in values])
    print(f"found: {np.mean(total):.1%} of {len(total)} single cases; mean error {error:.3f}")


def _treated(auto: Auto, rgb: np.ndarray) -> set[str]:
    """What is planned at first, and what is seen later."""
    return {remedy.damage for remedy in auto.with_repair(rgb)[1].planned}


def _found(told: dict[str, float]) -> set[str]:
    return {remedy.damage for remedy in remedies(told, ORDER)[0]}


def _rgb(picture: torch.Tensor) -> np.ndarray:
    return picture.permute(1, 2, 0).numpy()


if __name__ == "__main__":
    main()
