"""Too little memory, made by a limit on the process: a smaller plan and the result, or one line; never half a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import save_model, tiny_spec
from PIL import Image

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does"),
    pytest.mark.slow,
]

ROOT = Path(__file__).parents[2]
MB = 1 << 20
# The limit counts from what the process holds once everything is loaded, and after a first small picture.
PROGRAM = """
import re, resource, sys
from pathlib import Path
from dfrestore.cli import main

limit, model, small, *arguments = sys.argv[1:]
options = ["--model", model, "--precision", "fp32", "--steps", "1", "--quiet"]
sys.argv = ["dfrestore", "derain", small, "-o", small + ".png", "--overwrite", *options]
assert main() == 0
used = 1024 * int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
resource.setrlimit(resource.RLIMIT_AS, (used + int(limit),) * 2)
sys.argv = ["dfrestore", "derain", *arguments, *options]
sys.exit(main())
"""


@pytest.fixture(scope="module")
def restore(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("model")
    model = save_model(
        folder / "identity.safetensors",
        tiny_spec(network={"dim": 32, "blocks": (1, 1, 1, 1), "heads": (1, 2, 4, 8)}),
        0.0,
    )
    Image.new("RGB", (32, 32), "red").save(folder / "small.png")

    def run(megabytes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-c",
                PROGRAM,
                str(megabytes * MB),
                str(model),
                str(folder / "small.png"),
                *map(str, arguments),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        )

    return run


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("in") / "large.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (768, 1024, 3), dtype=np.uint8)).save(path)
    return path


def test_a_smaller_plan_takes_over_and_the_result_is_whole(
    restore: Callable[..., subprocess.CompletedProcess[str]], photo: Path, tmp_path: Path
) -> None:
    done = restore(300, photo, "-o", tmp_path / "out.png", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[0])
    assert "16 bit" in told["plan"] or "tiles" in told["plan"]
    assert told["warnings"][0].startswith("out of memory; went on with")
    assert np.array_equal(Image.open(tmp_path / "out.png"), Image.open(photo))


@pytest.mark.parametrize("megabytes", [30, 60])
def test_where_nothing_helps_it_is_one_line_and_no_file(
    restore: Callable[..., subprocess.CompletedProcess[str]], photo: Path, tmp_path: Path, megabytes: int
) -> None:
    done = restore(megabytes, photo, "-o", tmp_path / "out" / "out.png")
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "went on with" not in line]
    assert len(lines) == 1
    assert "memory" in lines[0]
    assert "large.png" in lines[0]
    assert not list(tmp_path.rglob("*.*"))
