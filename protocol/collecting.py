"""How is the cyclic collector kept from walking a large value again and again while it is made?

Every 700 arrays and objects that a decoder makes, the collector walks those made last, and now and then all
of them: of a megabyte of small arrays that is four fifths of the time. It can find nothing: what JSON decodes
to has no cycles. So it rests while such a value is there, and goes on when the value is gone: then
those it was made of are not new any more either, and cost it nothing.

Rules:

* It goes on in any case, unless it was off before: that is the application's own decision.
* Nothing waits in here. Other threads' garbage is collected a few milliseconds later.

Not here: which values are large (`protocol.limits`).
"""

from __future__ import annotations

import gc

__all__ = ["Uncollected"]


class Uncollected:
    """`with Uncollected(): ...`: no collection in between, nor because of what was made and freed in between."""

    __slots__ = ("_was_on",)

    def __enter__(self) -> None:
        self._was_on = gc.isenabled()
        gc.disable()

    def __exit__(self, *exc: object) -> None:
        if self._was_on:
            gc.enable()
