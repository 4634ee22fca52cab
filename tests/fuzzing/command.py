"""Cases that go through the command line, with a model of a few thousand weights."""

from __future__ import annotations

import contextlib
import io
import random
from pathlib import Path

from dfrestore import photo
from dfrestore.errors import PhotoReadError, UsageError
from dfrestore.photo.mask_source import PathMask, parse
from fuzzing import wishes
from fuzzing.seeds import PHOTOS, SIZE, model, seeds

MAX_PIXELS = 1 << 14
KINDS = (*PHOTOS, "checkpoint", "size", "spec", "mask")
SUFFIX = {"png": "png", "jpeg": "jpg", "webp": "webp", "tiff": "tif", "gif": "gif", "bmp": "bmp"}


def run(kind: str, data: bytes, folder: Path, rng: random.Random) -> bool:
    """A case through the command that reads such things; whether it made what it was asked for."""
    return _wish(kind, data, folder, rng) if kind in wishes.TARGETS else _derain(kind, data, folder)


def _derain(kind: str, data: bytes, folder: Path) -> bool:
    """``dfrestore derain`` on a mutated picture, or on a sound one with a mutated model.

    An output exists if and only if the code is 0; a picture that the reader rejects gives none. One line an error.
    """
    name = SUFFIX.get(kind, "png")
    source, model = folder / f"in.{name}", folder / "m.safetensors"
    out, result = folder / "out", f"out.{'png' if photo.read_only_format(source) else name}"
    source.write_bytes(seeds("png")[0] if kind == "checkpoint" else data)
    model.write_bytes(data if kind == "checkpoint" else seeds("checkpoint")[0])
    try:
        photo.read(source, max_pixels=MAX_PIXELS)
        readable = True
    except PhotoReadError:
        readable = False
    code, printed, said = _dfrestore(
        "derain", source, "-o", out / result, "--model", model, "--precision", "fp32",
        "--steps", 1, "--quiet", "--max-pixels", MAX_PIXELS,
    )  # fmt: skip
    made = list(out.rglob("*")) if out.exists() else []
    assert "Traceback" not in said, said
    assert "DFRESTORE_DEBUG" not in said, said
    assert printed == ""
    other = kind == "checkpoint" and ("makes no model to restore with" in said or " is a model for " in said)
    assert code in ((2,) if other else (0, 1, 3) if kind == "checkpoint" else (0, 1)), (code, said)
    assert (code == 0) == (made == [out / result]), (code, made, said)
    assert readable or code == 1, said
    assert code != 1 or kind == "checkpoint" or not readable, said
    assert code == 0 or len(said.splitlines()) == 1, said
    if code == 0:
        assert photo.read(made[0]).size == photo.read(source).size
    return code == 0


def _wish(kind: str, data: bytes, folder: Path, rng: random.Random) -> bool:
    """``dfrestore upscale`` in a mutated size, or ``inpaint`` with a mutated mask, or with a mask from a mutated text.

    An output exists if and only if the code is 0, and it is whole; else there is one line, and nothing lies about.
    """
    source, out = folder / "in.png", folder / "out"
    source.write_bytes(rng.choice(seeds("png")[:8]))
    (folder / "m.png").write_bytes(data if kind == "mask" else seeds("mask")[0])
    task = "upscale" if kind == "size" else "inpaint"
    if kind == "size":
        option, value = wishes.option_of(wishes.text_of(data), rng)
        wish = f"--{option.replace('_', '-')}={value}"
    else:
        wish = f"--mask={wishes.text_of(data) if kind == 'spec' else 'm.png'}"
        if _leads_out(wish.removeprefix("--mask=")):
            return False
    (folder / "model.safetensors").write_bytes(model(task))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with contextlib.chdir(folder):
        code, printed, said = _dfrestore(
            task, "in.png", "-o", "out/out.png", wish, "--model", "model.safetensors", "--precision", "fp32",
            "--quiet", "--max-pixels", MAX_PIXELS,
        )  # fmt: skip
    made = list(out.rglob("*")) if out.exists() else []
    assert "Traceback" not in said, said
    assert "DFRESTORE_DEBUG" not in said, said
    assert printed == ""
    assert code in ((0, 1) if kind == "mask" else (0, 1, 2)), (code, said)
    assert (code == 0) == (made == [out / "out.png"]), (code, made, said)
    assert code == 0 or len(said.splitlines()) == 1, said
    assert before == {path: path.read_bytes() for path in folder.iterdir() if path != out}
    if code == 0:
        height, width = photo.read(made[0]).size
        assert height * width <= MAX_PIXELS
        assert kind == "size" or (height, width) == SIZE
    return code == 0


def _leads_out(text: str) -> bool:
    try:
        source = parse(text)
    except UsageError:
        return False
    return isinstance(source, PathMask) and wishes.leads_out(source.path)


def _dfrestore(*arguments: object) -> tuple[int, str, str]:
    from dfrestore.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()
