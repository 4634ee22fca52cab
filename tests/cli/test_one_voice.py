"""Of several processes one tells why the run ends, also when a signal reaches it while it is about to."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

import pytest

from dfrestore.cli import entry, together
from dfrestore.cli.ending import Ended, Terminated
from dfrestore.errors import DfrestoreError
from dfrestore.processes import PeerFailed, Peers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The handlers of the test's own process come back."""
    kept = {number: signal.getsignal(number) for number in BOTH}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


class First(Peers):
    """The first process, which knows of no other's failure."""

    def __init__(self) -> None:
        self.rank = 0

    def failures(self) -> int:
        return 0

    def may_tell(self, error: BaseException) -> bool:
        return True


class Later(First):
    """Another process than the first one, which has told already."""

    def __init__(self) -> None:
        self.rank = 1

    def may_tell(self, error: BaseException) -> bool:
        return False


def fail_and_be_ended(end: type[BaseException]) -> NoReturn:
    """A neighbour is gone, and while that unwinds torchrun's signal arrives."""
    try:
        raise PeerFailed
    finally:
        try:
            raise ValueError("something else on the way out")
        except ValueError:
            raise end  # noqa: B904 (as a signal's handler does)


@pytest.mark.parametrize("end", [Terminated, KeyboardInterrupt])
def test_a_signal_on_the_way_out_does_not_hide_that_a_neighbour_is_gone(end: type[BaseException]) -> None:
    with pytest.raises(PeerFailed), together._one_voice(First()):
        fail_and_be_ended(end)
    assert all(signal.getsignal(number) is signal.SIG_IGN for number in BOTH)


def test_the_others_end_without_a_word() -> None:
    with pytest.raises(Ended) as caught, together._one_voice(Later()):
        fail_and_be_ended(Terminated)
    assert caught.value.code == PeerFailed.exit_code


@pytest.mark.parametrize("end", [Terminated, KeyboardInterrupt])
def test_a_signal_that_came_over_nothing_is_what_is_told(end: type[BaseException]) -> None:
    with pytest.raises(end), together._one_voice(First()):
        raise end


def test_who_has_become_deaf_stays_so_until_it_has_spoken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(arguments: list[str]) -> int:
        together._ignore_signals()
        raise DfrestoreError("another process is gone")

    say = entry._say

    def say_after_the_signal(*arguments: object) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return say(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(entry, "_run", run)
    monkeypatch.setattr(entry, "_say", say_after_the_signal)
    monkeypatch.delenv("DFRESTORE_DEBUG", raising=False)
    assert entry.main(["train"]) == DfrestoreError.exit_code
    assert "dfrestore: another process is gone" in capsys.readouterr().err


def test_otherwise_the_handler_of_before_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(entry, "_run", lambda arguments: 0)
    assert entry.main([]) == 0
    assert signal.getsignal(signal.SIGTERM) is before
