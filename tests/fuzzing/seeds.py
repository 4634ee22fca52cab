"""Sound files of every kind that is read, for the mutations to begin with."""

from __future__ import annotations

import io
import json
import sys
from collections import OrderedDict
from functools import cache
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "photo"))
import photo_files as files

SIZE = (19, 23)
SHA256 = "a" * 64
REGISTRY = f"""[defaults]
derain = "compact"

[models."derain/compact"]
task = "derain"
method = "c2f-dft"
source = "bundled:derain-compact.safetensors"
size = 4096
sha256 = "{SHA256}"
licence = "CC0-1.0"
minutes = 12.5

[models."derain/compact".scores.Rain100L]
psnr_y = 30.5
command = "dfrestore evaluate --task derain"

[models."denoise/large"]
task = "denoise"
method = "c2f-dft"
source = "hf://org/repo/large.safetensors@v1"
sha256 = "{SHA256}"

[aliases]
full = "c2f-dft"

[originals."derain/c2f-dft"]
file = "net.pth"
url = "https://example.org/folder"
project = "https://example.org"
licence = "unknown"
"""
OWN_REGISTRY = """[models."derain/mine"]
task = "derain"
method = "c2f-dft"
source = "models/mine.safetensors"
note = 'what I "trained"'
"""


@cache
def seeds(kind: str) -> tuple[bytes, ...]:
    """The seed files of a kind, in a fixed order."""
    return tuple(_MAKERS[kind]())


def _rich(order: str = "<", orientation: int = 6) -> dict[str, object]:
    return {"exif": b"Exif\0\0" + files.exif(orientation, order=order), "icc_profile": files.profile("P3")}


def _png() -> list[bytes]:
    made = [files.make(files.noise(mode, bits, SIZE), "PNG") for mode in files.CHANNELS for bits in (8, 16)]
    made.append(files.make(files.noise("RGB", 8, SIZE), "PNG", dpi=(300, 300), **_rich()))
    for mode in ("1", "P"):
        buffer = io.BytesIO()
        extra = {"transparency": 3} if mode == "P" else {}
        Image.fromarray(files.noise("RGB", 8, SIZE)).convert(mode).save(buffer, "PNG", **extra)
        made.append(buffer.getvalue())
    for kind, content in ((b"tEXt", b"Comment\0hello"), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + files.XMP)):
        made.append(files.with_text_chunk(made[-1], kind, content))
    frames = [Image.fromarray(files.noise("RGB", 8, SIZE, seed)) for seed in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return [*made, buffer.getvalue()]


def _jpeg() -> list[bytes]:
    grey, colour = files.noise("L", 8, SIZE), files.noise("RGB", 8, SIZE)
    made = [files.make(grey, "JPEG", progressive=True), files.make(colour, "JPEG", subsampling=2)]
    made.append(files.make(colour, "JPEG", progressive=True, dpi=(72, 72), xmp=files.XMP, **_rich(">")))
    for icc in (None, files.profile("CMYK")):
        buffer = io.BytesIO()
        Image.fromarray(colour).convert("CMYK").save(buffer, "JPEG", icc_profile=icc)
        made.append(buffer.getvalue())
    photoshop = b"Photoshop 3.0\0" + files.PHOTOSHOP
    irb = b"\xff\xed" + (len(photoshop) + 2).to_bytes(2, "big") + photoshop
    made.append(made[1][:2] + irb + b"\xff\xfe\0\x08hello\0" + made[1][2:])
    buffer = io.BytesIO()
    Image.fromarray(colour).save(buffer, "MPO", save_all=True, append_images=[Image.fromarray(colour)])
    return [*made, buffer.getvalue()]


def _webp() -> list[bytes]:
    made = [files.make(files.noise(mode, 8, SIZE), "WEBP") for mode in ("RGB", "RGBA")]
    made.append(files.make(files.noise("RGBA", 8, SIZE), "WEBP", lossless=False, quality=50))
    made.append(files.make(files.noise("RGBA", 8, SIZE), "WEBP", xmp=files.XMP, **_rich(orientation=3)))
    frames = [Image.fromarray(files.noise("RGB", 8, SIZE, seed)) for seed in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    return [*made, buffer.getvalue()]


def _tiff() -> list[bytes]:
    made = [files.make(files.noise(mode, bits, SIZE), "TIFF") for mode in files.CHANNELS for bits in (8, 16)]
    made += (
        files.make(files.noise("RGB", 8, SIZE), "TIFF", compression=compression, icc_profile=b"x" * 200)
        for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    )
    for mode in ("1", "P", "CMYK"):
        buffer = io.BytesIO()
        Image.fromarray(files.noise("RGB", 8, SIZE)).convert(mode).save(buffer, "TIFF")
        made.append(buffer.getvalue())
    for options in (
        {"compression": "zlib", "predictor": True, "byteorder": ">", "description": "a photo"},
        {"compression": "lzw", "tile": (16, 16), "planarconfig": "separate"},
        {"bigtiff": True, "rowsperstrip": 4},
        {"compression": "zlib", "extrasamples": ["assocalpha"]},
    ):
        array = files.noise("RGBA" if "extrasamples" in options else "RGB", 16, SIZE)
        array = np.moveaxis(array, -1, 0).copy() if options.get("planarconfig") == "separate" else array
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, photometric="rgb", **options)
        made.append(buffer.getvalue())
    pages = [Image.fromarray(files.noise("RGB", 8, SIZE, seed)) for seed in range(3)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    return [*made, buffer.getvalue()]


def _gif() -> list[bytes]:
    colour, grey = (Image.fromarray(files.noise(mode, 8, SIZE)) for mode in ("RGB", "L"))
    made = []
    for image, extra in ((colour, {}), (grey, {}), (colour, {"transparency": 3, "comment": b"hello", "interlace": 0})):
        buffer = io.BytesIO()
        image.convert("P").save(buffer, "GIF", **extra)
        made.append(buffer.getvalue())
    xmp = b"!\xff\x0bXMP DataXMP" + files.XMP + b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    icc = files.profile("P3")
    pieces = b"".join(bytes([len(icc[i : i + 255])]) + icc[i : i + 255] for i in range(0, len(icc), 255))
    made.append(made[0][:-1] + xmp + b"!\xff\x0bICCRGBG1012" + pieces + b"\0" + made[0][-1:])
    buffer = io.BytesIO()
    colour.save(buffer, "GIF", save_all=True, append_images=[grey.convert("RGB")], duration=40)
    return [*made, buffer.getvalue()]


def _bmp() -> list[bytes]:
    colour = Image.fromarray(files.noise("RGB", 8, SIZE))
    made = []
    for image in (colour, colour.convert("L"), colour.convert("P"), colour.convert("1"), colour.convert("RGBA")):
        buffer = io.BytesIO()
        image.save(buffer, "BMP", dpi=(300, 300))
        made.append(buffer.getvalue())
    return [*made, files.bmp_with_profile(files.noise("RGB", 8, SIZE), files.profile("P3"))]


def _checkpoint() -> list[bytes]:
    made = [model_bytes("sample", 1), model_bytes("epsilon", 1, {"2": [999, 0]}), model_bytes("sample", 2)]
    return [*made, model_bytes("sample", 1, stage="S1"), _as_version_1(made[1])]


def _as_version_1(data: bytes) -> bytes:
    """The checkpoint with the flat header of earlier versions."""
    from dfrestore.weights.header import with_metadata

    start = 8 + int.from_bytes(data[:8], "little")
    config = json.loads(json.loads(data[8:start])["__metadata__"]["config"])
    network, sampling = config.pop("network"), config.pop("sampling")
    sampling.setdefault("schedule", {"timesteps": 1000, "betas": [1e-4, 2e-2]})
    return with_metadata(data, {"dfrestore": "1", "config": json.dumps({**config, **network, **sampling})})


def model_bytes(prediction: str, stem: int, timesteps: dict[str, list[int]] | None = None, stage: str = "") -> bytes:
    """A checkpoint of a few thousand random weights."""
    import tempfile
    from dataclasses import replace

    from reference.random_network import random_network

    from dfrestore.weights import save_checkpoint

    network, found = random_network(prediction, stem=stem, dim=4)
    sampling = {**found.sampling, "timesteps": timesteps or {}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        save_checkpoint(path, network.state_dict(), replace(found, sampling=sampling, stage=stage))
        return path.read_bytes()


@cache
def model(task: str) -> bytes:
    """A checkpoint for ``upscale`` or ``inpaint``, as small as can be."""
    import tempfile

    from diffir_models import save_enlarging, save_filling

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        return (save_enlarging(path, 2) if task == "upscale" else save_filling(path)).read_bytes()


def _pth() -> list[bytes]:
    import torch

    state = OrderedDict(a=torch.ones(3), b=torch.zeros(2, 2, dtype=torch.float16), c=torch.arange(4))
    made = []
    for content in ({"params": state, "iter": 5, "lr": 1e-4}, state, {"x": [None, True, ("s", {1})], "w": state}):
        for new in (True, False):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=new)
            made.append(buffer.getvalue())
    return made


def _config() -> list[bytes]:
    from dfrestore.training.settings import list_presets, load_preset
    from dfrestore.training.toml import to_toml

    return [to_toml(load_preset(name)).encode() for name in list_presets()]


def _lines() -> list[bytes]:
    record = {
        "output": "a.png", "input": "/in/a.png", "size": 10, "mtime_ns": 1, "settings": "0" * 16, "bytes": 9
    }  # fmt: skip
    made = {"file": "a.png", "kind": "rain", "preset": "storm", "seed": 3, "sha256": SHA256}
    return [b"".join(json.dumps({**line, "n": n}).encode() + b"\n" for n in range(3)) for line in (record, made)]


def _address() -> list[bytes]:
    return [b"hf://org/repo/model.safetensors", b"hf://org/repo/sub/model.safetensors@0123abc", b"hf://a/b/c@refs/pr/1"]


def _size() -> list[bytes]:
    sizes = ("3840x2160", "800x600^", "800x600!", "800x600>", "800x600^>", "3840x", "x2160", "3840")
    made = [*("size=" + text for text in sizes), *("scale=" + text for text in ("4", "1.5", "200%", "x4", "16"))]
    return [text.encode() for text in (*made, "long_edge=3840", "short_edge=2160", "min_size=3840x2160")]


def _spec() -> list[bytes]:
    drawn = ("alpha", "color:#ff00ff", "color:f0f~20", "color:#ff00ff~90", "rect:1,2,3,4", "rect:-5, -5, 8, 8")
    return [text.encode() for text in (*drawn, "m.png", "./m.png", "masks")]


def _mask() -> list[bytes]:
    """A rectangle in every mode that masks are kept in: of :data:`SIZE`, turned, and twice as large."""
    made = []
    for height, width in (SIZE, SIZE[::-1], (2 * SIZE[0], 2 * SIZE[1])):
        inside = np.zeros((height, width), np.uint8)
        inside[height // 3 : height // 2, width // 4 : width // 2] = 255
        white = Image.fromarray(inside)
        palette = Image.fromarray(inside & 1, "P")
        palette.putpalette([0, 0, 0, 128, 0, 0])
        modes = [white.convert(mode) for mode in ("1", "L", "LA", "RGB", "RGBA")]
        cut = Image.merge("LA", (Image.new("L", white.size), white))
        for image in (
            *modes,
            palette,
            cut,
            Image.fromarray(inside & 1),
            Image.fromarray(inside.astype(np.uint16) * 257),
        ):
            buffer = io.BytesIO()
            image.save(buffer, "PNG")
            made.append(buffer.getvalue())
    return made


_MAKERS = {
    "png": _png,
    "jpeg": _jpeg,
    "webp": _webp,
    "tiff": _tiff,
    "gif": _gif,
    "bmp": _bmp,
    "checkpoint": _checkpoint,
    "pth": _pth,
    "registry": lambda: [REGISTRY.encode(), OWN_REGISTRY.encode()],
    "config": _config,
    "lines": _lines,
    "address": _address,
    "size": _size,
    "spec": _spec,
    "mask": _mask,
}
KINDS = tuple(_MAKERS)
PHOTOS = ("png", "jpeg", "webp", "tiff", "gif", "bmp")
