"""How does a test look at a page as a person would: in a real browser, without a display?

A headless Chromium, driven by its own protocol (CDP) over a pair of pipes (`--remote-debugging-pipe`), so
that neither a port nor a package is needed. Messages are JSON, each ended by a zero byte.

    with Chromium.start(tmp_path) as browser:
        page = browser.open(path_to_html, width=1200, height=900, dark=True)
        assert page.evaluate("document.title") == "..."
        page.move(300, 200)
        png = page.screenshot()
        assert page.troubles == []          # exceptions, console errors, requests to anywhere

Every wait is bounded. Not here: whether a browser is there at all (`missing`, for `skipif`).
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import struct
import subprocess
import time
import zlib
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

#: Seconds that anything may take on a busy machine.
PATIENCE = 30.0


def executable() -> str | None:
    """CHROMIUM in the environment, or the first of the usual names that is installed."""
    return os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


#: Why browser tests are skipped, or None.
missing = None if executable() else f"no browser: install chromium (looked for {', '.join(NAMES)})"


class Chromium:
    """A running browser."""

    def __init__(self, process: subprocess.Popen, to: int, back: int) -> None:
        self._process, self._to, self._back = process, to, back
        self._received = b""
        self._number = 0
        self._events: list[dict] = []

    @classmethod
    def start(cls, profile: Path) -> Chromium:
        """`profile` is a directory of its own, such as `tmp_path`."""
        their_in, to = os.pipe()
        back, their_out = os.pipe()

        def place() -> None:  # the browser reads commands from 3 and answers on 4
            high_in, high_out = os.dup2(their_in, 103), os.dup2(their_out, 104)
            os.dup2(high_in, 3)
            os.dup2(high_out, 4)

        command = [
            str(executable()),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--force-device-scale-factor=1",
            "--hide-scrollbars",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=place,
            pass_fds=(3, 4),
            start_new_session=True,
        )
        os.close(their_in)
        os.close(their_out)
        return cls(process, to, back)

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        try:
            self.call("Browser.close")
            self._process.wait(PATIENCE)
        except (OSError, EOFError, TimeoutError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._back)

    # --- the protocol ---------------------------------------------------------------------

    def call(self, method: str, session: str | None = None, **parameters: object) -> dict:
        """Ask for something and wait for the answer; what happens meanwhile is kept for `event`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        deadline = time.monotonic() + PATIENCE
        while True:
            told = self._receive(deadline)
            if told.get("id") == self._number:
                if "error" in told:
                    raise AssertionError(f"{method}: {told['error']}")
                return told["result"]
            self._events.append(told)

    def event(self, method: str, session: str) -> dict:
        """The next event of this name, which may have happened already."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for n, told in enumerate(self._events):
                if told.get("method") == method and told.get("sessionId") == session:
                    return self._events.pop(n)["params"]
            self._events.append(self._receive(deadline))

    def forget(self, session: str) -> None:
        """What happened to a page so far is nobody's business any more."""
        self._events = [told for told in self._events if told.get("sessionId") != session]

    def happened(self, session: str) -> list[tuple[str, dict]]:
        """What happened to a page so far, and has not been asked for."""
        return [(told["method"], told["params"]) for told in self._events if told.get("sessionId") == session]

    def _receive(self, deadline: float) -> dict:
        while b"\0" not in self._received:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._back], [], [], left)[0]:
                raise TimeoutError(f"the browser did not answer within {PATIENCE:g} s")
            piece = os.read(self._back, 1 << 20)
            if not piece:
                raise EOFError(f"the browser has gone (exit code {self._process.poll()})")
            self._received += piece
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)

    # --- pages ----------------------------------------------------------------------------

    def tab(self) -> Page:
        """An empty page of its own."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        return page

    def open(self, path: Path, *, width: int = 1200, height: int = 900, dark: bool = False) -> Page:
        """A page from a file, loaded, in a window of this size."""
        page = self.tab()
        page.resize(width, height)
        page.paint(dark=dark)
        page.load(path.resolve().as_uri())
        page.settle()
        return page


class Page:
    """One tab."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser, self.session = browser, session

    def call(self, method: str, **parameters: object) -> dict:
        return self._browser.call(method, self.session, **parameters)

    def load(self, url: str) -> None:
        """Go there; what happened before is forgotten."""
        self._browser.forget(self.session)
        self.call("Page.navigate", url=url)
        self._browser.event("Page.loadEventFired", self.session)

    def resize(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def paint(self, *, dark: bool = False, media: str = "") -> None:
        """As whoever prefers dark sees it, or with media="print" as paper does."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def settle(self) -> None:
        """Until what was begun is on the screen: two frames later."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def evaluate(self, expression: str) -> object:
        """The value of a JavaScript expression (of a promise, what it promises)."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise AssertionError(f"{expression}: {told['exceptionDetails']}")
        return told["result"].get("value")

    def move(self, x: float, y: float) -> None:
        """The pointer, in pixels of the window."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.settle()

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.settle()

    def press(self, key: str, *, shift: bool = False) -> None:
        """A key by its name (`ArrowRight`, `Tab`, `Escape`), or a character."""
        codes = {"Tab": 9, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39}
        codes |= {"ArrowDown": 40, "Enter": 13, " ": 32}
        # "\r" is what makes a button believe it was pressed
        text = "\r" if key == "Enter" else key if len(key) == 1 else ""
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key.upper() if shift and len(key) == 1 else key,
                code="Space" if key == " " else key,
                windowsVirtualKeyCode=codes.get(key, 0),
                modifiers=8 if shift else 0,
                text=text if kind == "keyDown" else "",
            )
        self.settle()

    def write(self, text: str) -> None:
        """As typed into what has the focus."""
        self.call("Input.insertText", text=text)

    def screenshot(self, *, whole: bool = False) -> bytes:
        """PNG of the window, or of the whole page."""
        told = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        return base64.b64decode(told["data"])

    def _clip(self, whole: bool) -> dict:
        if not whole:
            return {}
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    @property
    def troubles(self) -> list[str]:
        """Exceptions, errors on the console, and everything that was loaded beside the file itself."""
        found = []
        for method, told in self._browser.happened(self.session):
            if method == "Runtime.exceptionThrown":
                found.append(str(told["exceptionDetails"]))
            elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
                found.append(f"console: {told['args']}")
            elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
                found.append(f"log: {told['entry']['text']}")
            elif method == "Network.requestWillBeSent" and told["request"]["url"].partition(":")[0] not in (
                "file",
                "data",
                "about",
            ):
                found.append(f"loaded {told['request']['url']}")
        return [trouble[:500] for trouble in found]


def pixels(png: bytes) -> tuple[int, int, set[bytes]]:
    """Width, height and the different colours of a PNG of 8 bits a channel: enough to tell blank from drawn."""
    at, data, width, height, channels = 8, b"", 0, 0, 0
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        body = png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, _, colour = struct.unpack_from(">IIBB", body)
            channels = {2: 3, 6: 4}[colour]
        elif kind == b"IDAT":
            data += body
        at += 12 + length
    raw, stride = zlib.decompress(data), width * channels
    colours: set[bytes] = set()
    before = bytearray(stride)
    for row in range(height):
        start = row * (stride + 1)
        line = bytearray(raw[start + 1 : start + 1 + stride])
        _unfilter(raw[start], line, before, channels)
        colours.update(bytes(line[n : n + 3]) for n in range(0, stride, channels))
        before = line
    return width, height, colours


def _unfilter(kind: int, line: bytearray, above: bytearray, step: int) -> None:
    """PNG's filters: each byte was written as a difference from its neighbours."""
    for n in range(len(line)):
        left = line[n - step] if n >= step else 0
        corner = above[n - step] if n >= step else 0
        up = above[n]
        if kind == 1:
            line[n] = (line[n] + left) & 255
        elif kind == 2:
            line[n] = (line[n] + up) & 255
        elif kind == 3:
            line[n] = (line[n] + (left + up) // 2) & 255
        elif kind == 4:
            guess = left + up - corner
            near = min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]
            line[n] = (line[n] + near) & 255
