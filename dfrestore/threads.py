"""The threads of one process: how many torch computes with, how they wait, and small work side by side in them.

torch is imported only where it is asked, so that what it reads from the environment can be set before.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
# Measured on two cores at one megapixel: see examples/engine.md.
SPINS = "1000"
# One evaluation of a photo takes about a hundred kernels, of 0.2 to 0.45 MB each: see examples/engine.md.
KERNELS = "256"


def let_waiting_threads_sleep(environment: MutableMapping[str, str] = os.environ, system: str = sys.platform) -> None:
    """Make OpenMP's threads sleep soon when they wait for work, unless the user has set how they wait.

    By default they spin, and on a busy machine everything then takes many times as long. Call this before torch is
    loaded, which reads the setting. GNU's runtime on Linux (libgomp) counts rounds of spinning; those of LLVM and Intel
    on macOS and Windows count milliseconds.
    """
    if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & set(environment):
        return
    if system.startswith("linux"):
        environment["GOMP_SPINCOUNT"] = SPINS
    else:
        environment["KMP_BLOCKTIME"] = "1"


def keep_few_kernels(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let oneDNN, which makes a kernel for each shape of its arguments, keep the last ones alone.

    By default it and PyTorch keep a thousand each, which photos of many sizes fill with half a gigabyte. Call this
    before torch is loaded, in work on whole photos; training, whose shapes come back in each step, needs more.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        environment.setdefault(name, KERNELS)


def use_threads(count: int | None) -> None:
    """Let torch compute with ``count`` threads of the CPU; None and 0 leave it as it is."""
    if count:
        import torch

        torch.set_num_threads(count)


def side_by_side(works: Sequence[Callable[[], T]]) -> list[T]:
    """What each of ``works`` gives, in turn. Works of torch on the CPU share its threads: where each is too small to
    gain much from more than one, that saves a fifth to a third of the time (measured on two cores).
    """
    import torch

    threads = torch.get_num_threads()
    at_once = min(threads, len(works))
    if at_once < 2:
        return [work() for work in works]
    try:
        with ThreadPoolExecutor(at_once, initializer=use_threads, initargs=(threads // at_once,)) as pool:
            return [made.result() for made in [pool.submit(work) for work in works]]
    finally:
        use_threads(threads)  # threads that begin later take the last number that any of them has set


def cores() -> int:
    """How many cores this process may use; two threads of one core count once."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    allowed = os.sched_getaffinity(0)
    try:
        place = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
        return len({Path(place.format(number)).read_text() for number in allowed})
    except OSError:
        return len(allowed)
