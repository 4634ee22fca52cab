"""Time and peak memory of restoring one picture; run as a module, in a process of its own, for ``benchmark``."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfrestore.errors import StartError, WeightsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dfrestore.restore.restorer import Restorer


@dataclass(frozen=True)
class Measurement:
    """seconds: wall time without loading. peak_bytes: highest memory on the device above the idle process, or None
    where the system does not tell. size: (width, height).
    """

    task: str
    model: str
    device: str
    device_reason: str
    precision: str
    plan: str
    size: tuple[int, int]
    steps: int
    seconds: float
    peak_bytes: int | None


def measure(
    task: str, model: str | None, size: tuple[int, int], steps: int | None, options: dict[str, Any]
) -> Measurement:
    """Measure in a fresh process, for its peak cannot be mixed with that of what ran before. Raises StartError."""
    request = json.dumps({"task": task, "model": model, "size": size, "steps": steps, "options": options})
    child = subprocess.run(
        [sys.executable, "-m", "dfrestore.restore.measure"], input=request, capture_output=True, text=True, check=False
    )
    answer = _last_object(child.stdout)
    if "error" in answer:
        raise WeightsError(answer["error"])
    if not answer:
        last = child.stderr.strip().splitlines()[-1:] or [f"it ended with {child.returncode}"]
        raise StartError(f"the measuring process failed: {last[0]}")
    return Measurement(**{**answer, "size": tuple(answer["size"])})


def test_picture(width: int, height: int) -> NDArray[np.float32]:
    """A picture of waves and fine noise, float32 (height, width, 3) in [0, 1]; the same every time."""
    import numpy as np

    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [np.sin(columns / 37 + phase) * np.cos(rows / 23 - phase) for phase in (0.0, 1.0, 2.0)]
    noise = np.random.default_rng(0).normal(0, 0.03, (height, width, 3)).astype(np.float32)
    picture: NDArray[np.float32] = np.clip(0.5 + 0.3 * np.stack(waves, axis=2) + noise, 0, 1)
    return picture


def _last_object(text: str) -> dict[str, Any]:
    for line in reversed(text.splitlines()):
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict):
                return found
    return {}


def _measure_here(request: dict[str, Any]) -> dict[str, Any]:
    from dfrestore.restore.restorer import Restorer, drain

    restorer = Restorer.from_pretrained(request["task"], request["model"], **request["options"])
    steps = restorer.checked_steps(request["steps"])
    width, height = request["size"]
    picture = test_picture(width, height)
    drain(restorer.restore_rgb(picture[:64, :64].copy(), steps=1))  # libraries load on first use
    idle = _reset_peak(restorer)
    begin = time.perf_counter()
    outcome = drain(restorer.restore_rgb(picture, steps=steps))
    seconds = time.perf_counter() - begin
    peak = _peak(restorer)
    return {
        "task": request["task"],
        "model": restorer.label,
        "device": restorer.device.name,
        "device_reason": restorer.device.reason,
        "precision": outcome.precision,
        "plan": outcome.plan,
        "size": [width, height],
        "steps": steps,
        "seconds": seconds,
        "peak_bytes": None if peak is None or idle is None else max(0, peak - idle),
    }


def _reset_peak(restorer: Restorer) -> int | None:
    """Forget the peak so far, and return what is in use now."""
    import torch

    device = restorer.device.torch_device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    now = _status("VmRSS")
    return now if now is not None else _peak(restorer)


def _peak(restorer: Restorer) -> int | None:
    import torch

    device = restorer.device.torch_device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    found = _status("VmHWM")
    if found is not None:
        return found
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def _status(key: str) -> int | None:
    """A value of Linux's ``/proc/self/status``, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), None)


def _main() -> None:
    from dfrestore.errors import DfrestoreError

    try:
        answer = _measure_here(json.load(sys.stdin))
    except DfrestoreError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    _main()
