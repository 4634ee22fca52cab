"""The progress bar, on terminals only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfrestore.cli.report import Report
from dfrestore.restore import FileResult

pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX")
termios = pytest.importorskip("termios", reason="pseudo-terminals are POSIX")
OUTPUTS = {Path("a"): 100, Path("b"): 300}


class Terminal:
    """A pseudo-terminal as standard error; ``text`` is what it shows."""

    def __init__(self) -> None:
        self._ours, theirs = pty.openpty()
        self.stream = os.fdopen(theirs, "w", buffering=1)

    def text(self) -> str:
        """All that was shown; nothing can be shown after it."""
        self.stream.close()
        shown = b""
        while True:
            try:
                part = os.read(self._ours, 4096)
            except OSError:  # how Linux says that the other end is closed
                part = b""
            if not part:
                return shown.decode()
            shown += part


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.stream.close()


def use(report: Report) -> None:
    report.open_bar(OUTPUTS)
    report.progress(Path("a"), 0.5)
    report.result(FileResult("done", Path("a"), Path("a")))
    report.result(FileResult("failed", Path("b"), Path("b"), error="b: broken"))
    report.close()


def test_a_terminal_shows_a_bar_with_the_file_and_the_time_left(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    use(Report(quiet=False, as_json=False, inputs=2))
    text = terminal.text()
    assert "1/2   0%|" in text
    assert "2/2  25%|" in text
    assert "<" in text
    assert "dfrestore: b: broken" in text
    assert "1 done, 1 failed" in text


def test_a_terminal_that_does_not_know_its_height_shows_a_bar(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    termios.tcsetwinsize(terminal.stream.fileno(), (0, 100))
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    use(Report(quiet=False, as_json=False, inputs=2))
    assert "%|" in terminal.text()


@pytest.mark.parametrize(("quiet", "as_json"), [(True, False), (False, True)])
def test_quiet_and_json_show_no_bar(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, quiet: bool, as_json: bool
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    use(Report(quiet=quiet, as_json=as_json, inputs=2))
    assert "%|" not in terminal.text()


def test_a_pipe_gets_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    use(Report(quiet=False, as_json=False, inputs=2))
    assert "%|" not in capsys.readouterr().err


@pytest.mark.parametrize(("expected", "shown"), [(90.0, "<01:2"), (None, "<?")])
def test_the_first_time_left_is_what_the_start_line_expects(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, expected: float | None, shown: str
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    report = Report(quiet=False, as_json=False, inputs=2)
    report.open_bar(OUTPUTS)
    report.expect(expected)
    for _ in range(20):
        report.progress(Path("a"), 0.001)
    report._bar.refresh()
    report.close()
    assert shown in terminal.text()


def test_the_bar_goes_by_its_own_pace_once_it_has_one(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.stream)
    report = Report(quiet=False, as_json=False, inputs=2)
    report.open_bar(OUTPUTS)
    report.expect(7200.0)
    report.progress(Path("a"), 1.0)  # a quarter of all
    report._bar.refresh()
    report.close()
    assert "<2:00:00" not in terminal.text()
