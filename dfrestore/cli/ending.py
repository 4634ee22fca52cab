"""How a run ends other than by returning: the signals as exceptions, their exit codes, readers that have gone."""

from __future__ import annotations

import contextlib
import io
import os
from typing import TextIO

INTERRUPTED, TERMINATED = 130, 143


class Terminated(BaseException):
    """SIGTERM arrived: unwind like Ctrl-C, so that temporary files go and what is finished stays."""


class Ended(Exception):
    """A run was interrupted or terminated, has said so itself, and ends with ``code``."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def silence(stream: TextIO) -> None:
    """Let a stream whose reader has gone swallow what is still written to it."""
    with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
