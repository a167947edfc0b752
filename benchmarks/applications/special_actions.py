"""Which actions does a load need that the built-in ones are not?

For `app_server.py --app special_actions:actions`, of any commit: this directory is on the path of every server that
the benchmarks start. Its name is no package's, so that another commit's `benchmarks` does not hide it.
"""

from __future__ import annotations

from typing import Any

from libserver import Actions

actions = Actions()


@actions.add("remember")
def remember(request: dict[str, Any], session: dict[str, Any]) -> object:
    """Wants the session, and answers the same each time."""
    session["last"] = request["value"]
    return session["last"]


@actions.add("at once", blocking=True)
def at_once(request: dict[str, Any]) -> object:
    """Runs in a thread, and returns without waiting for anything."""
    return request["value"]
