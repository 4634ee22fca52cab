"""What the command holds in memory over many photos of different sizes (Linux: /proc tells what is resident).

``python tests/cli/memory.py PHOTOS 500 derain`` cuts so many pieces of about 256 x 256 pixels from the photos of a
folder, restores them by one run of the command, and prints as JSON how much was resident after a photo, in MB: the mean
over the first tenth of them (ten at least) and over the last. ``run derain,denoise`` is a chain. What follows goes to
the command (``--model FILE``).
"""

from __future__ import annotations

import io
import json
import random
import re
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from statistics import mean

from PIL import Image

from dfrestore.cli import main

SIDES = (192, 320)
ENDINGS = ("png", "jpg", "webp", "tif")


class Watch(io.StringIO):
    """Standard output: what is resident as each result is told, in MB."""

    def __init__(self) -> None:
        super().__init__()
        self.resident: list[float] = []

    def write(self, text: str) -> int:
        if '"status": "done"' in text:
            self.resident.append(resident())
        return super().write(text)


def resident() -> float:
    """MB of this process."""
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def cut(photos: Path, folder: Path, count: int, seed: int = 0) -> None:
    """Write so many pieces into the folder, all alike with the same seed."""
    dice, sources = random.Random(seed), sorted(path for path in photos.rglob("*") if path.is_file())
    for number in range(count):
        with Image.open(sources[number % len(sources)]) as photo:
            width, height = (min(dice.randint(*SIDES), side) for side in photo.size)
            left, top = dice.randint(0, photo.width - width), dice.randint(0, photo.height - height)
            piece = photo.convert("RGB").crop((left, top, left + width, top + height))
        piece.save(folder / f"{number:04}.{ENDINGS[number % len(ENDINGS)]}")


def measure(photos: Path, count: int, command: list[str]) -> dict[str, float]:
    """Raises AssertionError where a photo failed."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, out = Path(folder, "in"), Path(folder, "out")
        inputs.mkdir()
        cut(photos, inputs, count)
        words = 2 if command[0] == "run" else 1
        arguments = [*command[:words], str(inputs), "-o", str(out), "--threads", "1", "--json", *command[words:]]
        with redirect_stdout(Watch()) as watch:
            code = main(arguments)
    assert code == 0, watch.getvalue()[-2000:]
    assert len(watch.resident) == count, watch.getvalue()[-2000:]
    tenth = max(min(10, count), count // 10)
    first, last = mean(watch.resident[:tenth]), mean(watch.resident[-tenth:])
    return {
        "photos": count,
        "first tenth": round(first, 1),
        "last tenth": round(last, 1),
        "growth": round(last / first - 1, 4),
        "largest": round(max(watch.resident), 1),
    }


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])))
