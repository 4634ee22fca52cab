"""``main``: runs the app, and turns whatever ends it into a line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from dfrestore import strict_json
from dfrestore.cli.complaints import complaint
from dfrestore.cli.ending import INTERRUPTED, TERMINATED, Ended, Terminated, silence
from dfrestore.errors import DfrestoreError, StartError, one_line
from dfrestore.files import remedy
from dfrestore.threads import let_waiting_threads_sleep


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``dfrestore`` with these arguments (default: the process's own) and return the exit code.

    0 done, 1 some inputs failed, 2 wrong usage, 3 could not start, 130 interrupted, 143 terminated.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    let_waiting_threads_sleep()
    _replace_closed_streams()
    _never_fail_to_print()
    # The Hub's client is asked for files; it need not tell of anything else, nor look up what it might tell.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        with _termination_raises():
            return _run(arguments)
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED, arguments)
    except Terminated:
        return _say("terminated", TERMINATED, arguments)
    except BrokenPipeError:
        silence(sys.stdout)
        return 1
    except DfrestoreError as error:
        if _debugging():
            raise
        return _say(str(error), error.exit_code, arguments)
    except MemoryError:
        if _debugging():
            raise
        return _say("out of memory before the work began; close other programs", StartError.exit_code, arguments)
    except OSError as error:
        if _debugging():
            raise
        place = f"{error.filename}: " if error.filename is not None else ""
        return _say(f"{place}{error.strerror or error}; {remedy(error)}", 1, arguments)
    except Exception as error:
        if _debugging():
            raise
        text = f"unexpected {type(error).__name__}: {error} (DFRESTORE_DEBUG=1 shows where)"
        return _say(text, 1, arguments)
    finally:
        _flush()


def _run(arguments: list[str]) -> int:
    import typer
    from typer.main import get_command

    from dfrestore.cli.commands import build, wanted_by

    command = get_command(build(wanted_by(arguments, os.environ)))
    try:
        code = command.main(arguments, prog_name="dfrestore", standalone_mode=False)
    except typer.Exit as end:
        code = end.exit_code
    except Ended as end:
        return end.code
    except typer.Abort:  # Ctrl-C in older versions of typer
        code = INTERRUPTED
    except SystemExit as end:
        # how completion scripts end the process
        code = end.code
    except Exception as error:
        return _usage(error, arguments)
    if code == INTERRUPTED:  # how typer hands on Ctrl-C, silently
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _usage(error: Exception, arguments: list[str]) -> int:
    """Typer's own complaints (an option that does not exist, ...) as one line; anything else goes on up."""
    describe = getattr(error, "format_message", None)
    if describe is None:
        raise error
    if type(error).__name__ == "NoArgsIsHelpError":
        print(describe(), file=sys.stderr)
        return 2
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK", "0") != "0":
        return 2  # of several processes with the same arguments, the first one speaks
    return _say(complaint(error, arguments), 2, arguments)


def _say(text: str, code: int, arguments: Sequence[str]) -> int:
    """One line on stderr, and with ``--json`` the same as an object on stdout. Returns the code."""
    if "--json" in arguments:
        with contextlib.suppress(OSError):
            print(strict_json.dumps({"error": text, "exit_code": code}), flush=True)
    with contextlib.suppress(OSError):
        print(f"dfrestore: {one_line(text)}", file=sys.stderr)
    return code


@contextlib.contextmanager
def _termination_raises() -> Iterator[None]:
    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    try:
        previous = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not the main thread: only that one can handle signals
        yield
        return
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is terminate:  # else another handler was set meanwhile, which stays
            signal.signal(signal.SIGTERM, previous)


def _replace_closed_streams() -> None:
    """Replace streams that the caller closed by the null device, so that no picture is opened under their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 (for as long as we run)


def _never_fail_to_print() -> None:
    """File names that the terminal's encoding cannot show are escaped, not fatal."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
    except (OSError, ValueError):
        pass


def _debugging() -> bool:
    return os.environ.get("DFRESTORE_DEBUG") == "1"
