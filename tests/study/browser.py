"""What does a real browser make of a page?

`Browser` is one tab of a headless Chromium (`tests.fakes.chromium`) that a reader takes from page to page.

Not here: what a page should do (the tests).
"""

from __future__ import annotations

from pathlib import Path

from tests.fakes.chromium import Chromium, Page

__all__ = ["Browser"]


class Browser(Page):
    """A browser with one tab."""

    def __init__(self, profile: Path) -> None:
        self._chromium = Chromium.start(profile)
        super().__init__(self._chromium, self._chromium.tab().session)

    def open(self, page: Path, place: str = "", *, size: tuple[int, int] = (1400, 900), dark: bool = False) -> None:
        self.resize(*size)
        self.paint(dark=dark)
        for url in ("about:blank", page.as_uri() + place):  # another place on the same page would not load it anew
            self.load(url)

    def close(self) -> None:
        self._chromium.close()
