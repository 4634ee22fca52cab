"""What each kind of file is given to. A target returns whether it was accepted; whatever it raises is a finding.

Only errors of dfrestore's own family may come out of a reader, in one line; what is accepted must keep its promises.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dfrestore import photo
from dfrestore.errors import DfrestoreError, PhotoReadError, StartError, UsageError, WeightsError
from dfrestore.photo.encode import exceeded
from dfrestore.restore.extras import is_ours
from fuzzing import wishes

MAX_PIXELS = 1 << 20
MAX_LINE = 4200


def run(kind: str, data: bytes, folder: Path, rng: random.Random) -> bool:
    """Feed ``data`` to the readers of its kind, in an empty folder. True: accepted; False: refused as it should be."""
    return TARGETS[kind](data, folder, rng)


def _refused(error: DfrestoreError) -> bool:
    text = str(error)
    assert text, "an empty message"
    assert text.isprintable(), "more than one line"
    assert len(text) <= MAX_LINE, f"a message of {len(text)} characters"
    return False


def picture(data: bytes, folder: Path, rng: random.Random) -> bool:
    """Read; what is read must be writable, as itself and in another format, and readable again with its size.

    A picture that lies where an extra is to go is asked whether it is ours.
    """
    path = folder / "in.dat"
    path.write_bytes(data)
    assert is_ours(path) is False
    try:
        taken = photo.read(path, max_pixels=MAX_PIXELS)
    except PhotoReadError as error:
        return _refused(error)
    height, width = taken.size
    assert 0 < height * width <= MAX_PIXELS
    assert taken.rgb.dtype == np.float32
    assert np.isfinite(taken.rgb).all()
    assert 0 <= taken.rgb.min() <= taken.rgb.max() <= 1
    assert taken.alpha is None or taken.alpha.shape == taken.size
    assert all(note and note.isprintable() for note in taken.warnings)
    for format in sorted({taken.origin.format, rng.choice(tuple(photo.FORMATS))}):
        if exceeded(photo.WRITTEN_AS.get(format, format), height, width):
            continue
        photo.write(folder / f"out.{format}", taken, taken.rgb, format=format)
        again = photo.read(folder / f"out.{format}", max_pixels=MAX_PIXELS)
        assert again.size == taken.size
        if format not in ("WEBP", "AVIF"):  # which leave out an alpha that is opaque everywhere
            assert (again.alpha is None) == (taken.alpha is None or format == "JPEG")
        if format in ("PNG", "TIFF"):
            assert np.allclose(again.rgb, taken.rgb, atol=0.6 / ((1 << taken.origin.bits) - 1))
            assert again.origin.icc == taken.origin.icc
    return True


def checkpoint(data: bytes, folder: Path, rng: random.Random) -> bool:
    """Header, tensors, network."""
    from dfrestore.methods import load_network
    from dfrestore.weights.card import card_of
    from dfrestore.weights.resolve import resolve

    path = folder / "m.safetensors"
    path.write_bytes(data)
    try:
        card_of(resolve(path, restoring=False))
        network, spec = load_network(path)
    except WeightsError as error:
        return _refused(error)
    assert sum(p.numel() for p in network.parameters()) * 2 <= len(data)
    assert spec.default_steps >= 1
    return True


def pth(data: bytes, folder: Path, rng: random.Random) -> bool:
    """The restricted unpickler, and what is looked for in its result."""
    from dfrestore.weights.containers import find_state_dicts
    from dfrestore.weights.unpickle import read_pth

    path = folder / "m.pth"
    path.write_bytes(data)
    try:
        states = find_state_dicts(read_pth(path), str(path))
    except WeightsError as error:
        return _refused(error)
    for state in states:
        assert sum(t.numel() * t.element_size() for t in state.tensors.values()) <= 100 * len(data)
    return True


def registry(data: bytes, folder: Path, rng: random.Random) -> bool:
    """As the package's own and as the user's; no accepted entry leads out of its folder by ``..``."""
    from dfrestore.weights.registry_file import parse_registry

    path = folder / "weights.toml"
    path.write_bytes(data)
    accepted = False
    for packaged in (True, False):
        try:
            found = parse_registry(path, packaged=packaged, folder=folder)
        except WeightsError as error:
            _refused(error)
            continue
        accepted = True
        for entry in found.models.values():
            place = entry.local_path
            assert place is None or ".." not in place.parts
            assert place is None or not packaged or place.parent == folder
    return accepted


def config(data: bytes, folder: Path, rng: random.Random) -> bool:
    """The settings of a training run that is resumed; what is accepted must come back from what is written."""
    from dfrestore.training.run import read_run
    from dfrestore.training.toml import to_toml

    (folder / "config.toml").write_bytes(data)
    try:
        found = read_run(folder)
    except (StartError, UsageError) as error:
        return _refused(error)
    text = to_toml(found)
    (folder / "config.toml").write_text(text, "utf-8")
    assert to_toml(read_run(folder)) == text
    return True


def lines(data: bytes, folder: Path, rng: random.Random) -> bool:
    """The record of finished outputs passes over what it does not know; the manifest of pairs keeps or replaces it."""
    from dfrestore.degrade.pairs import Made, write_manifest
    from dfrestore.restore.planning import Job
    from dfrestore.restore.record import NAME, Record, Stamp, verdict

    (folder / NAME).write_bytes(data)
    output = folder / "a.png"
    output.write_bytes(b"x" * 9)
    record = Record(folder)
    found = verdict(Job(output, output, folder), record, "0" * 16)
    record.add(output, Stamp.of(output), "1")
    entry = Record(folder).get(output)
    assert entry is not None
    assert entry.settings == "1"
    (folder / "manifest.jsonl").write_bytes(data)
    try:
        write_manifest(folder, [Made("a.png", "rain", "storm", 1, "a" * 64)])
    except DfrestoreError as error:
        return _refused(error)
    return found != "foreign"


def address(data: bytes, folder: Path, rng: random.Random) -> bool:
    """An address of the hub; its parts never climb."""
    from dfrestore.weights.hub import parse_address

    try:
        found = parse_address(data.decode("latin-1"))
    except UsageError as error:
        return _refused(error)
    assert ".." not in (*found.repo.split("/"), *found.file.split("/"), *(found.revision or "").split("/"))
    assert str(found) == data.decode("latin-1")
    return True


TARGETS: dict[str, Callable[[bytes, Path, random.Random], bool]] = {
    "png": picture,
    "jpeg": picture,
    "webp": picture,
    "tiff": picture,
    "gif": picture,
    "bmp": picture,
    "checkpoint": checkpoint,
    "pth": pth,
    "registry": registry,
    "config": config,
    "lines": lines,
    "address": address,
    **wishes.TARGETS,
}
