"""Memory over a batch, measured in a process of its own (Linux: /proc/self/status tells what is resident)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads the resident memory from Linux's /proc"),
    pytest.mark.slow,
]

ROOT = Path(__file__).parents[2]
FILES, FIRST = 50, 10
# Large buffers go back to the system as they are freed, so that what is resident is what is held (glibc's settings;
# other allocators ignore them). Without, the allocator alone moves by as much as twenty of these pictures.
AT_ONCE = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
# What is resident after each file, in bytes.
PROGRAM = """
import json, re, sys
from pathlib import Path
from dfrestore.restore import FileResult, Restorer, Settings, plan_files, run_batch
from dfrestore.restore.todo import Records

source, out, model, tile = sys.argv[1:]
restorer = Restorer.from_pretrained("derain", model, precision="fp32", device="cpu")
settings = Settings("derain", "sha", steps=1, tile=int(tile))
resident = []
for event in run_batch(plan_files([source], out, "derain").jobs, restorer, settings, Records()):
    if isinstance(event, FileResult):
        assert event.status == "done", event.error
        resident.append(1024 * int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))
print(json.dumps(resident))
"""


@pytest.mark.parametrize("tile", [0, 64])
def test_memory_does_not_grow_over_a_batch(
    tmp_path: Path, make_photo: Callable[..., Path], identity_model: Path, tile: int
) -> None:
    endings = ("png", "jpg", "webp", "tif")
    for number in range(FILES):
        size = (256 + 8 * (number % 5), 256)
        make_photo(tmp_path / "in" / f"{number:02}.{endings[number % 4]}", number, size)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "in", tmp_path / "out", identity_model, str(tile)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **AT_ONCE},
    )
    assert done.returncode == 0, done.stderr
    resident = json.loads(done.stdout)
    assert len(resident) == FILES
    picture = 256 * 288 * 3 * 4
    # A leak of one picture a file would be 40 pictures; without one it moves by less than half a picture.
    assert max(resident[FIRST:]) < max(resident[:FIRST]) + 4 * picture
