"""How are times and sizes shown to a person?

Not here: what they are of.
"""

from __future__ import annotations

__all__ = ["bytes_text", "time_text"]


def time_text(seconds: float) -> str:
    """Three significant digits in the unit that suits: `87.3 us`, `1.25 ms`, `2.00 s`, `3 m`."""
    for factor, unit in ((1e6, "us"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{_three(seconds * factor)} {unit}" if seconds else "0 s"
    if seconds < 600:
        return f"{_three(seconds)} s"
    return f"{_three(seconds / 60)} m" if seconds < 36000 else f"{_three(seconds / 3600)} h"


def _three(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def bytes_text(count: int) -> str:
    """Bytes in units of 1024: `512 B`, `1.5 MB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1024 or unit == "GB":
            break
        value /= 1024
    return f"{count} B" if unit == "B" else f"{value:,.1f} {unit}"
