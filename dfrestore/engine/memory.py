"""How much memory a device has left, in bytes."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import torch

# oneDNN, which computes convolutions on CPUs, only says what it could not make.
_WORDS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "defaultcpuallocator",
    "could not create a primitive",
    "could not create a memory",
)


_PROCESS = 300 << 20
_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None


def process_bytes() -> int:
    """What this process holds once it is ready to restore: Python, PyTorch, a model.

    300 MiB, so that plans do not hang on trifles; more where more is measured, as with PyTorch built for GPUs.
    """
    return max(_PROCESS, _resident(Path("/proc")))


def give_back() -> None:
    """Hand memory that was freed back to the system, where the C library (glibc) keeps it.

    Kept pieces of one size serve no photo of another, and add up over many.
    """
    if _TRIM is not None:
        _TRIM(0)


def _resident(proc: Path) -> int:
    """Bytes of this process in main memory; 0 where the system does not tell."""
    for line in _lines(proc / "self" / "status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def is_out_of_memory(error: BaseException) -> bool:
    """MemoryError, and what PyTorch raises in its place on each kind of device."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _WORDS)


def available_memory(device: torch.device) -> int | None:
    """Bytes that can still be taken on ``device``; None where the system does not tell."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # torch keeps freed blocks for itself: they are ours to use again
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    host = host_memory()
    if device.type == "mps":
        limit = int(torch.mps.recommended_max_memory()) - int(torch.mps.driver_allocated_memory())
        return limit if host is None else min(limit, host)
    return host


def host_memory(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes of main memory that this process can still take: the system's, or less within a container's limit."""
    found = [value for value in (_meminfo(proc), _cgroup(proc, cgroups)) if value is not None]
    return min(found) if found else _elsewhere()


def _meminfo(proc: Path) -> int | None:
    for line in _lines(proc / "meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _cgroup(proc: Path, root: Path) -> int | None:
    """What the tightest of our control groups leaves; version 2 (one tree) and 1 (one tree per controller)."""
    left: list[int] = []
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            base, limit_file, used_file, cache = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            base, limit_file, used_file = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        own = base / name.strip("/")
        for folder in (own, *own.parents):  # a limit may stand on any group above
            limit, used = _number(folder / limit_file), _number(folder / used_file)
            if limit is not None and used is not None:
                left.append(max(0, limit - used + _stat(folder / "memory.stat", cache)))
            if folder == base:
                break
    return min(left) if left else None


def _stat(path: Path, key: str) -> int:
    """Page cache that the kernel drops first: counted as used, but free for the taking."""
    for line in _lines(path):
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return 0


def _number(path: Path) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None  # "max": no limit


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _elsewhere() -> int | None:
    """macOS tells only the total: half of it. Windows tells what is free."""
    if sys.platform == "win32":
        import ctypes

        class Status(ctypes.Structure):
            _fields_ = (
                ("length", ctypes.c_ulong),
                ("load", ctypes.c_ulong),
                *((name, ctypes.c_ulonglong) for name in ("total", "free", "a", "b", "c", "d", "e")),
            )

        status = Status(length=ctypes.sizeof(Status))
        done = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status.free) if done else None
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError):
        return None
