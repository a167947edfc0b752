"""Which version of multiconn is this?"""

from __future__ import annotations


def installed() -> str | None:
    """The version that was installed; None in a bare clone.

    `importlib.metadata` is imported where it is asked: it would cost a tenth of the time in which a command starts.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("multiconn")
    except PackageNotFoundError:
        return None
