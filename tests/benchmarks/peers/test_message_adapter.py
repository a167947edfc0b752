"""Does our Message find over asyncio all that it asks of its own transport?"""

from __future__ import annotations

import inspect
import re

import libserver.ending
import libserver.message
from benchmarks.peers.message_adapter import StreamTransport


def test_the_transport_over_asyncio_has_all_that_a_message_asks_of_its_own() -> None:
    sources = map(inspect.getsource, (libserver.message, libserver.ending))
    asked = set(re.findall(r"\btransport\.(\w+)", "".join(sources)))
    assert {"write", "unread", "interest"} <= asked
    assert [name for name in sorted(asked) if not hasattr(StreamTransport, name)] == []
