"""How do a run's files become one page that loads nothing?

`report.html` = the text (`page.text`) + the numbers (`page.series`) + our own style and scripts, all in
one file: it can be sent, kept and opened without a network. A policy in its head makes the browser hold us to that:
no address may be loaded, and no script may run but the one whose checksum it names, so that not even
hostile text that slipped through could do anything.

Not here: what it says, what it shows.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from string import Template
from typing import Any

from protocol.files import replace

from ..saved_run import Warn, ignore, read_errors, read_summary
from .series import read_series
from .text import text_of

__all__ = ["PAGE", "render", "write_html"]

PAGE = "report.html"

_HERE = Path(__file__).resolve().parent


def write_html(directory: Path, warn: Warn = ignore) -> Path:
    """Write the page of a run, whole or killed, beside its files; its path. What is not whole, `warn` is called with.

    Raises `ValueError` with a sentence if it is no run, `OSError` if it can't be read or written.
    """
    path = directory / PAGE
    replace(path, [render(directory, warn).encode()])
    return path


def render(directory: Path, warn: Warn = ignore) -> str:
    """The page as text."""
    summary = read_summary(directory, warn)
    series = read_series(directory, warn)
    first: dict[str, dict[str, Any]] = {}
    for failure in read_errors(directory, warn):
        first.setdefault(str(failure.get("name")), failure)
    style, script = _part("report.css"), _part("charts.js") + _part("report.js")
    return Template(_part("report.html")).substitute(
        **text_of(directory.resolve().name, summary, series, first),
        policy="default-src 'none'; img-src data:; base-uri 'none'; "  # the heat map paints itself a picture
        f"style-src {_checksum(style)}; script-src {_checksum(script)}",
        style=style,
        script=script,
        data=series.json(summary),
    )


def _part(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _checksum(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
