"""Cases that go through the command line, with a model of a few thousand weights."""

from __future__ import annotations

import contextlib
import io
import random
from pathlib import Path

from dfrestore import photo
from dfrestore.errors import PhotoReadError
from fuzzing.seeds import PHOTOS, seeds

MAX_PIXELS = 1 << 14
KINDS = (*PHOTOS, "checkpoint")
SUFFIX = {"png": "png", "jpeg": "jpg", "webp": "webp", "tiff": "tif", "gif": "gif", "bmp": "bmp"}


def run(kind: str, data: bytes, folder: Path, rng: random.Random) -> bool:
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
    assert code in ((0, 1, 3) if kind == "checkpoint" else (0, 1)), (code, said)
    assert (code == 0) == (made == [out / result]), (code, made, said)
    assert readable or code == 1, said
    assert code != 1 or kind == "checkpoint" or not readable, said
    assert code == 0 or len(said.splitlines()) == 1, said
    if code == 0:
        assert photo.read(made[0]).size == photo.read(source).size
    return code == 0


def _dfrestore(*arguments: object) -> tuple[int, str, str]:
    from dfrestore.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()
