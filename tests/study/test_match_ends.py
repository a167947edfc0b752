"""The two ends of a connection find each other, and a cause stands before its effect."""

from __future__ import annotations

from protocol.push import Gap, encode_gap, encode_published
from study.match_ends import CLIENT, SERVER, Both, addresses, in_one_order, match_ends, set_clock
from study.trace import Event, Trace
from tests.study.scribe import Scribe, conversation, converse
from tests.support.wire import request


def keys(client: Trace, server: Trace) -> list[tuple[str, str]]:
    found = match_ends(client.groups, server.groups)
    return [tuple(events[0].group if events else "" for events in both) for both in found]  # type: ignore[misc]


def test_what_is_local_to_one_is_the_peer_of_the_other():
    client, server = Scribe("client"), Scribe("server")
    converse(client, server, 1, group="1", port=5001)
    converse(client, server, 1, group="2", port=5002)
    late = Scribe("server")
    for group, port in (("8", 5002), ("9", 5001), ("10", 5003)):
        late.begin(group, "[::ffff:127.0.0.1]:65432", f"[::ffff:127.0.0.1]:{port}")
    assert keys(client.trace(), server.trace()) == [("1", "1"), ("2", "2")]
    assert keys(client.trace(), late.trace()) == [("1", "9"), ("2", "8"), ("", "10")]


def test_addresses_that_are_used_again_are_matched_in_their_order():
    client, server = Scribe("client"), Scribe("server")
    for group in ("1", "2"):
        client.begin(group, "127.0.0.1:5001", "127.0.0.1:80")
        server.begin("1" + group, "127.0.0.1:80", "127.0.0.1:5001")
    client.begin("3", "127.0.0.1:5001", "127.0.0.1:80")
    assert keys(client.trace(), server.trace()) == [("1", "11"), ("2", "12"), ("3", "")]


def test_unix_sockets_are_matched_by_their_bytes():
    client, server = Scribe("client"), Scribe("server")
    for group, ours, theirs in (("1", "one", "two!"), ("2", "two!", "one")):
        client.begin(group, "unix", "unix")
        server.begin(group, "unix", "unix")
        client.moved(group, "out", request(ours))
        server.moved(group, "in", request(theirs))
    client.begin("3", "unix", "unix")
    server.begin("3", "unix", "unix")
    assert keys(client.trace(), server.trace()) == [("1", "2"), ("2", "1"), ("3", ""), ("", "3")]


def test_an_address_is_that_of_the_connection_that_came_about():
    client, _ = conversation(1)
    assert addresses(client.trace().groups["1"]) == ("127.0.0.1:5000", "127.0.0.1:65432")
    failed = Scribe("client")
    failed.begin("1", "0.0.0.0:0", None)
    failed.note("1", "syscall", call="connect", result="ECONNREFUSED", to="127.0.0.1:9", source="a/b.py:1")
    assert addresses(failed.trace().groups["1"]) == ("0.0.0.0:0", "127.0.0.1:9")


def both_of(client: Scribe, server: Scribe) -> Both:
    return Both(client.trace().groups["1"], server.trace().groups["1"])


def test_times_of_day_that_can_be_right_are_believed():
    client, server = conversation(3, host="10.0.0.8")
    assert set_clock([both_of(client, server)], 0.5) == (0.5, 0.0)
    assert set_clock([], 77.0) == (77.0, 0.0)


def test_clocks_that_put_arrivals_before_departures_are_set_by_the_bytes():
    client, server = conversation(20, host="10.0.0.8")
    for wrong in (-5000.0, 5000.0):
        clock = set_clock([both_of(client, server)], wrong)
        assert abs(clock.shift) < 1
        assert clock.moved == clock.shift - wrong


def test_on_one_machine_there_is_one_clock():
    client, server = conversation(3)
    assert set_clock([both_of(client, server)], -3.0) == (-3.0, 0.0)


def test_nothing_is_received_before_it_was_sent():
    client, server = conversation(5)
    for shift in (-0.9, 0.0, 0.9):
        order = in_one_order(both_of(client, server), shift)
        assert len(order) == len(client.trace().events) + len(server.trace().events)
        for end in (CLIENT, SERVER):
            times = [time for side, time, _ in order if side == end]
            assert times == sorted(times)
        put = {(side, event.data["offset"]): time for side, time, event in order if event.data.get("call") == "send"}
        for side, time, event in order:
            if event.data.get("call") == "recv" and (1 - side, event.data.get("offset")) in put:
                assert put[1 - side, event.data["offset"]] <= time or event.data["result"] == 0
        sent = {CLIENT: 0, SERVER: 0}
        finished = {CLIENT: False, SERVER: False}
        for side, _, event in order:
            data = event.data
            if event.name != "syscall":
                continue
            finished[side] |= data["call"] in ("shutdown", "close")
            if data.get("direction") == "out":
                sent[side] = data["offset"] + data["result"]
            elif data.get("direction") == "in" and data["result"] == 0:
                assert finished[1 - side]
            elif data.get("direction") == "in" and isinstance(data["result"], int):
                assert data["offset"] + data["result"] <= sent[1 - side]


def test_nobody_is_woken_to_read_before_the_bytes_have_left():
    """As on one machine: the server has noted its wake and its recv before the client's send has returned."""
    client, server = Scribe("client"), Scribe("server")
    for scribe, way in ((client, "out"), (server, "in")):
        scribe.begin("1", "a" if way == "out" else "b", "b" if way == "out" else "a")
    client.turn("1")
    client.moved("1", "out", request(1)[:9])
    client.moved("1", "out", request(1)[9:])
    client.turn("1")
    client.note("1", "syscall", call="shutdown", result=0)
    server.turn("1", "r")
    server.failed("1", "recv", "EAGAIN")
    server.turn("1", "rw")
    server.moved("1", "in", request(1))
    server.turn("1", "w")
    server.turn("1", "r")
    server.note("1", "syscall", call="recv", result=0, direction="in", offset=len(request(1)), asked=1, bytes="")
    order = in_one_order(both_of(client, server), -1000.0)
    told = [
        (side, event.data.get("call") or event.data.get("ready"))
        for side, _, event in order
        if event.name in ("wake", "syscall")
    ]
    assert told == [
        (SERVER, "r"), (SERVER, "recv"),  # it found nothing: nobody need have sent anything
        (CLIENT, "send"), (SERVER, "rw"),  # the first bytes woke it, and the others came meanwhile
        (CLIENT, "send"), (SERVER, "recv"),
        (SERVER, "w"),
        (CLIENT, "shutdown"), (SERVER, "r"), (SERVER, "recv"),
    ]  # fmt: skip
    times = [time for _, time, _ in order]
    assert times == sorted(times)


def test_the_order_within_a_trace_is_the_trace_s():
    client, server = conversation(5)
    both = both_of(client, server)
    order = in_one_order(both, -300.0)
    for side in (CLIENT, SERVER):
        assert [event for where, _, event in order if where == side] == both[side]


def test_an_end_whose_peer_was_not_recorded_waits_for_nobody():
    _, server = conversation(2)
    events: list[Event] = server.trace().groups["1"]
    assert [event for _, _, event in in_one_order(Both([], events), 0.0)] == events
    assert [time for _, time, _ in in_one_order(Both([], events), 2.0)] == [event.time + 2 for event in events]


def test_an_event_answers_no_request_and_shifts_no_pair():
    """What nobody asked for leaves between two replies: both ends count the same messages, each cause stands first."""
    client, server = Scribe("client"), Scribe("server")
    client.begin("1", "a", "b")
    server.begin("1", "b", "a")
    sent = [request(1), encode_published("t", 1, b"1") + request(2), encode_gap(Gap("t", 2, 3, 2)), request(3)]
    for number, data in enumerate(sent):
        if number != 2:  # the gap alone comes without a request
            client.turn("1")
            client.moved("1", "out", request(number))
            server.now = client.now
            server.turn("1", "r")
            server.moved("1", "in", request(number))
        server.now = max(server.now, client.now)
        server.turn("1")
        server.moved("1", "out", data)
        client.now = server.now
        client.turn("1", "r")
        client.moved("1", "in", data)
    (both,) = match_ends(client.trace().groups, server.trace().groups)
    for shift in (-5.0, 0.0, 5.0):
        order = in_one_order(both, shift)
        calls = [(side, event.data["direction"]) for side, _, event in order if event.name == "syscall"]
        asked = [(CLIENT, "out"), (SERVER, "in")]
        told = [(SERVER, "out"), (CLIENT, "in")]
        assert sorted(calls) == sorted(asked * 3 + told * 4)
        assert shift or calls == (asked + told) * 2 + told + asked + told
        for at, (side, direction) in enumerate(calls):
            if direction == "in":
                assert calls[:at].count((1 - side, "out")) > calls[:at].count((side, "in")), (
                    "no effect before its cause"
                )
        parts = [[e.data for s, _, e in order if s == side and e.name == "part"] for side in (CLIENT, SERVER)]
        theirs, ours = (
            [(part["message"], part["offset"], part.get("value")) for part in side if part["direction"] == way]
            for side, way in zip(parts, ("in", "out"), strict=True)
        )
        assert theirs == ours
