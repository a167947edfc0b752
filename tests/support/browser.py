"""How does a test look at a page as a person would: in a real browser, without a display?

Playwright drives the Chromium that the system has; nothing is downloaded. `tests/conftest.py` hands two fixtures out:
`chromium`, one browser for all the tests of a worker, and `tab`, a fresh page of it for each test.

    def test_it_has_a_title(tab):
        tab.open(path_to_html, size=(400, 900), dark=True)
        assert tab.evaluate("document.title") == "..."
        tab.press("ArrowRight")
        assert tab.troubles == []  # exceptions, errors and warnings of the console, and all that was asked of a network

Rules: a page's own Content-Security-Policy holds; playwright is imported when a browser is needed and never before;
every wait is bounded by Playwright's 30 s. While the browser is open, asyncio believes that a loop of its own runs in
this thread: a test that calls `asyncio.run` needs a process of its own.

Not here: what a page should do (the tests).
"""

from __future__ import annotations

import base64
import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Request

__all__ = ["Tab", "chromium", "tab"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: What a page may ask for: what it holds itself.
ITS_OWN = ("file", "data", "about", "blob")


def executable() -> str | None:
    """CHROMIUM in the environment, or the first of the usual names that is installed."""
    return os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


def missing() -> str | None:
    """Why there is no browser for the tests, or None."""
    if importlib.util.find_spec("playwright") is None:
        return "no playwright: pip install -e '.[test]'"
    return None if executable() else f"no browser: install chromium (looked for {', '.join(NAMES)})"


@pytest.fixture(scope="session")
def chromium() -> Iterator[BrowserContext]:
    """One browser for all the tests of a worker; in a sandbox, but for root, whom Chromium refuses one.

    One context, and an empty page that stays: a page in a context of its own, or the first one, takes twice as long to
    come. So tests share what pages store, which is nothing.
    """
    if reason := missing():
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), chromium_sandbox=os.geteuid() != 0)
        context = browser.new_context()
        context.new_page()
        yield context
        browser.close()


@pytest.fixture
def tab(chromium: BrowserContext) -> Iterator[Tab]:
    """A page that knows nothing of the tests before it."""
    it = Tab(chromium)
    yield it
    it.close()


class Tab:
    """One page, and what a reader does with it."""

    def __init__(self, context: BrowserContext) -> None:
        self._context = context
        self._page = context.new_page()
        self._troubles: list[str] = []
        self._page.on("pageerror", lambda error: self._troubles.append(f"exception: {error}"))
        self._page.on("console", self._told)
        self._page.on("request", self._asked)

    def close(self) -> None:
        self._page.close()

    def _told(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self._troubles.append(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        if request.url.partition(":")[0] not in ITS_OWN:
            self._troubles.append(f"asked for {request.url}")

    @property
    def troubles(self) -> list[str]:
        """So far: exceptions, errors and warnings of the console, requests for what is not the page's own; in order."""
        self.settle()  # what has just gone wrong is told by then
        return self._troubles

    def open(self, path: Path, place: str = "", *, size: tuple[int, int] = (1400, 900), dark: bool = False) -> Tab:
        """Load a file, in a window of this size, and perhaps at a place in it (`#...`)."""
        self._page.set_viewport_size({"width": size[0], "height": size[1]})
        self.paint(dark=dark)
        if self._page.url != "about:blank":
            self._page.goto("about:blank")  # another place on the same page would not load it anew
        self._page.goto(path.resolve().as_uri() + place)
        return self

    def paint(self, *, dark: bool = False, printed: bool = False) -> None:
        """As a reader sees it who prefers dark, or as paper shows it."""
        self._page.emulate_media(color_scheme="dark" if dark else "light", media="print" if printed else "screen")

    def settle(self) -> None:
        """Until what was begun is on the screen: two frames later."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression (of a promise, what it promises)."""
        return self._page.evaluate(expression)

    def move(self, x: float, y: float) -> None:
        """The pointer, in pixels of the window."""
        self._page.mouse.move(x, y)

    def click(self, x: float, y: float) -> None:
        self._page.mouse.click(x, y)

    def press(self, key: str) -> None:
        """A key by its name (`ArrowRight`, `Shift+M`), or a character."""
        self._page.keyboard.press(key)

    def write(self, text: str) -> None:
        """As typed into what has the focus."""
        self._page.keyboard.insert_text(text)

    def screenshot(self) -> bytes:
        """PNG of the window."""
        return self._page.screenshot()

    def processor_ms(self, expression: str) -> float:
        """How long evaluating this keeps the page's thread working, in milliseconds of processor time."""
        session = self._context.new_cdp_session(self._page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def so_far() -> float:
            found = session.send("Performance.getMetrics")["metrics"]
            return next(float(metric["value"]) for metric in found if metric["name"] == "TaskDuration") * 1000

        begun = so_far()
        self.evaluate(expression)
        took = so_far() - begun
        session.detach()
        return took

    def picture(self, png: bytes) -> tuple[int, int, int]:
        """Width, height and the number of different colours of a PNG: enough to tell blank from drawn."""
        width, height, colours = self._context.pages[0].evaluate(
            MEASURE, "data:image/png;base64," + base64.b64encode(png).decode()
        )
        return width, height, colours


#: On an empty page, where nothing forbids a picture.
MEASURE = """async (url) => {
  const image = new Image();
  image.src = url;
  await image.decode();
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const canvas = new OffscreenCanvas(width, height).getContext("2d");
  canvas.drawImage(image, 0, 0);
  return [width, height, new Set(new Uint32Array(canvas.getImageData(0, 0, width, height).data.buffer)).size];
}"""
