"""The look at the data before the first step: what is there, what is left out and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from dfrestore.engine import available_memory
from dfrestore.errors import StartError, UsageError, one_line
from dfrestore.photo import is_candidate
from dfrestore.photo.pair_masks import masks_of_set, with_masks
from dfrestore.photo.pairs import Matching, find_pairs, match_folders
from dfrestore.sizes import parse_bytes
from dfrestore.training.config import DataConfig
from dfrestore.training.photos import Finding, Kind, Photos, Source
from dfrestore.training.store import load

SHOWN = 10
SMALLEST_PHOTO = 64
SMALLEST_PAIR = 16  # of what the network sees; pictures smaller than a crop are mirrored
_TITLES: dict[Kind, str] = {
    "no target": "inputs without a target, left out",
    "no input": "targets without an input, left out",
    "no mask": "pairs without a mask, left out",
    "unreadable": "cannot be read, left out",
    "sizes": "sizes of input and target differ, left out",
    "small": "too small, left out",
    "identical": "input and target are identical, kept",
}


def load_data(
    data: DataConfig,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    scale: int = 1,
    masks: bool = False,
    multiple: int = 1,
) -> Photos:
    """All photos that ``data`` names, decoded; unusable ones are in the findings. Raises :class:`StartError`.

    ``progress(done, total)`` is called as files are decoded. scale: how many times larger than the degraded pictures of
    pairs the clean ones are. masks: pairs have masks. multiple: of which the network takes sides; smaller pictures
    cannot be validated.
    """
    mixed = load_data(DataConfig(clean=data.mix, memory=data.memory, cache=data.cache), progress) if data.mix else None
    sources, findings = find_sources(data, scale=scale, masks=masks)
    memory = _memory() if data.memory == "auto" else parse_bytes(data.memory, "data.memory")
    smallest = scale * max(SMALLEST_PAIR, multiple) if data.paired else max(SMALLEST_PHOTO, scale * multiple)
    photos = load(sources, smallest, memory, parse_bytes(data.cache, "data.cache"), progress, scale)
    findings += [*photos.findings, *(mixed.findings if mixed else ())]
    return Photos(photos.names, photos.pixels, tuple(findings), photos.inputs, mixed, photos.masks)


def find_sources(data: DataConfig, *, scale: int = 1, masks: bool = False) -> tuple[list[Source], list[Finding]]:
    """The files that ``data`` names, in order, and those without a partner. Raises :class:`StartError`."""
    if not data.paired:
        files = {f for folder in data.clean for f in Path(folder).rglob("*") if f.is_file() and is_candidate(f)}
        return [Source(file.name, (file,)) for file in sorted(files)], []
    sources: list[Source] = []
    findings: list[Finding] = []
    for matching in _matchings(data, scale, masks):
        sources += [Source(pair.name, (pair.target, pair.input, *pair.masks)) for pair in matching.pairs]
        findings += [Finding("no mask", str(path)) for path in matching.without_mask]
        findings += [Finding("no target", str(path)) for path in matching.lonely_inputs]
        findings += [Finding("no input", str(path)) for path in matching.lonely_targets]
    return sources, findings


def report(photos: Photos) -> list[str]:
    """Lines for people: a heading with a count for each kind of finding, and its first names."""
    lines = []
    for kind, title in _TITLES.items():
        found = [finding.text for finding in photos.findings if finding.kind == kind]
        if found:
            lines.append(f"{title}: {len(found)}")
            lines += [f"  {one_line(text)}" for text in found[:SHOWN]]
            lines += [f"  and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return lines


def describe(photos: Photos) -> str:
    """One phrase: how many there are, how large, how many left out."""
    left = f", {photos.left_out} left out" if photos.left_out else ""
    mixed = f", mixed with {len(photos.mixed.names)} clean photos" if photos.mixed else ""
    return f"{len(photos.names)} {photos.noun}, {float(photos.areas.sum()) / 1e6:.4g} megapixels{mixed}{left}"


def require(photos: Photos, data: DataConfig) -> None:
    """Raise :class:`StartError` where there is nothing to train on."""
    if not photos.names:
        what = "pair" if data.paired else "photo"
        where = ", ".join((*data.clean, *data.pairs, *filter(None, (data.input,))))
        raise StartError(f"nothing to train on: no usable {what} under {where} ({photos.left_out} left out)")
    if photos.mixed is not None and not photos.mixed.names:
        raise StartError(f"nothing to mix in: no usable photo under {', '.join(data.mix)}")


def _matchings(data: DataConfig, scale: int, masks: bool) -> list[Matching]:
    if masks and data.input:
        raise StartError("pairs with masks are named by --data FOLDER, which holds input/, mask/ and target/")
    try:
        found = [find_pairs(Path(root), scale=scale) for root in data.pairs]
        if masks:
            found = [with_masks(m, masks_of_set(Path(root))) for m, root in zip(found, data.pairs, strict=True)]
        return found + ([match_folders(Path(data.input), Path(data.target), scale=scale)] if data.input else [])
    except UsageError as error:
        raise StartError(f"nothing to train on: {error}") from error


def _memory() -> int:
    """A quarter of what is free; where the system does not tell, a gigabyte."""
    free = available_memory(torch.device("cpu"))
    return 1 << 30 if free is None else free // 4
