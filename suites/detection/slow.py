"""Which action takes its time? `--app suites.detection.slow:actions`, for cases that need one that blocks."""

from __future__ import annotations

import time
from typing import Any

from libserver import Actions, Topics

__all__ = ["SECONDS", "actions"]

#: Longer than a case watches the server's process.
SECONDS = 1.0

actions = Actions(topics=Topics())


@actions.add("slow", blocking=True)
def slow(request: dict[str, Any]) -> object:
    """The request's value, in a while."""
    time.sleep(SECONDS)
    return request.get("value")
