"""Whatever the server does and whenever the run is interrupted, every request is accounted for."""

import threading

import pytest

from eventloop import parse_address
from libclient.connect import resolve
from multiconn.loadtest.config import Config
from multiconn.loadtest.engine.runner import Runner
from tests.multiconn.loadtest.runs import FAST, Told
from tests.support import scripted
from tests.support.scripted import ScriptedServer


def mortal(peer):
    while True:
        peer.reply(peer.right(peer.request()))
        if peer.server.requests > 50:
            peer.server.stop()


SERVERS = {
    "dies": mortal,
    "wrong": scripted.wrong_once_in(7),
    "silent": scripted.silent_after(3),
    "resets": scripted.reset_after(4),
    "one-shot": scripted.one_shot,
    "cut": scripted.raw_after(5, b"\0"),
}
MODELS = {
    "closed": {},
    "queue": {"rate": 600.0},
    "drop": {"rate": 600.0, "on_overrun": "drop", "arrival": "poisson", "warmup": 0.05},
    "reconnect": {"rate": 300.0, "reconnect_every": 2},
}


@pytest.mark.parametrize(
    ("model", "interrupt"), [("closed", None), ("drop", None), ("reconnect", None), ("closed", 0.05), ("queue", 0.05)]
)
@pytest.mark.parametrize("server", SERVERS)
def test_every_request_is_accounted_for(server, model, interrupt):
    options = {**FAST, "duration": 0.08, "connections": 4, "pipeline": 3, "timeout": 0.05, "drain": 0.05}
    if server == "wrong":
        options |= {"timeout": 10.0, "drain": 10.0}  # it answers each request, when the machine lets it
    config = Config(**{**options, **MODELS[model]})
    told = Told()
    with ScriptedServer(SERVERS[server]) as running:
        address = parse_address(running.target)
        runner = Runner(config, address, resolve(address), [told])
        if interrupt is not None:
            threading.Timer(interrupt, runner.interrupt, (2,)).start()
        outcome = runner.run()  # which raises AccountingError if its own books don't balance
    accounting = outcome.accounting
    assert accounting.scheduled == accounting.sent + accounting.dropped
    assert accounting.sent == accounting.ok + accounting.failed + accounting.in_flight_at_end
    assert accounting.ok == outcome.measured.response.count == outcome.measured.service.count
    # The intervals tell the same story.
    both = (outcome.measured, outcome.warmup)
    assert sum(i.sent for i in told.intervals) == sum(ledger.sent for ledger in both)
    assert sum(i.dropped for i in told.intervals) <= sum(ledger.dropped for ledger in both)
    if server == "wrong" and interrupt is None:
        assert set(told.intervals[-1].errors) <= {"verify_mismatch"}
        assert outcome.errors["verify_mismatch"] == accounting.failed
