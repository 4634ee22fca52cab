"""Peak memory, measured in processes of their own (Linux: /proc/self/clear_refs sets the high-water mark back)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from Linux's /proc"),
    pytest.mark.slow,
]

PROGRAM = """
import json, re, resource, sys
from pathlib import Path
import numpy as np
import torch
from reference.random_diffir import tiny_diffir
from reference.random_network import random_network
from dfrestore.engine import choose_device, choose_precision, make_plan, restore_array, smaller_plan
from dfrestore.errors import OutOfMemoryFailure

torch.set_num_threads(1)
asked = json.loads(sys.argv[1])
if "diffir" in asked:
    network = tiny_diffir(**asked["diffir"])
else:
    network, spec = random_network(dim=asked["dim"], stem=asked["stem"])
device = choose_device("cpu")
precision = choose_precision(asked["precision"], device)

def kilobytes(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def run(side, tile):
    plan = make_plan(side, side, network, tile=tile, precision=precision, device=device)
    if asked.get("half_features"):
        plan = smaller_plan(plan, side, side, network, precision=precision, device=device) or plan
    rgb = np.full((side, side, 3), 0.5, np.float32)
    mask = np.zeros((side, side), np.float32) if network.mask else None
    how = {"plan": plan, "device": device, "precision": precision}
    for state in restore_array(network, rgb, mask=mask, steps=network.steps[0], seed=0, **how):
        pass
    return plan.predicted_bytes

run(32, 0)
if asked.get("limit"):
    used = kilobytes("VmSize") * 1024
    resource.setrlimit(resource.RLIMIT_AS, (used + asked["limit"], used + asked["limit"]))
before = kilobytes("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
try:
    predicted = run(asked["side"], asked["tile"])
    print(json.dumps({"predicted": predicted, "peak": 1024 * (kilobytes("VmHWM") - before)}))
except OutOfMemoryFailure as error:
    print(json.dumps({"error": str(error)}))
"""


def measured(**asked: Any) -> dict[str, Any]:
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(asked)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tests.parent,
        env={"PYTHONPATH": f"{tests}:{tests.parent}", "OMP_NUM_THREADS": "1", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_whole_picture_needs_what_was_predicted(precision: str) -> None:
    got = measured(dim=32, stem=2, precision=precision, side=512, tile=0)
    assert 0.5 * got["predicted"] < got["peak"] < 1.05 * got["predicted"]


@pytest.mark.parametrize("tile", [0, 128])
@pytest.mark.parametrize(
    ("config", "side"),
    [({"dim": 16}, 512), ({"dim": 8, "scale": 4, "tail": True, "prior_stem": 1}, 384), ({"mask": True}, 768)],
    ids=["deblur", "upscale", "inpaint"],
)
def test_another_method_needs_what_was_predicted(config: dict[str, Any], side: int, tile: int) -> None:
    got = measured(diffir=config, precision="fp32", side=side, tile=tile)
    assert 0.3 * got["predicted"] < got["peak"] < 1.05 * got["predicted"]


def test_tiles_bound_the_memory() -> None:
    whole = measured(dim=32, stem=2, precision="fp32", side=1536, tile=0)
    tiles = measured(dim=32, stem=2, precision="fp32", side=1536, tile=256)
    assert tiles["peak"] < 1.05 * tiles["predicted"]
    assert tiles["peak"] < 0.5 * whole["peak"]


def test_features_kept_in_16_bit_need_half() -> None:
    full = measured(dim=32, stem=2, precision="fp32", side=1536, tile=0)
    half = measured(dim=32, stem=2, precision="fp32", side=1536, tile=0, half_features=True)
    assert half["peak"] < 1.05 * half["predicted"]
    features = 4 * 32 * (1536 // 2) ** 2 * 4  # bytes in fp32: x and v of the last stage, 2 * dim channels each
    assert full["peak"] - half["peak"] > 0.6 * features / 2


def test_running_out_of_memory_is_one_line_with_a_way_out() -> None:
    got = measured(dim=32, stem=2, precision="fp32", side=2048, tile=0, limit=300 << 20)
    assert "2048x2048 pixels do not fit" in got["error"]
    assert "--tile 512" in got["error"]
