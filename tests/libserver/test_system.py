"""Can a server live on another system than this one?"""

from __future__ import annotations

import os

from eventloop import Address
from libserver.limits import ServerLimits
from libserver.listeners import Bound
from libserver.system import System
from tests.support.descriptors import no_descriptor_left
from tests.support.server import ANY_PORT, turned


def test_what_a_server_asks_of_the_system_is_asked_of_the_one_it_was_given() -> None:
    real = System()
    asked: list[str] = []
    held: list[int] = []

    def listen(address: Address, limits: ServerLimits) -> list[Bound]:
        asked.append(str(address))
        return real.listen(address, limits)

    def open_reserve() -> int:
        held.append(real.open_reserve())
        return held[-1]

    def close_reserve(number: int) -> None:
        held.remove(number)
        real.close_reserve(number)

    def pool(threads: int, hand_back: object) -> object:
        asked.append(f"{threads} threads")
        return real.pool(threads, hand_back)

    with turned(handler_threads=3, system=System(listen, lambda: 50, open_reserve, close_reserve, pool)) as home:
        assert asked == ["3 threads", ANY_PORT]
        assert home.server.max_connections == 50 - 32
        assert len(held) == 1
    assert held == []


def test_the_real_reserve_is_a_descriptor_that_no_child_inherits() -> None:
    with no_descriptor_left():
        system = System()
        reserve = system.open_reserve()
        assert not os.get_inheritable(reserve)
        system.close_reserve(reserve)
