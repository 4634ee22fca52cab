"""A headless Chromium for tests of pages, driven by the DevTools protocol over a pipe; no library, no port."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 60.0
# Chromium listens at descriptor 3 and speaks at 4
_AT_3_AND_4 = "import os, sys; a, b, *c = sys.argv[1:]; os.dup2(int(a), 3); os.dup2(int(b), 4); os.execv(c[0], c)"


def find_browser() -> str | None:
    """The command of a Chromium on PATH."""
    return next((path for name in NAMES if (path := shutil.which(name))), None) if sys.platform != "win32" else None


class NoBrowser(Exception):
    """A browser is installed and does not start: no sandbox for this user, a library missing."""


class Browser:
    """One tab. requests: every address asked for since the last :meth:`open`; errors: what scripts and policy said."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._out, self._in = to_browser, from_browser
        self._rest = b""
        self._last = 0
        self._session: dict[str, str] = {}
        self.requests: list[str] = []
        self.errors: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def open(self, page: Path, width: int = 1280, height: int = 800, *, dark: bool = False) -> None:
        """Load a file, and wait until all of it is there."""
        self.resize(width, height)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.requests.clear()
        self.errors.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        self.wait_for(f"document.readyState === 'complete' && location.href === {json.dumps(page.resolve().as_uri())}")

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; promises are waited for."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True)
        if "exceptionDetails" in told:
            raise AssertionError(f"{script}: {told['exceptionDetails']}")
        return told["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Until a JavaScript expression is true."""
        end = time.monotonic() + SECONDS
        while not self.run(condition):
            assert time.monotonic() < end, f"never true: {condition}"
            time.sleep(0.02)

    def press(self, key: str, *, shift: bool = False) -> None:
        """A key, as the keyboard sends it."""
        codes = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9, "Escape": 27}
        code = codes.get(key, ord(key[0].upper()))
        event = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **event, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse, move it, let go; with ``start`` equal to ``end`` a click."""
        for kind, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
            button = {"button": "left", "buttons": 1, "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def wheel(self, at: tuple[float, float], down: float, *, control: bool = False) -> None:
        self.call(
            "Input.dispatchMouseEvent",
            type="mouseWheel",
            x=at[0],
            y=at[1],
            deltaX=0,
            deltaY=down,
            modifiers=2 if control else 0,
        )

    def picture(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One DevTools command and its result."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params, **self._session}
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while True:
            told = self._next()
            if told.get("id") == self._last:
                assert "error" not in told, f"{method}: {told['error']}"
                result: dict[str, Any] = told["result"]
                return result
            self._note(told)

    def _note(self, event: dict[str, Any]) -> None:
        kind, params = event.get("method"), event.get("params", {})
        if kind == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif kind == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif kind == "Log.entryAdded":
            self.errors.append(params["entry"]["text"])

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0, end - time.monotonic()))
            part = os.read(self._in, 1 << 20) if ready else b""
            assert part, "the browser has gone or does not answer"
            self._rest += part
        data, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(data)
        return message


@contextlib.contextmanager
def browsing(command: str, profile: Path) -> Iterator[Browser]:
    """A browser of its own, with nothing of the user's, that ends with the block."""
    import fcntl

    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()
    passed = [fcntl.fcntl(number, fcntl.F_DUPFD, 20) for number in (theirs_in, theirs_out)]
    options = ["--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run"]
    options += ["--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-sync"]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [sys.executable, "-c", _AT_3_AND_4, *map(str, passed), command, *options],
        pass_fds=passed,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for number in (theirs_in, theirs_out, *passed):
        os.close(number)
    try:
        try:
            browser = Browser(ours_out, ours_in)
        except (AssertionError, OSError) as error:
            raise NoBrowser(f"{command} does not start") from error
        yield browser
    finally:
        os.close(ours_out)  # the end of its input ends it
        os.close(ours_in)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)  # its own session: nothing but this browser
            process.wait()
