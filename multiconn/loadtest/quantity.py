"""How is a plain number written: `500`, `1.5k`, `2m`?

The command line and the expressions of `--threshold` read it alike.

Not here: times (`eventloop.parse_duration`), what a number counts.
"""

from __future__ import annotations

__all__ = ["plain_number"]

#: Characters: a longer number is a slip, and Python would take its time to read it.
_LONGEST = 15


def plain_number(text: str, kilo: float = 1e3) -> float | None:
    """What is written with an optional point, and k or m for thousands or millions (of `kilo`); None if it is none."""
    factor = {"k": kilo, "m": kilo * kilo}.get(text[-1:].lower())
    digits = text[:-1] if factor else text
    if not digits.isascii() or not digits.replace(".", "", 1).isdigit() or len(digits) > _LONGEST:
        return None
    return float(digits) * (factor or 1)
