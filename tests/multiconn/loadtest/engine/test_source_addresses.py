"""Connections go out from the addresses that were asked for."""

import pytest

from multiconn.loadtest.engine.source_addresses import bound_endpoints
from tests.multiconn.loadtest.runs import run
from tests.support import scripted
from tests.support.scripted import ScriptedServer


def test_source_addresses_are_taken_in_turn():
    seen = []

    def noting(peer):
        seen.append(peer.sock.getpeername()[0])
        scripted.correct(peer)

    with ScriptedServer(noting) as server:
        outcome = run(server.target, requests=40, connections=4, source_ips=("127.0.0.2", "127.0.0.3"))
    assert outcome.accounting.ok == 40
    assert sorted(seen) == ["127.0.0.2"] * 2 + ["127.0.0.3"] * 2


def test_a_source_of_another_family_than_the_target_is_refused():
    with pytest.raises(ValueError, match="no address of that family"):
        bound_endpoints([], ("::1",))
