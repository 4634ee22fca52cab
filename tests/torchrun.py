"""Commands in two processes, as a user starts them with ``torchrun``."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def torchrun(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Two processes, ended with the block."""
    own = ["--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", str(_free_port())]
    command = [sys.executable, "-m", "torch.distributed.run", *own, *(str(argument) for argument in arguments)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until ``ready``, while the process lives."""
    deadline = time.monotonic() + 90
    while not ready():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def child_of_rank(rank: int, parent: int) -> int:
    """The process of this rank (Linux: from /proc)."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    marked = [n for n in children if f"\0RANK={rank}\0" in f"\0{Path(f'/proc/{n}/environ').read_text()}"]
    assert len(marked) == 1
    return int(marked[0])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
