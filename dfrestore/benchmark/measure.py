"""Time and peak memory of restoring one picture; run as a module, in a process of its own, for ``benchmark``."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfrestore import strict_json
from dfrestore.errors import DfrestoreError, StartError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dfrestore.restore.restorer import Restorer


@dataclass(frozen=True)
class Measurement:
    """seconds: wall time without loading. peak_bytes: highest memory on the device above the idle process; None if the
    system does not tell. size: (width, height). evaluations: of the whole network, which are the steps where each step
    is one. flops: floating-point operations of all of them. limit: operations per second that this device reaches in
    large matrix products of this precision, measured.
    """

    task: str
    model: str
    device: str
    device_reason: str
    precision: str
    plan: str
    size: tuple[int, int]
    steps: int
    evaluations: float
    seconds: float
    peak_bytes: int | None
    flops: float
    limit: float

    @property
    def seconds_each(self) -> float:
        """Seconds per megapixel and evaluation."""
        return self.seconds / self.evaluations / (self.size[0] * self.size[1] / 1e6)

    @property
    def share(self) -> float:
        """The share of the device's limit in matrix products that was reached."""
        return self.flops / self.seconds / self.limit


@dataclass(frozen=True)
class Subject:
    """What is measured: a model by name or file, or (preset) the untrained network of a training preset."""

    task: str
    model: str | None = None
    preset: str | None = None


def measure(
    subject: Subject, size: tuple[int, int], steps: int | None, options: dict[str, Any], *, plain: bool = False
) -> Measurement:
    """Measure in a fresh process, whose peak memory is this work's alone. Raises StartError, UsageError.

    plain: one evaluation of the network as the paper writes it, in fp32 on the whole picture, in place of the engine.
    """
    request = json.dumps(
        {**asdict(subject), "size": size, "steps": steps, "options": options, "way": "plain" if plain else "engine"}
    )
    child = subprocess.run(
        [sys.executable, "-m", "dfrestore.benchmark.measure"],
        input=request,
        capture_output=True,
        text=True,
        check=False,
    )
    answer = _last_object(child.stdout)
    if "error" in answer:
        raise (UsageError if answer["exit_code"] == UsageError.exit_code else StartError)(answer["error"])
    if not answer:
        last = child.stderr.strip().splitlines()[-1:] or [f"it ended with {child.returncode}"]
        raise StartError(f"the measuring process failed: {last[0]}")
    return Measurement(**{**answer, "size": tuple(answer["size"])})


def step_counts(subject: Subject) -> list[int]:
    """What to measure where nothing is requested: the fewest steps, and a model's own count."""
    import torch

    from dfrestore.methods import build_network
    from dfrestore.weights import read_spec, resolve

    if subject.preset is None:
        spec = read_spec(resolve(subject.model, task=subject.task).path)
    else:
        from dfrestore.training import load_preset, spec_of

        spec = spec_of(load_preset(subject.preset, subject.task))
    with torch.device("meta"):
        fewest = build_network(spec).steps[0]
    return [fewest] if subject.preset is not None else sorted({fewest, spec.default_steps})


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
    from dfrestore.restore.flow import drain

    restorer = _restorer_of(request)
    steps = restorer.network.steps[0] if request["way"] == "plain" else restorer.checked_steps(request["steps"])
    width, height = request["size"]
    picture = test_picture(width, height)

    def run(rgb: NDArray[np.float32]) -> tuple[str, str]:
        if request["way"] == "plain":
            _plain(restorer, rgb)
            return "fp32", "whole image, as the paper writes it"
        outcome = drain(restorer.restore_rgb(rgb, steps=steps, mask=_mask(restorer, rgb)))
        return outcome.precision, outcome.plan

    small = picture[:64, :64].copy()  # libraries load on first use
    drain(restorer.restore_rgb(small, steps=restorer.network.steps[0], mask=_mask(restorer, small)))
    idle = _reset_peak(restorer)
    begin = time.perf_counter()
    precision, plan = run(picture)
    seconds = time.perf_counter() - begin
    peak = _peak(restorer)
    return {
        "task": request["task"],
        "model": restorer.label,
        "device": restorer.device.name,
        "device_reason": restorer.device.reason,
        "precision": precision,
        "plan": plan,
        "size": [width, height],
        "steps": steps,
        "evaluations": sum(restorer.network.parts(steps)),
        "seconds": seconds,
        "peak_bytes": None if peak is None or idle is None else max(0, peak - idle),
        "flops": _flops_a_pixel(restorer, steps) * width * height,
        "limit": _limit(restorer, precision),
    }


def _restorer_of(request: dict[str, Any]) -> Restorer:
    from dfrestore.restore.restorer import Restorer

    if request["preset"] is None:
        return Restorer.from_pretrained(request["task"], request["model"], **request["options"])
    import torch

    from dfrestore.methods import build_network
    from dfrestore.training import load_preset, spec_of

    spec = spec_of(load_preset(request["preset"], request["task"]))
    torch.manual_seed(0)
    return Restorer(build_network(spec).eval(), spec, label=f"untrained {request['preset']}", **request["options"])


def _mask(restorer: Restorer, rgb: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """A hole of a quarter of the picture, for models that fill holes."""
    import numpy as np

    if not restorer.network.mask:
        return None
    mask = np.zeros(rgb.shape[:2], np.float32)
    mask[: len(rgb) // 2, : rgb.shape[1] // 2] = 1
    return mask


def _plain(restorer: Restorer, rgb: NDArray[np.float32]) -> None:
    """One restoration in the fewest steps with the network's ``forward``: fp32, (B, C, H, W), no strips."""
    import torch

    from dfrestore.methods.method import restored_at_once

    device, network = restorer.device.torch_device, restorer.network
    planes = torch.from_numpy(rgb.transpose(2, 0, 1).copy()).to(device)
    mask = _mask(restorer, rgb)
    if mask is not None:
        planes = torch.cat([planes, torch.from_numpy(mask)[None].to(device)])
    with torch.inference_mode():
        restored_at_once(network, planes, network.steps[0])
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _flops_a_pixel(restorer: Restorer, steps: int) -> float:
    """Convolutions and matrix products of a restoration, which grow with the picture's area."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from dfrestore.methods.method import restored_at_once

    network = restorer.network
    side, fewest = 4 * network.multiple, network.steps[0]
    planes = torch.zeros(4 if network.mask else 3, side, side, device=restorer.device.torch_device)
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        restored_at_once(network, planes, fewest)
    share = sum(network.parts(steps)) / sum(network.parts(fewest))
    return float(counter.get_total_flops()) * share / side**2


def _limit(restorer: Restorer, precision: str) -> float:
    """Operations per second in matrix products of 2048x2048, the fastest of six."""
    import torch

    side, device = 2048, restorer.device.torch_device
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    a = torch.rand(side, side, device=device).to(dtype)
    best = float("inf")
    for _ in range(6):
        begin = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - begin)
    return float(2 * side**3 / best)


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
    try:
        answer = _measure_here(json.load(sys.stdin))
    except DfrestoreError as error:
        answer = {"error": str(error), "exit_code": error.exit_code}
    print(strict_json.dumps(answer))


if __name__ == "__main__":
    _main()
