"""The one stage of a detector's training: severities of damage that it draws itself, on clean photos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from dfrestore.degrade.mixture import damaged, draw_mixture
from dfrestore.methods.detector.network import Detector
from dfrestore.methods.method import Batch, Call, Extras, Pair, Stage, Verdict
from dfrestore.nn import How
from dfrestore.severities import DAMAGES, NOTICED

MIXTURES = 3  # of a held-out photo, beside it untouched and once with each kind
_COUNTS = ("present", "error_present", "absent", "error_absent", "severe", "found", "wrongly found")


@dataclass(frozen=True)
class Detect(Stage):
    """Each crop of the batch gets a mixture of its own; ``batch.degraded`` is not used.

    Views are drawn smaller than usual, down to a third: photos are reduced more than crops are to become views, and
    what is fine should be told from crops, not from views that still show it.

    The loss is the cross entropy of severities, which draws the doubtful to their mean, and their L1 distance times
    ``l1_weight``, which draws what is absent to 0.
    """

    name: ClassVar[str] = "detect"
    restores: ClassVar[bool] = False

    l1_weight: float = 1.0

    def losses(
        self, network: Detector, call: Call, batch: Batch, draw: torch.Generator, extras: Extras
    ) -> dict[str, Tensor]:
        seeds = torch.randint(2**31 - 1, (batch.size,), generator=draw)[batch.part].tolist()
        mixtures = [draw_mixture(clean, seed) for clean, seed in zip(batch.clean, seeds, strict=True)]
        pictures = torch.stack([mixture.picture for mixture in mixtures])
        wanted = _of_kinds(torch.stack([mixture.severities for mixture in mixtures]), network).to(pictures.device)
        most = network.config.view
        view = int(torch.randint(max(1, most // 3), most + 1, (1,), generator=draw))
        logits = call(*network.look(pictures, view))
        entropy = functional.binary_cross_entropy_with_logits(logits, wanted)
        error = (logits.sigmoid() - wanted).abs().mean()
        return {"loss": entropy + self.l1_weight * error, "entropy": entropy, "error": error}

    def judged(self, network: Detector, pair: Pair, index: int, how: How) -> Tensor:
        """Counts and sums of errors, float64 (kinds * 7 + 2,), of one photo: untouched, with each kind, with mixtures.

        The draws follow from ``index`` alone.
        """
        kinds = network.config.kinds
        total = torch.zeros(len(kinds), len(_COUNTS), dtype=torch.float64)
        spared = torch.zeros(2, dtype=torch.float64)
        for picture, severities in _held_out(pair.clean, kinds, index):
            wanted = _of_kinds(severities[None], network)[0].double()
            logits = network.walk(how, *network.look(picture[None].to(pair.clean.device)))
            told = logits[0].sigmoid().double().cpu()
            total += _counted(told, wanted)
            if not wanted.any():
                spared += torch.tensor([1.0, float((told < NOTICED).all())], dtype=torch.float64)
        return torch.cat([total.flatten(), spared])

    def verdict(self, network: Detector, sums: Tensor) -> Verdict:
        """A row for each kind: mean absolute error; of those at least :data:`NOTICED` severe, the share that is told as
        such; of photos without it, the share that is told to have it. The score is 1 less the mean error, photos with
        and without a kind counting alike.
        """
        rows: dict[str, Mapping[str, float]] = {}
        errors = []
        for kind, numbers in zip(network.config.kinds, sums[:-2].view(-1, len(_COUNTS)).tolist(), strict=True):
            present, error_present, absent, error_absent, severe, found, wrong = numbers
            rows[kind] = {
                "error": _share(error_present + error_absent, present + absent),
                "found": _share(found, severe),
                "false": _share(wrong, absent),
            }
            errors.append((_share(error_present, present) + _share(error_absent, absent)) / 2)
        photos, untouched = sums[-2:].tolist()
        rows["clean photos"] = {"untouched": _share(untouched, photos)}
        return Verdict(1 - sum(errors) / len(errors), rows)


def _held_out(clean: Tensor, kinds: tuple[str, ...], index: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(picture, severities of all known kinds) of one photo (3, H, W)."""
    for number, kind in enumerate(kinds):
        mixture = damaged(clean, [kind], 1_000_003 * index + number)
        yield mixture.picture, mixture.severities
    yield clean, torch.zeros(len(DAMAGES))
    for number in range(MIXTURES):
        mixture = draw_mixture(clean, 1_000_003 * index + 100 + number)
        yield mixture.picture, mixture.severities


def _of_kinds(severities: Tensor, network: Detector) -> Tensor:
    """(B, all known) -> (B, those that the network tells)."""
    known = list(DAMAGES)
    return severities[:, [known.index(kind) for kind in network.config.kinds]]


def _counted(told: Tensor, wanted: Tensor) -> Tensor:
    """:data:`_COUNTS` of one picture, (kinds, 7)."""
    error, present, absent = (told - wanted).abs(), (wanted > 0).double(), (wanted == 0).double()
    severe, noticed = (wanted >= NOTICED).double(), (told >= NOTICED).double()
    columns = [present, present * error, absent, absent * error, severe, severe * noticed, absent * noticed]
    return torch.stack(columns, dim=1)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
