"""Does one connection keep the wire's promises, whatever its peer does?

Every test runs twice: many requests at once, and one at a time (as an observer has it). What goes in and comes out are
bytes of a real socket.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import logging
import random
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import pytest

from eventloop import Transport
from libserver import ActionError, Actions, CloseReason, Message, Reply
from libserver.limits import BROKEN_WITHIN, LINGER, MAX_IN_FLIGHT
from libserver.notices import TOLD as FAILURES_TOLD
from protocol import Limits
from protocol.limits import DIRECT_CONTENT
from tests.libserver.conftest import OpenHouse
from tests.support.peer import Peer, arrived, small_buffers
from tests.support.server import Turned, check_books, turned
from tests.support.wire import ask, binary, framed, json_message, keep, message

MEGABYTE = 1024 * 1024

# --- one-shot, keep-alive, close -----------------------------------------------------------


def test_a_one_shot_request_gets_one_reply_without_a_connection_field_then_fin(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    peer.send(ask("search", "ring"))
    reply = peer.reply()
    assert reply.result == "In the caves beneath the Misty Mountains. 💍"
    assert reply.header == {
        "byteorder": sys.byteorder,
        "content-type": "text/json",
        "content-encoding": "utf-8",
        "content-length": len(reply.content),
    }
    peer.eof()
    peer.close()
    assert home.ended() == {"served": 1}


def test_what_follows_a_one_shot_request_is_discarded_and_not_served(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    peer.send(ask("echo", 1), keep("echo", 2), b"\0\0garbage")
    assert peer.reply().result == 1
    peer.eof()
    peer.close()
    assert home.ended() == {"served": 1}


def test_megabytes_behind_a_one_shot_request_are_discarded_without_a_reset(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    peer.send(ask("echo", 1), b"more")
    assert peer.reply().result == 1
    for _ in range(20):
        peer.send(bytes(MEGABYTE // 8))
    peer.eof()  # a RST would raise here
    peer.send(b"still sending")
    home.quiet()
    peer.close()
    assert home.ended() == {"served": 1}


def test_what_comes_after_a_one_shot_connection_was_closed_costs_neither_reply_nor_eof(house: OpenHouse) -> None:
    """The batch closes at once: nothing is unread or expected. The late bytes meet a RST, the reply does not."""
    home = house()
    peer = home.peer()
    peer.send(ask("echo", 1))
    home.quiet()
    peer.send(keep("echo", 2))
    assert peer.reply().result == 1
    peer.eof()
    peer.close()
    assert home.ended() == {"served": 1}


def test_keep_alive_sticks_and_is_granted_on_the_first_reply_only(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    peer.send(keep("echo", 1))
    assert peer.reply().connection == "keep-alive"
    peer.send(ask("echo", 2))  # it sticks: no need to repeat it
    second = peer.reply()
    assert second.result == 2
    assert second.connection is None
    peer.send(keep("echo", 3))
    assert peer.reply().connection is None
    peer.silent()


def test_close_ends_a_kept_alive_connection_after_its_reply_which_says_so(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    peer.send(keep("echo", 1), ask("echo", 2, connection="close"), keep("echo", 3))
    first, second = peer.replies(2)
    assert (first.result, first.connection) == (1, "keep-alive")
    assert (second.result, second.connection) == (2, "close")
    peer.eof()
    peer.close()
    assert home.ended() == {"served": 1}


def test_a_first_request_that_says_close_is_a_one_shot(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    peer.send(ask("echo", 1, connection="close"), keep("echo", 2))
    assert peer.reply().result == 1
    peer.eof()


def test_an_unknown_connection_word_is_ignored(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    peer.send(ask("echo", 1, connection="upgrade"))
    assert peer.reply().connection is None
    peer.eof()


def test_what_comes_while_a_one_shots_connection_is_closed_costs_it_no_reply(
    house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes the close a RST, which throws away what the kernel has not sent yet."""
    home = house()
    peer = home.peer()
    look = Transport.nothing_unread

    def late(self: Transport) -> bool:
        found = look(self)
        peer.sock.send(b"\n")
        arrived(self.sock, 1)
        return found

    monkeypatch.setattr(Transport, "nothing_unread", late)
    peer.send(ask("echo", "whole"))
    assert peer.reply().result == "whole"
    with contextlib.suppress(OSError):
        peer.finish()
    assert home.ended() == {"served": 1}


def test_a_one_shot_request_that_fails_ends_for_the_reason_served(house: OpenHouse) -> None:
    home = house()
    for request in (ask("nothing"), message(b"{", "text/json", "utf-8"), message(b"{}", "text/json", "rot13")):
        peer = home.peer()
        peer.send(request)
        assert peer.reply().code is not None
        peer.eof()
        home.advance(LINGER + 1)  # also when the peer never finishes
    assert home.ended() == {"served": 3}


# --- pipelining ------------------------------------------------------------------------------


def test_a_thousand_pipelined_requests_are_answered_in_order_once(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    peer.send(*(keep("echo", n) for n in range(1000)))
    assert [reply.result for reply in peer.replies(1000)] == list(range(1000))
    peer.silent()


def test_a_mix_of_every_kind_of_request_is_answered_in_order(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    big = random.Random(1).randbytes(200_000)
    peer.send(
        keep("echo", "a"),
        keep("echo", "b", id="x"),
        binary(b"c"),
        json_message({"action": "echo", "value": "d"}, "utf-16"),
        ask("nothing"),
        keep("echo", "e", deadline_ms=1000),
        binary(big),
        message(b"{", "text/json", "utf-8", id=7),
        keep("confirm", "f"),
        binary(b"0123456789abc", "image/png"),
        keep("echo", "g"),
    )
    got = peer.replies(11)
    assert [got[n].result for n in (0, 1, 3, 5, 8, 10)] == ["a", "b", "d", "e", "Received: f", "g"]
    assert [got[n].content for n in (2, 6, 9)] == [b"c", big, b"First 10 bytes of request: 0123456789"]
    assert [got[n].code for n in (4, 7)] == ["unknown-action", "bad-content"]
    assert [reply.header.get("id") for reply in got] == [None, "x", None, None, None, None, None, 7, None, None, None]


def test_one_and_a_half_requests_get_the_first_reply_now(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    second = keep("echo", 2)
    for cut in (1, 2, 3, 50, len(second) - 1):
        peer.send(keep("echo", 1), second[:cut])
        assert peer.reply().result == 1
        peer.silent()
        peer.send(second[cut:])
        assert peer.reply().result == 2


def test_a_request_one_byte_at_a_time_is_answered(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    for byte in keep("search", "🐶"):
        peer.send(bytes([byte]))
        home.turn()
    assert peer.reply().result == "🐾 Playing ball! 🏐"


def test_good_broken_good_is_answered_reply_error_and_the_third_is_not_served(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    peer.send(keep("echo", 1), framed(b"[]"), keep("echo", 3))
    first, second = peer.replies(2)
    assert first.result == 1
    assert second.code == "bad-header"
    assert second.connection == "close"
    peer.eof()
    peer.close()
    assert home.ended() == {"bad-framing": 1}


def test_the_error_reaches_a_peer_that_is_still_sending_megabytes(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    peer.send(keep("echo", 1), framed(b"[]"), bytes(4 * MEGABYTE))  # a close now would be a RST
    first, second = peer.replies(2)
    assert first.result == 1
    assert second.code == "bad-header"
    peer.send(bytes(4 * MEGABYTE))
    peer.eof()
    peer.close()
    assert home.ended() == {"bad-framing": 1}


# --- half-close ----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 500])
def test_a_peer_that_half_closes_after_whole_requests_gets_every_reply_then_fin(house: OpenHouse, count: int) -> None:
    home = house()
    peer = home.peer()
    peer.send(*(keep("echo", n) for n in range(count)))
    peer.finish()
    assert [reply.result for reply in peer.replies(count)] == list(range(count))
    peer.eof()
    assert home.ended() == {"peer-closed": 1}


def test_a_one_shot_peer_that_half_closes_gets_its_reply_then_fin(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    peer.send(ask("echo", 1))
    peer.finish()
    assert peer.reply().result == 1
    peer.eof()
    assert home.ended() == {"served": 1}


@pytest.mark.parametrize("length", [1, 2, 30, 150, 100_000], ids=["prefix", "no header", "header", "content", "large"])
def test_shut_wr_inside_a_message_drops_it_after_the_replies_before(house: OpenHouse, length: int) -> None:
    home = house()
    peer = home.peer()
    whole = binary(bytes(200_000)) if length > 1000 else keep("echo", "x" * 100)
    peer.send(keep("echo", 1), whole[:length])
    peer.finish()
    assert peer.reply().result == 1
    peer.eof()
    assert home.ended() == {"truncated": 1}


def test_a_peer_that_connects_and_leaves_costs_nothing_but_an_entry(house: OpenHouse) -> None:
    home = house()
    home.peer().close()
    assert home.ended() == {"silent": 1}
    assert home.log.records == [] or all("connection closed" in text for text in home.log.texts())


@pytest.mark.parametrize("sent", [b"", b"\0", keep("echo", 1)[:60], keep("echo", 1)])
def test_a_reset_ends_a_connection_without_a_word_in_the_log(house: OpenHouse, sent: bytes) -> None:
    home = house()
    peer = home.peer()
    peer.send(sent)
    home.quiet()
    peer.reset()
    assert home.ended() == {"reset" if sent else "silent": 1}
    assert not [text for text in home.log.texts() if "connection closed" not in text]


# --- the table of errors ---------------------------------------------------------------------------

FATAL = {
    "empty header": (framed(b""), "bad-header"),
    "no object": (framed(b"[]"), "bad-header"),
    "not JSON": (framed(b"{nonsense"), "bad-header"),
    "not UTF-8": (framed(b"\xff\xfe"), "bad-header"),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + bytes(30_000), "bad-header"),
    "negative length": (framed({**json.loads(framed({}).decode()[2:]), "content-length": -1}), "bad-header"),
    "content above the limit": (
        framed({"byteorder": "", "content-type": "a", "content-encoding": "", "content-length": 10**30}),
        "content-too-large",
    ),
}


@pytest.mark.parametrize(("sent", "code"), FATAL.values(), ids=FATAL.keys())
def test_lost_framing_is_told_then_closed(house: OpenHouse, sent: bytes, code: str) -> None:
    home = house()
    peer = home.peer()
    peer.send(sent)
    reply = peer.reply()
    assert reply.code == code
    assert reply.connection is None  # it never asked to be kept alive
    peer.eof()
    peer.close()
    assert home.ended() == {"bad-framing": 1}


def test_a_header_too_large_is_refused_at_its_prefix(house: OpenHouse) -> None:
    home = house(sizes=Limits(max_header=200))
    peer = home.peer()
    peer.send((201).to_bytes(2, "big"))
    assert peer.reply().code == "header-too-large"
    peer.eof()


def test_content_of_exactly_the_limit_is_served_and_one_more_is_refused_when_declared(house: OpenHouse) -> None:
    home = house(sizes=Limits(max_content=1000))
    peer = home.peer()
    peer.send(binary(bytes(1000), connection="keep-alive"))
    assert len(peer.reply().content) == 1000
    peer.send(binary(bytes(1001), id="late")[:-1001])
    reply = peer.reply()
    assert reply.code == "content-too-large"
    assert reply.header["id"] == "late"
    assert reply.connection == "close"
    peer.eof()


ANSWERED = {
    "unknown encoding": (message(b"{}", "text/json", "klingon"), "unsupported-encoding"),
    "bytes to bytes": (message(b"{}", "text/json", "zlib_codec"), "unsupported-encoding"),
    "a NUL": (message(b"{}", "text/json", "utf-8\0"), "unsupported-encoding"),
    "no string": (message(b"{}", "text/json", 8), "unsupported-encoding"),
    "bad bytes": (message(b'"\xff"', "text/json", "utf-8"), "bad-content"),
    "no content": (message(b"", "text/json", "utf-8"), "bad-content"),
    "NaN": (message(b'{"action": NaN}', "text/json", "utf-8"), "bad-content"),
    "two values": (message(b"{} {}", "text/json", "utf-8"), "bad-content"),
    "too deep": (message(b"[" * 100_000, "text/json", "utf-8"), "bad-content"),
    "too long a number": (message(b"9" * 5000, "text/json", "utf-8"), "bad-content"),
    "unknown action": (ask("dance"), "unknown-action"),
    **{
        f"falsy {value!r}": (json_message(value), "bad-request")
        for value in ({}, [], 0, "", None, False, {"action": None}, {"action": 1})
    },
}


@pytest.mark.parametrize(("request_", "code"), ANSWERED.values(), ids=ANSWERED.keys())
def test_a_failed_request_is_answered_and_the_connection_goes_on(house: OpenHouse, request_: bytes, code: str) -> None:
    home = house()
    peer = home.peer()
    peer.send(keep("echo", 1), request_, keep("echo", 2))
    first, failed, last = peer.replies(3)
    assert (first.result, failed.code, last.result) == (1, code, 2)
    peer.silent()


def test_an_unknown_action_is_answered_in_the_tutorials_words(house: OpenHouse) -> None:
    peer = house().peer()
    peer.send(ask("dance", "tango"))
    assert peer.reply().result == "Error: invalid action 'dance'."


def test_zero_bytes_of_anything_binary_are_answered(house: OpenHouse) -> None:
    peer = house().peer()
    peer.send(binary(b"", "image/png", connection="keep-alive"), binary(b""))
    assert [reply.content for reply in peer.replies(2)] == [b"First 10 bytes of request: ", b""]


def test_ids_come_back_on_replies_and_on_errors_once_the_header_has_validated(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    ids: list[Any] = [0, -(2**53), 2**53, "", "x" * 64, "🐶", "\ud800"]
    for id in ids:
        peer.send(keep("echo", 1, id=id), ask("dance", id=id), message(b"{", "text/json", "utf-8", id=id))
        peer.send(binary(b"1", id=id))
        assert [reply.header["id"] for reply in peer.replies(4)] == [id] * 4
    peer.send(ask("echo", 1, id=1.5))
    refused = peer.reply()
    assert refused.code == "bad-header"
    assert "id" not in refused.header


def test_a_null_id_is_refused(house: OpenHouse) -> None:
    peer = house().peer()
    peer.send(ask("echo", 1, id=None))
    assert peer.reply().code == "bad-header"


# --- contents ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["\ud800", "a\udfffb", "🐶", "", "é" * 1000, '"\\\n\0', 2**100, -0.5, None, [1, {"a": []}], True]
)
def test_values_come_back_as_they_were(house: OpenHouse, value: object) -> None:
    peer = house().peer()
    content = json.dumps({"action": "echo", "value": value}).encode()
    peer.send(message(content, "text/json", "utf-8", connection="keep-alive"), message(content, "text/json", "ascii"))
    assert [reply.result for reply in peer.replies(2)] == [value, value]


def test_non_ascii_is_not_escaped_and_a_lone_surrogate_is(house: OpenHouse) -> None:
    peer = house().peer()
    content = json.dumps({"action": "echo", "value": "é\ud800🐶"}).encode()
    peer.send(message(content, "text/json", "utf-8"))
    assert peer.reply().content == '{"result": "é\\ud800🐶"}'.encode()


def test_a_lone_surrogate_in_an_error_is_escaped(house: OpenHouse) -> None:
    peer = house().peer()
    peer.send(message(b'{"action": "\\ud800"}', "text/json", "utf-8"))
    assert peer.reply().result == "Error: invalid action '\ud800'."


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "latin-1", "utf-32", "cp1252", "UTF8"])
def test_any_text_encoding_is_read_and_answered_in_utf_8(house: OpenHouse, encoding: str) -> None:
    peer = house().peer()
    peer.send(json_message({"action": "echo", "value": "é"}, encoding))
    assert peer.reply().content == '{"result": "é"}'.encode()


@pytest.mark.parametrize(
    ("value", "shown"), [(True, "True"), (None, "None"), ([1], "[1]"), ({"a": 1}, "{'a': 1}"), (1.5, "1.5"), ("", "")]
)
def test_search_shows_what_it_could_not_find_as_python_does(house: OpenHouse, value: object, shown: str) -> None:
    peer = house().peer()
    peer.send(ask("search", value))
    assert peer.reply().result == f"No match for '{shown}'."


def test_confirm_counts_for_each_connection_alone(house: OpenHouse) -> None:
    home = house()
    one, two = home.peer(), home.peer()
    one.send(keep("confirm", "a"), keep("confirm", "b"))
    assert [reply.body for reply in one.replies(2)] == [
        {"result": "Received: a", "count": 1},
        {"result": "Received: b", "count": 2},
    ]
    two.send(keep("confirm", "c"))
    assert two.reply().body == {"result": "Received: c", "count": 1}


SIZES = [0, 1, 4096, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, MEGABYTE, 10 * MEGABYTE]


@pytest.mark.parametrize("size", SIZES)
def test_binary_contents_of_every_size_come_back_bytewise(house: OpenHouse, size: int) -> None:
    home = house()
    peer = home.peer()
    content = random.Random(size).randbytes(size)
    peer.send(binary(content, connection="keep-alive"))
    reply = peer.reply()
    assert reply.content == content
    assert reply.header["content-type"] == "binary/echo"
    assert reply.header["content-encoding"] == "binary"


def test_large_contents_between_small_ones_come_back_in_order(house: OpenHouse) -> None:
    home = house(write_high=4 * MEGABYTE)
    peer = home.peer()
    contents = [random.Random(n).randbytes(size) for n, size in enumerate([10, 70_000, 1, MEGABYTE, 65_536, 0, 65_535])]
    peer.send(*(binary(content, connection="keep-alive") for content in contents), keep("echo", "end"))
    assert [peer.reply().content for _ in contents] == contents
    assert peer.reply().result == "end"


@pytest.mark.parametrize("step", [1000, 65_536, 65_600, 100_000])
def test_a_large_content_is_received_in_place_however_it_is_cut(house: OpenHouse, step: int) -> None:
    home = house()
    peer = home.peer()
    content = random.Random(step).randbytes(300_000)
    data = binary(content, connection="keep-alive") + keep("echo", "behind") + binary(content)
    for start in range(0, len(data), step):
        peer.send(data[start : start + step])
        home.turn()
    assert peer.reply().content == content
    assert peer.reply().result == "behind"
    assert peer.reply().content == content


def test_large_json_is_received_in_place_too(house: OpenHouse) -> None:
    peer = house().peer()
    value = "é" * 200_000
    peer.send(keep("echo", value), keep("echo", 1))
    assert [reply.result for reply in peer.replies(2)] == [value, 1]


# --- timers ----------------------------------------------------------------------------------------------


def test_a_peer_that_never_sent_a_byte_gets_fin_alone_at_the_header_timeout(house: OpenHouse) -> None:
    home = house(header_timeout=10.0)
    peer = home.peer()
    home.advance(9.9)
    peer.silent()
    home.advance(0.2)
    peer.eof()
    assert home.ended() == {"header-timeout": 1}


@pytest.mark.parametrize("sent", [b"\0", b"\xff\xff{123456789", keep("echo", 1)[:50]])
def test_a_message_that_began_and_did_not_arrive_in_time_is_told_so(house: OpenHouse, sent: bytes) -> None:
    home = house(header_timeout=10.0, min_data_rate=0)
    peer = home.peer()
    peer.send(sent)
    home.advance(9.9)
    peer.silent()
    home.advance(0.2)
    reply = peer.reply()
    assert reply.code == "timeout"
    peer.eof()
    peer.close()
    assert home.ended() == {"header-timeout": 1}


def test_the_first_header_is_timed_from_accept_not_from_its_first_byte(house: OpenHouse) -> None:
    home = house(header_timeout=10.0)
    peer = home.peer()
    home.advance(8.0)
    peer.send(b"\0")
    home.advance(2.1)
    assert peer.reply().code == "timeout"


def test_later_headers_are_timed_from_their_first_byte(house: OpenHouse) -> None:
    home = house(header_timeout=10.0, min_data_rate=0)
    peer = home.peer()
    home.advance(8.0)
    peer.send(keep("echo", 1))
    assert peer.reply().result == 1
    home.advance(100.0)  # between messages the header timer stands still
    peer.send(b"\0")
    home.advance(9.9)
    peer.silent()
    home.advance(0.2)
    reply = peer.reply()
    assert reply.code == "timeout"
    assert reply.connection == "close"


def test_a_header_that_trickles_in_is_not_given_new_time_by_each_byte(house: OpenHouse) -> None:
    home = house(header_timeout=10.0, min_data_rate=0)
    peer = home.peer()
    peer.send(keep("echo", 1))
    assert peer.reply().result == 1
    request = keep("echo", 2)
    for second in range(9):
        peer.send(request[second : second + 1])
        home.advance(1.0)
    peer.silent()
    home.advance(1.1)
    assert peer.reply().code == "timeout"


def test_a_new_message_behind_a_whole_one_has_time_of_its_own(house: OpenHouse) -> None:
    home = house(header_timeout=10.0, min_data_rate=0)
    peer = home.peer()
    request = keep("echo", 1)
    peer.send(request[:10])
    home.advance(8.0)
    peer.send(request[10:], request[:10])
    assert peer.reply().result == 1
    home.advance(8.0)
    peer.silent()
    home.advance(2.1)
    assert peer.reply().code == "timeout"


def test_half_a_message_in_the_first_read_behind_a_whole_one_has_time_of_its_own(house: OpenHouse) -> None:
    home = house(header_timeout=10.0, min_data_rate=0)
    peer = home.peer()
    home.advance(8.0)
    request = keep("echo", 1)
    peer.send(request, request[:10])
    assert peer.reply().result == 1
    home.advance(9.9)
    peer.silent()
    home.advance(0.2)
    assert peer.reply().code == "timeout"


@pytest.mark.parametrize("size", [1000, 200_000], ids=["buffered", "in place"])
def test_a_content_that_stops_arriving_is_told_so_with_its_id(house: OpenHouse, size: int) -> None:
    home = house(content_timeout=30.0, min_data_rate=0)
    peer = home.peer()
    request = binary(bytes(size), id="slow", connection="keep-alive")
    peer.send(request[: -size + 10])
    home.advance(29.9)
    peer.silent()
    home.advance(0.2)
    reply = peer.reply()
    assert reply.code == "timeout"
    assert reply.header["id"] == "slow"
    assert reply.connection == "close"
    peer.eof()
    peer.close()
    assert home.ended() == {"content-timeout": 1}


@pytest.mark.parametrize("size", [1000, 200_000], ids=["buffered", "in place"])
def test_progress_of_a_content_gives_it_new_time(house: OpenHouse, size: int) -> None:
    home = house(content_timeout=30.0, header_timeout=10.0, min_data_rate=0)
    peer = home.peer()
    request = binary(bytes(size), connection="keep-alive")
    peer.send(request[: -size + 10])
    for n in range(10, 15):
        home.advance(29.0)
        peer.send(request[-size + n : -size + n + 1])
        home.quiet()
    peer.silent()
    peer.send(request[-size + 15 :])
    assert peer.reply().content == bytes(size)


def test_a_reply_made_meanwhile_gives_a_content_that_has_stopped_no_new_time(house: OpenHouse) -> None:
    """Only a byte of its own is progress."""
    with doors() as d:
        home = house(d.actions, content_timeout=30.0, min_data_rate=0)
        peer = home.peer()
        peer.send(keep("wait", 1), binary(bytes(100), connection="keep-alive")[:-10])
        home.advance(20.0)
        d.open(1)
        assert peer.reply().result == 1
        home.advance(9.9)
        peer.silent()
        home.advance(0.2)
        assert peer.reply().code == "timeout"


@pytest.mark.parametrize("size", [1000, 200_000], ids=["buffered", "in place"])
def test_a_message_that_trickles_in_is_told_so_when_its_average_falls_below_the_least_rate(
    house: OpenHouse, size: int
) -> None:
    home = house(min_data_rate=100)
    peer = home.peer()
    request = binary(bytes(size), id=7, connection="keep-alive")
    end = len(request) - size
    peer.send(request[: end + 1])  # the grace of five seconds counts for these
    sent = end + 1
    for _ in range(6):
        home.advance(1.0)
        peer.send(request[sent : sent + 100])
        sent += 100
    home.quiet()
    peer.silent()  # a hundred bytes a second are enough, after the grace too
    left = sent / 100 - 6.0
    home.advance(left - 0.1)
    peer.send(request[sent : sent + 50])  # half a second more
    home.advance(0.5)
    peer.silent()
    home.advance(0.2)
    reply = peer.reply()
    assert (reply.code, reply.connection, reply.header["id"]) == ("timeout", "close", 7)
    assert "too slowly" in reply.result
    peer.eof()
    peer.close()
    assert home.ended() == {"slow": 1}


def test_a_header_that_trickles_in_is_too_slow_after_the_grace_though_its_own_time_is_not_up(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    home.advance(3.0)  # nothing has begun: this is not counted
    request = keep("echo", 1)
    for n in range(4):
        peer.send(request[n : n + 1])
        home.advance(1.0)
    home.advance(0.9)
    peer.silent()
    home.advance(0.2)
    assert peer.reply().code == "timeout"
    peer.close()
    assert home.ended() == {"slow": 1}


def test_each_message_has_a_data_rate_of_its_own(house: OpenHouse) -> None:
    """A fast megabyte is no credit for the next message, and a slow one no debt."""
    home = house(min_data_rate=240)
    peer = home.peer()
    request = keep("echo", 1)
    for _ in range(3):
        peer.send(binary(bytes(MEGABYTE), connection="keep-alive"), request[:50])
        assert len(peer.reply().content) == MEGABYTE
        home.advance(4.5)
        peer.send(request[50:])
        assert peer.reply().result == 1
    peer.send(request[:50])
    home.advance(5.1)
    assert peer.reply().code == "timeout"
    peer.close()
    assert home.ended() == {"slow": 1}


def test_idle_between_messages_ends_with_fin_alone(house: OpenHouse) -> None:
    home = house(idle_timeout=300.0)
    peer = home.peer()
    peer.send(keep("echo", 1))
    assert peer.reply().result == 1
    home.advance(200.0)
    peer.send(keep("echo", 2))
    assert peer.reply().result == 2
    home.advance(299.0)
    peer.silent()
    home.advance(20.0)  # the sweep may be a sixteenth late
    peer.eof()
    assert home.ended() == {"idle-timeout": 1}


def test_a_connection_that_waits_for_its_reply_is_not_idle_nor_just_after(house: OpenHouse) -> None:
    """The peer must have its time to send the next request: counted from the reply, not from the request."""
    actions, door = Actions(), threading.Event()
    actions.add("wait", blocking=True)(lambda request: door.wait(20))
    home = house(actions, idle_timeout=300.0)
    peer = home.peer()
    peer.send(keep("wait"))
    home.advance(299.0)
    home.advance(299.0)
    door.set()
    assert peer.reply().result is True
    home.advance(200.0)
    peer.silent()
    home.advance(120.0)
    peer.eof()
    assert home.ended() == {"idle-timeout": 1}


def test_two_timers_due_at_once_end_a_connection_once(house: OpenHouse) -> None:
    """A suspended machine wakes and finds everything due in the same turn."""
    home = house(header_timeout=10.0, idle_timeout=20.0)
    home.peer()
    home.advance(1000.0)
    assert sum(home.ended().values()) == 1


def test_a_timer_due_in_the_turn_in_which_its_connection_ends_is_ignored(house: OpenHouse) -> None:
    home = house(header_timeout=10.0)
    lost, lingering, half = home.peer(), home.peer(), home.peer()
    half.send(b"\0")
    lingering.send(ask("echo", 1))
    assert lingering.reply().result == 1
    home.quiet()
    lost.reset()
    half.reset()
    lingering.close()
    home.clock.advance(1000.0)
    assert sum(home.ended().values()) == 3


def test_a_timeout_of_zero_is_none(house: OpenHouse) -> None:
    home = house(header_timeout=0, content_timeout=0, idle_timeout=0, send_timeout=0, min_data_rate=0)
    silent, half, idle = home.peer(), home.peer(), home.peer()
    half.send(binary(bytes(100))[:-10])
    idle.send(keep("echo", 1))
    assert idle.reply().result == 1
    home.advance(1_000_000.0)
    for peer in (silent, half, idle):
        peer.silent()


@pytest.mark.parametrize("more", [b"", b"\n"])
def test_who_sends_on_while_its_last_request_is_carried_out_is_lingered_for(house: OpenHouse, more: bytes) -> None:
    """It may send still more: closed at once, that would be answered by a RST, which can cost it the reply."""
    with doors() as d:
        home = house(d.actions)
        peer = home.peer()
        peer.send(ask("wait", "slow"))
        home.until(lambda: d.begun)
        peer.sock.sendall(more)
        home.quiet()
        d.open("slow")
        assert peer.reply().result == "slow"
        peer.eof()
        home.quiet()
        assert [message.state for message in home.server.connections] == (["LINGERING"] if more else [])


def test_lingering_ends_after_five_seconds_also_with_a_peer_that_never_finishes(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    peer.send(framed(b"[]"))
    assert peer.reply().code == "bad-header"
    peer.eof()
    home.advance(4.9)
    assert len(home.server.connections) == 1
    peer.send(b"more")  # a byte buys no time
    home.advance(0.2)
    assert home.ended() == {"bad-framing": 1}


# --- deadlines -------------------------------------------------------------------------------------------


def test_a_deadline_of_zero_is_exceeded_before_the_handler_runs(house: OpenHouse) -> None:
    actions, calls = Actions(), []
    actions.add("note")(lambda request: calls.append(request))
    peer = house(actions).peer()
    peer.send(keep("note", deadline_ms=0, id=1), keep("note", 2))
    late, good = peer.replies(2)
    assert late.code == "deadline-exceeded"
    assert late.header["id"] == 1
    assert good.result is None
    assert len(calls) == 1


def test_a_deadline_is_counted_from_the_complete_header(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    request = keep("echo", "x", deadline_ms=2000)
    peer.send(request[:-1])
    home.advance(1.9)
    peer.send(request[-1:])
    assert peer.reply().result == "x"
    peer.send(request[:-1])
    home.advance(2.0)
    peer.send(request[-1:])
    assert peer.reply().code == "deadline-exceeded"
    peer.send(keep("echo", "next"))  # which has none
    assert peer.reply().result == "next"


def test_a_binary_request_has_its_deadline_too(house: OpenHouse) -> None:
    peer = house().peer()
    peer.send(binary(b"x", deadline_ms=0))
    assert peer.reply().code == "deadline-exceeded"


@pytest.mark.parametrize("deadline", [-1, 86_400_001, True, 1.0, "1", None])
def test_a_deadline_outside_the_rules_is_a_bad_header(house: OpenHouse, deadline: object) -> None:
    peer = house().peer()
    peer.send(ask("echo", 1, deadline_ms=deadline))
    assert peer.reply().code == "bad-header"


# --- handlers that fail ------------------------------------------------------------------------------------


class Own(BaseException):
    """Not an `Exception`: what a library may raise to get past its users' `except Exception`."""


def failing() -> Actions:
    actions = Actions()

    @actions.add("crash")
    def crash(request: Any) -> object:
        raise KeyError("/secret/path")

    @actions.add("crash with session")
    def crash_with_session(request: Any, session: Any) -> object:
        raise ValueError("/secret/path")

    @actions.add("exit")
    def leave(request: Any) -> object:
        sys.exit("/secret/path")

    @actions.add("refuse")
    def refuse(request: Any) -> object:
        raise ActionError("teapot", "short and stout")

    @actions.add("its own")
    def its_own(request: Any) -> object:
        raise Own("/secret/path")

    @actions.add("its own with session")
    def its_own_with_session(request: Any, session: Any) -> object:
        raise GeneratorExit

    @actions.add("several")
    def several(request: Any) -> object:
        raise BaseExceptionGroup("/secret/path", [Own()])

    @actions.add_binary("binary/its-own")
    def its_own_binary(content: Any) -> object:
        raise GeneratorExit

    actions.add("set")(lambda request: {1, 2})
    actions.add("nan")(lambda request: float("nan"))
    actions.add("deep")(lambda request: deep())
    actions.add("reply with a set")(lambda request: Reply(result={1}))
    actions.add_binary("binary/crash")(lambda content: 1 / 0)
    actions.add_binary("binary/text")(lambda content: "text")
    return actions


def failing_and(d: Doors) -> Actions:
    actions = failing()
    actions.add("wait", blocking=True)(d.wait)
    return actions


def deep() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "request_",
    [
        *(
            keep(name, id=5)
            for name in (
                *("crash", "crash with session", "exit", "set", "nan", "deep", "reply with a set"),
                *("its own", "its own with session", "several"),
            )
        ),
        *(
            binary(b"", kind, connection="keep-alive", id=5)
            for kind in ("binary/crash", "binary/text", "binary/its-own")
        ),
    ],
)
def test_a_failing_handler_is_answered_without_internals_and_logged_with_its_traceback(
    house: OpenHouse, request_: bytes
) -> None:
    home = house(failing())
    peer, other = home.peer(), home.peer()
    peer.send(request_, keep("echo", "next"))
    other.send(keep("echo", "other"))
    failed, following = peer.replies(2)
    assert failed.code == "handler-failed"
    assert failed.header["id"] == 5
    text = failed.content.decode()
    assert "secret" not in text
    assert "Error:" in text
    assert "Traceback" not in text
    assert following.result == "next"
    assert other.reply().result == "other"
    (record,) = home.log.records
    assert record.exc_info or "returned what can't be sent: " in record.getMessage()


def test_an_action_error_reaches_the_peer_word_for_word(house: OpenHouse) -> None:
    home = house(failing())
    peer = home.peer()
    peer.send(keep("refuse"))
    assert peer.reply().body == {
        "result": "Error: short and stout",
        "error": {"code": "teapot", "message": "short and stout"},
    }
    assert home.log.raised() == []


# --- blocking handlers ---------------------------------------------------------------------------------------


class Doors:
    """Handlers that wait until the test opens their door, and say which have begun."""

    def __init__(self) -> None:
        self.actions = Actions()
        self.begun: list[Any] = []
        self._doors: dict[Any, threading.Event] = {}
        self._lock = threading.Lock()
        self.actions.add("wait", blocking=True)(self.wait)
        self.actions.add_binary("binary/wait", blocking=True)(self.wait_binary)

    def door(self, name: Any) -> threading.Event:
        with self._lock:
            return self._doors.setdefault(name, threading.Event())

    def wait(self, request: Any) -> Any:
        name = request["value"]
        self.begun.append(name)
        assert self.door(name).wait(20)
        if name == "crash":
            raise ValueError("/secret/path")
        if name == "exit":
            sys.exit("/secret/path")
        if name == "refuse":
            raise ActionError("teapot", "stout")
        if name == "set":
            return {1}
        return name

    def wait_binary(self, content: bytes) -> bytes:
        self.begun.append(bytes(content))
        assert self.door(bytes(content)).wait(20)
        return content

    def open(self, *names: Any) -> None:
        for name in names:
            self.door(name).set()

    def open_all(self) -> None:
        with self._lock:
            for door in self._doors.values():
                door.set()


@contextmanager
def doors() -> Iterator[Doors]:
    made = Doors()
    try:
        yield made
    finally:
        made.open_all()


def test_a_slow_blocking_request_then_a_fast_one_keep_their_order(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions)
        peer = home.peer()
        peer.send(keep("wait", "slow", id=1), keep("echo", "fast", id=2), ask("nothing", id=3), binary(b"4", id=4))
        home.until(lambda: d.begun)
        peer.silent()
        d.open("slow")
        replies = peer.replies(4)
        assert [reply.header["id"] for reply in replies] == [1, 2, 3, 4]
        assert replies[0].result == "slow"
        assert replies[0].connection == "keep-alive"
        assert replies[1].result == "fast"
        assert replies[1].connection is None
        assert replies[2].code == "unknown-action"
        assert replies[3].content == b"4"


def test_blocking_requests_that_finish_out_of_order_are_answered_in_order(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions)
        peer = home.peer()
        peer.send(keep("wait", "a"), keep("wait", "b"), keep("wait", "c"))
        home.until(lambda: len(d.begun) == 3)
        for name in "cb":
            d.open(name)
            home.until(lambda: home.server.pool.outstanding < 3)
            peer.silent()
        d.open("a")
        assert [reply.result for reply in peer.replies(3)] == ["a", "b", "c"]


def test_others_are_served_while_a_handler_blocks(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions)
        slow, fast = home.peer(), home.peer()
        slow.send(ask("wait", "slow"))
        home.until(lambda: d.begun)
        fast.send(keep("echo", 1))
        assert fast.reply().result == 1
        d.open("slow")
        assert slow.reply().result == "slow"
        slow.eof()


def test_many_more_than_the_pool_holds_are_all_answered_in_order(house: OpenHouse) -> None:
    actions = Actions()
    actions.add("work", blocking=True)(lambda request: request["value"])
    home = house(actions, handler_threads=2)
    peers = [home.peer() for _ in range(8)]
    for peer in peers:
        peer.send(*(keep("work", n) if n % 3 else keep("echo", n) for n in range(100)))
    for peer in peers:
        assert [reply.result for reply in peer.replies(100)] == list(range(100))


def test_a_full_pool_pauses_the_connections_that_need_it_and_no_other(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions, handler_threads=1)
        greedy, needy, free = home.peer(), home.peer(), home.peer()
        greedy.send(*(keep("wait", n) for n in range(5)))
        home.until(lambda: d.begun)
        home.quiet()
        assert home.server.pool.outstanding == 2  # one runs, one waits; the third is held
        needy.send(keep("wait", "needy"))
        home.quiet()
        free.send(keep("echo", 1))
        assert free.reply().result == 1
        paused = [m for m in home.server.connections if not m.transport.reading]
        assert len(paused) == 2
        d.open(*range(5), "needy")
        assert [reply.result for reply in greedy.replies(5)] == list(range(5))
        assert needy.reply().result == "needy"
        home.quiet()
        assert all(m.transport.reading for m in home.server.connections)


def test_room_in_the_pool_is_not_lost_on_a_connection_that_has_gone(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions, handler_threads=1)
        busy = home.peer()
        busy.send(keep("wait", "a"), keep("wait", "b"))
        home.until(lambda: home.server.pool.full)
        leaving = [home.peer() for _ in range(3)]
        for peer in leaving:
            peer.send(keep("wait", "never"))
            home.quiet()
        waiting = home.peer()
        waiting.send(keep("wait", "last"))
        home.quiet()
        for m in [m for m in home.server.connections if m.in_flight == 1][:]:
            if m.transport.sock.getpeername() != waiting.sock.getsockname():
                m.abort(CloseReason.RESET)
        d.open("a", "b", "last", "never")
        assert waiting.reply().result == "last"
        assert [reply.result for reply in busy.replies(2)] == ["a", "b"]


def test_nobody_who_waits_for_the_pool_is_passed_over_for_ever(house: OpenHouse) -> None:
    """The connection whose handler returns may take the freed place itself; whoever was woken for it waits on."""
    with doors() as d:
        home = house(d.actions, handler_threads=1)
        first, second = home.peer(), home.peer()
        first.send(*(keep("wait", n) for n in range(6)))
        home.until(lambda: home.server.pool.full)
        home.quiet()
        second.send(*(keep("wait", f"s{n}") for n in range(6)))
        home.quiet()
        d.open(*range(6), *(f"s{n}" for n in range(6)))
        assert [reply.result for reply in first.replies(6)] == list(range(6))
        assert [reply.result for reply in second.replies(6)] == [f"s{n}" for n in range(6)]


def test_a_blocking_handler_that_outlives_the_deadline_is_answered_so(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions)
        peer = home.peer()
        peer.send(keep("wait", "slow", deadline_ms=1000), keep("wait", "next"))
        home.until(lambda: len(d.begun) == 2)
        home.clock.advance(1.0)
        d.open("slow", "next")
        late, following = peer.replies(2)
        assert late.code == "deadline-exceeded"
        assert following.result == "next"


@pytest.mark.parametrize("waits", [2, 3], ids=["for a thread", "for the pool"])
def test_a_request_whose_deadline_passes_while_it_waits_is_never_run(house: OpenHouse, waits: int) -> None:
    with doors() as d:
        home = house(d.actions, handler_threads=1)
        peer = home.peer()
        fields = {waits: {"deadline_ms": 1000}}
        peer.send(*(keep("wait", n, **fields.get(n, {})) for n in (1, 2, 3, 4)))
        home.until(lambda: d.begun)
        home.quiet()
        home.clock.advance(2.0)
        d.open(1, 2, 3, 4)
        replies = peer.replies(4)
        assert replies[waits - 1].code == "deadline-exceeded"
        assert [reply.result for reply in replies if reply.code is None] == [n for n in (1, 2, 3, 4) if n != waits]
        assert waits not in d.begun


@pytest.mark.parametrize(
    ("name", "code"),
    [("crash", "handler-failed"), ("exit", "handler-failed"), ("set", "handler-failed"), ("refuse", "teapot")],
)
def test_a_failing_blocking_handler_is_answered(house: OpenHouse, name: str, code: str) -> None:
    with doors() as d:
        home = house(d.actions)
        peer = home.peer()
        d.open(name, "next")
        peer.send(keep("wait", name), keep("wait", "next"))
        failed, following = peer.replies(2)
        assert failed.code == code
        assert b"secret" not in failed.content
        assert following.result == "next"
        assert len(home.log.texts(logging.ERROR)) == (code == "handler-failed")


def test_a_blocking_binary_handler_is_answered_in_order(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions)
        peer = home.peer()
        peer.send(binary(b"slow", "binary/wait", connection="keep-alive"), binary(b"fast"))
        home.until(lambda: d.begun)
        peer.silent()
        d.open(b"slow")
        assert [reply.content for reply in peer.replies(2)] == [b"slow", b"fast"]


@pytest.mark.parametrize("goodbye", ["reset", "close"])
def test_a_handler_whose_peer_has_gone_meanwhile_harms_nobody(house: OpenHouse, goodbye: str) -> None:
    with doors() as d:
        home = house(d.actions)
        gone, other = home.peer(), home.peer()
        gone.send(keep("wait", "slow"))
        home.until(lambda: d.begun)
        getattr(gone, goodbye)()
        home.quiet()
        d.open("slow")
        home.until(lambda: home.server.pool.outstanding == 0)
        other.send(keep("echo", 1))
        assert other.reply().result == 1
        home.until(lambda: len(home.server.connections) == 1)
        check_books(home.server)
        assert home.reasons == ({"reset": 1} if goodbye == "reset" else {"peer-closed": 1})


def test_a_one_shot_blocking_request_gets_its_reply_then_fin(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions)
        peer = home.peer()
        peer.send(ask("wait", "slow"), b"what follows is discarded")
        home.until(lambda: d.begun)
        peer.send(bytes(MEGABYTE))
        peer.silent()
        d.open("slow")
        assert peer.reply().result == "slow"
        peer.eof()
        peer.close()
        assert home.ended() == {"served": 1}


def test_a_half_closed_peer_waits_for_its_blocking_reply_then_gets_fin(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions)
        peer = home.peer()
        peer.send(keep("wait", "slow"), keep("echo", 2))
        peer.finish()
        home.until(lambda: d.begun)
        peer.silent()
        d.open("slow")
        first, second = peer.replies(2)
        assert first.connection == "keep-alive"
        assert second.connection == "close"
        peer.eof()
        assert home.ended() == {"peer-closed": 1}


def test_broken_framing_behind_a_blocking_request_is_told_after_its_reply(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions)
        peer = home.peer()
        peer.send(keep("wait", "slow"), framed(b"[]"), keep("echo", 3))
        home.until(lambda: d.begun)
        home.quiet()
        peer.silent()
        d.open("slow")
        first, second = peer.replies(2)
        assert first.result == "slow"
        assert second.code == "bad-header"
        peer.eof()


def test_requests_that_await_their_replies_are_bounded_and_none_is_lost(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions, write_high=16 * MEGABYTE)
        peer = home.peer()
        count = MAX_IN_FLIGHT + 500
        peer.send(keep("wait", "slow"), *(keep("echo", n) for n in range(count)))
        home.quiet()
        assert home.only.in_flight == MAX_IN_FLIGHT
        assert not home.only.transport.reading
        d.open("slow")
        assert [reply.result for reply in peer.replies(count + 1)] == ["slow", *range(count)]


def test_replies_that_wait_behind_a_blocking_one_are_bounded_in_bytes(house: OpenHouse) -> None:
    """A slow handler is no way around the water marks, nor is it a way into the output limit."""
    with doors() as d:
        home = house(d.actions, write_high=100_000, write_low=50_000, output_limit=1_000_000)
        peer = home.peer()
        content = bytes(60_000)
        peer.send(keep("wait", "slow"))
        home.until(lambda: d.begun)
        sender = threading.Thread(target=peer_sends, args=(peer, [binary(content)] * 50))
        sender.start()
        home.until(lambda: not home.only.transport.reading)
        assert home.only.in_flight <= 5
        d.open("slow")
        assert peer.reply().result == "slow"
        for _ in range(50):
            assert peer.reply().content == content
        sender.join()


def peer_sends(peer: Peer, parts: list[bytes]) -> None:
    """From another thread, so that the server need not be turned for it."""
    other = socket.socket(fileno=socket.dup(peer.sock.fileno()))
    with other:
        other.settimeout(20)
        view = memoryview(b"".join(parts))
        while view:
            try:
                view = view[other.send(view) :]
            except BlockingIOError:
                pass


def raised() -> set[int]:
    """The exceptions that hold what they were raised in, if a server's code had to do with it.

    Others come and go beside it: threads that earlier tests left behind meet some, and pytest's own.
    """
    things = [thing for thing in gc.get_objects() if isinstance(thing, BaseException)]
    return {id(thing) for thing in things if went_through_server(thing.__traceback__)}


def went_through_server(traceback: TracebackType | None) -> bool:
    while traceback is not None:
        if traceback.tb_frame.f_globals.get("__name__", "").startswith(("libserver.", "protocol.")):
            return True
        traceback = traceback.tb_next
    return False


@pytest.mark.parametrize("kind", ["no JSON", "no object", "no action", "refused", "failed", "no bytes", "too deep"])
def test_errors_that_wait_behind_a_blocking_request_hold_no_more_than_their_words(house: OpenHouse, kind: str) -> None:
    """Neither the exception nor what it was met on: its traceback would keep a megabyte for each."""
    padding = "x" * 100_000
    request = {
        "no JSON": message(b"[" + padding.encode(), "text/json", "utf-8", connection="keep-alive"),
        "no object": json_message([padding], connection="keep-alive"),
        "no action": keep("none", padding),
        "refused": keep("refuse", padding),
        "failed": keep("crash", padding),
        "no bytes": binary(padding.encode(), "binary/text", connection="keep-alive"),
        "too deep": message(b"[" * 100_000, "text/json", "utf-8", connection="keep-alive"),
    }[kind]
    count = FAILURES_TOLD + 10
    with doors() as d:
        home = house(failing_and(d))
        peer = home.peer()
        peer.send(keep("wait", "slow"))
        home.until(lambda: d.begun)
        gc.collect()
        before = raised()
        gc.disable()  # what only the collector would free is held
        try:
            peer.send(request * count)
            home.until(lambda: home.only.in_flight == 1 + count)
            home.log.records.clear()
            told = FAILURES_TOLD if kind in ("failed", "no bytes") else 0  # which the log may have yet to write
            assert len(raised() - before) <= told
            assert 50 < home.only.pending.replies.size / count < 400
        finally:
            gc.enable()
        d.open("slow")
        assert peer.reply().result == "slow"
        assert {reply.code for reply in peer.replies(count)} < {
            "bad-content", "bad-request", "unknown-action", "teapot", "handler-failed",
        }  # fmt: skip


def test_an_error_of_a_blocking_handler_that_waits_its_turn_is_not_kept(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions)
        peer = home.peer()
        peer.send(keep("wait", "slow"), keep("wait", "refuse"))
        home.until(lambda: len(d.begun) == 2)
        gc.collect()
        before = raised()
        gc.disable()
        try:
            d.open("refuse")
            home.until(lambda: home.only.pending.replies.size)
            home.log.records.clear()
            home.until(lambda: raised() <= before, "its end")
        finally:
            gc.enable()
        d.open("slow")
        assert [reply.code for reply in peer.replies(2)] == [None, "teapot"]


def test_small_requests_with_large_results_wait_for_the_water_mark_also_behind_a_blocking_one(
    house: OpenHouse,
) -> None:
    with doors() as d:
        d.actions.add("large")(lambda request: "x" * 100_000)
        home = house(d.actions, write_high=200_000, write_low=100_000, output_limit=2_000_000)
        peer = home.peer()
        peer.send(keep("wait", "slow"), *[keep("large")] * 200)
        home.until(lambda: d.begun)
        home.quiet()
        assert home.only.in_flight < 10
        d.open("slow")
        assert peer.reply().result == "slow"
        for _ in range(200):
            assert len(peer.reply().result) == 100_000


@pytest.mark.parametrize("size", [DIRECT_CONTENT, 200_000])
def test_behind_a_large_content_a_connection_at_rest_holds_nothing_of_it(size: int) -> None:
    with turned() as home:
        peer = home.peer()
        peer.send(binary(bytes(size), connection="keep-alive"))
        peer.reply()
        home.quiet()
        assert home.only.connection is None
        assert home.only.transport._busy is None


# --- flow control ------------------------------------------------------------------------------------------------


def stuff(home: Turned, peer: Peer, request: bytes, most: int = 64 * MEGABYTE) -> int:
    """Send requests until the server takes no more; returns how many whole ones were sent."""
    view = memoryview(request)
    sent = 0
    stalls = 0
    while stalls < 20 and sent < most:
        try:
            sent += peer.sock.send(view[sent % len(request) :])
            stalls = 0
        except BlockingIOError:
            stalls += 0 if home.turn() else 1
    whole = -sent % len(request)
    return_to_boundary[peer] = whole
    return (sent + whole) // len(request)


return_to_boundary: dict[Peer, int] = {}


def finish_request(peer: Peer, request: bytes) -> Iterator[bytes]:
    """What of the last request has not been sent yet."""
    missing = return_to_boundary.pop(peer)
    if missing:
        yield request[-missing:]


@pytest.mark.parametrize("fields", [{}, {"id": 1}, {"deadline_ms": 86_400_000}], ids=["plain", "id", "deadline"])
def test_a_peer_that_pipelines_and_never_reads_is_paused_and_may_go_on(
    house: OpenHouse, fields: dict[str, Any]
) -> None:
    home = house(write_high=256 * 1024, write_low=64 * 1024)
    peer = home.peer(small_buffers)
    value = "x" * 20_000
    request = keep("echo", value, **fields)
    count = stuff(home, peer, request)
    only = home.only
    assert not only.transport.reading
    assert only.transport.above_high
    # water mark + what one batch may add + one reply; not what the peer has sent
    assert only.transport.queued <= 2 * 256 * 1024 + 2 * len(request)
    assert only.buffered <= 64 * 1024 + len(request)
    for rest in finish_request(peer, request):
        threading.Thread(target=peer_sends, args=(peer, [rest])).start()
    for _ in range(count):
        assert peer.reply().result == value
    home.quiet()
    assert only.transport.reading
    assert only.transport.queued == 0
    peer.send(keep("echo", "on we go"))
    assert peer.reply().result == "on we go"


def test_small_requests_with_large_replies_are_not_answered_beyond_the_water_mark(house: OpenHouse) -> None:
    """One read holds six hundred requests; their replies must not all be made at once."""
    actions = Actions()
    calls: list[int] = []

    @actions.add("large")
    def large(request: Any) -> str:
        calls.append(1)
        return "x" * 100_000

    home = house(actions, write_high=300_000, output_limit=2_000_000)
    peer = home.peer(small_buffers)
    for fields in ({}, {"deadline_ms": 60_000}):
        del calls[:]
        peer.send(*[keep("large", **fields)] * 300)
        home.quiet()
        assert len(calls) < 100  # the kernel takes some megabytes
        assert home.only.transport.queued <= 700_000
        for _ in range(300):
            assert len(peer.reply().result) == 100_000


@pytest.mark.parametrize("begun", [None, 5], ids=["whole", "in two pieces"])
def test_a_last_reply_above_the_output_limit_cuts_the_connection(
    house: OpenHouse, caplog: pytest.LogCaptureFixture, begun: int | None
) -> None:
    actions = Actions()
    actions.add("large")(lambda request: "x" * 30_000_000)
    home = house(actions, write_high=300_000, output_limit=2_000_000)
    peer = home.peer(small_buffers)
    if begun:
        peer.send(ask("large")[:begun])
        home.until(lambda: home.only.buffered == begun)
    peer.send(ask("large")[begun or 0 :])
    assert home.ended() == {"output-limit": 1}
    assert not caplog.records  # a bug of ours would be logged


def test_small_replies_that_nobody_takes_are_kept_and_timed(house: OpenHouse) -> None:
    home = house(send_timeout=60.0)
    peer = home.peer(small_buffers)
    stuff(home, peer, keep("echo", "x" * 20_000))
    assert home.only.transport.queued
    assert home.only in home.server.send_timer
    home.advance(61.0)
    assert home.ended() == {"send-timeout": 1}


def test_a_peer_that_takes_nothing_is_cut_at_the_send_timeout(house: OpenHouse) -> None:
    home = house(send_timeout=60.0)
    peer = home.peer(small_buffers)
    peer.send(binary(bytes(16 * MEGABYTE), connection="keep-alive"))
    home.quiet()
    assert home.only.transport.queued
    home.advance(59.0)
    assert len(home.server.connections) == 1
    queued = home.only.transport.queued
    home.until(lambda: peer.read() and home.only.transport.queued < queued)  # the time begins anew
    home.advance(59.0)
    assert len(home.server.connections) == 1
    home.advance(2.0)
    assert home.ended() == {"send-timeout": 1}
    peer.gone()


def test_output_beyond_its_limit_cuts_the_connection(house: OpenHouse) -> None:
    home = house(write_high=MEGABYTE, output_limit=8 * MEGABYTE)
    peer = home.peer(small_buffers)
    peer.send(binary(bytes(32 * MEGABYTE), connection="keep-alive"))
    assert home.ended() == {"output-limit": 1}
    peer.gone()


def test_a_paused_connection_whose_peer_vanishes_is_reaped_and_nothing_spins(house: OpenHouse) -> None:
    home = house()
    peer = home.peer(small_buffers)
    stuff(home, peer, binary(bytes(50_000), connection="keep-alive"))
    return_to_boundary.clear()
    assert not home.only.transport.reading
    assert sum(home.turn() for _ in range(10)) == 0
    peer.reset()
    assert home.ended() == {"reset": 1}
    assert sum(home.turn() for _ in range(10)) == 0


def test_a_connection_paused_for_the_pool_whose_peer_vanishes_does_not_spin_and_is_reaped(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions, handler_threads=1)
        peer = home.peer()
        peer.send(*(keep("wait", n) for n in range(4)))
        home.until(lambda: d.begun)
        home.quiet()
        assert not home.only.transport.reading
        peer.reset()
        assert sum(home.turn() for _ in range(10)) == 0
        d.open(*range(4))
        assert home.ended() == {"reset": 1}
        home.until(lambda: home.server.pool.outstanding == 0)


@pytest.mark.parametrize("reason", ["header-timeout", "content-timeout", "slow"])
def test_time_stands_still_while_we_pause_reading_and_what_was_left_is_left(house: OpenHouse, reason: str) -> None:
    """Half a message is here when an earlier reply fills the output: that is ours to wait for, not the peer's fault."""
    actions, door = Actions(), threading.Event()

    @actions.add("large", blocking=True)
    def large(request: Any) -> str:
        assert door.wait(20)
        return "x" * 8 * MEGABYTE

    limits = {"header_timeout": 10.0, "content_timeout": 10.0, "min_data_rate": 0, "send_timeout": 0}
    if reason == "slow":
        limits = {**limits, "header_timeout": 0, "content_timeout": 0, "min_data_rate": 100}
    home = house(actions, **limits)
    peer = home.peer(small_buffers)
    late = binary(bytes(10_000), connection="keep-alive")
    half = late[:30] if reason == "header-timeout" else late[: len(late) - 10_000 + 10]
    if reason == "slow":
        half = late[:1000]
    peer.send(keep("large"), half)
    home.advance(8.0)
    door.set()
    home.until(lambda: home.only.transport.above_high)
    home.advance(500.0)
    assert not home.only.transport.reading
    assert len(peer.reply().result) == 8 * MEGABYTE
    home.quiet()
    assert home.only.transport.reading
    home.advance(1.9)
    peer.silent()
    home.advance(0.2)
    reply = peer.reply()
    assert (reply.code, reply.connection) == ("timeout", "close")
    peer.eof()
    peer.close()
    assert home.ended() == {reason: 1}


def test_a_message_that_goes_on_after_a_long_pause_of_ours_is_served(house: OpenHouse) -> None:
    home = house(header_timeout=10.0, content_timeout=10.0, send_timeout=1000.0)
    peer = home.peer(small_buffers)
    request = binary(bytes(50_000), connection="keep-alive")
    count = stuff(home, peer, request)
    assert home.only.mid_message
    home.advance(500.0)
    for rest in finish_request(peer, request):
        threading.Thread(target=peer_sends, args=(peer, [rest])).start()
    for _ in range(count):
        assert len(peer.reply().content) == 50_000


@pytest.mark.parametrize("share", [1, 4, 10])
@pytest.mark.parametrize("special", ["deadline", "session", "encoding", "content", "bytes", "in pieces"])
def test_whatever_is_special_about_a_request_it_counts_once_in_a_share_of_the_turn(
    house: OpenHouse, special: str, share: int
) -> None:
    """One special request before every nine ordinary ones had a peer served nine times its share."""
    served: list[object] = []
    actions = Actions()
    actions.add("noted")(lambda request: served.append(request))
    actions.add("remembered")(lambda request, session: served.append(request))
    actions.add_binary("binary/noted")(lambda content: served.append(content) or b"")
    home = house(actions, requests_per_event=share)
    peer = home.peer()
    peer.send(keep("noted"))
    peer.reply()
    served.clear()
    one = {
        "deadline": keep("noted", deadline_ms=0),
        "session": keep("remembered"),
        "encoding": message(b"{}", encoding="rot13", connection="keep-alive"),
        "content": message(b"{", connection="keep-alive"),
        "bytes": binary(b"", "binary/noted", connection="keep-alive"),
        "in pieces": keep("noted"),
    }[special]
    stream = (one + keep("noted") * 9) * 20
    sock = next(iter(home.server.connections)).transport.sock
    if special == "in pieces":  # a request that had begun before stands in front
        peer.send(stream[:50])
        home.until(lambda: home.only.mid_message)
        stream = stream[50:]
    peer.sock.sendall(stream)
    arrived(sock, len(stream))
    counts = [int(home.only.requests)]
    while counts[-1] < 201:
        home.server.loop.run_once(0)
        counts.append(int(home.only.requests))
        # In a turn that is its alone: where it is read, in the turn's last part, and as the one that waited longest.
        assert counts[-1] - counts[-2] <= 3 * share
        assert len(counts) < 500
    assert len(peer.replies(200)) == 200
    assert len(served) == (200 if special in ("session", "bytes", "in pieces") else 180)


@pytest.mark.parametrize("share", [1, 2, 3, 7])
def test_a_fast_pipeliner_gets_its_share_of_a_turn_and_loses_nothing(house: OpenHouse, share: int) -> None:
    home = house(requests_per_event=share)
    greedy, modest = home.peer(), home.peer()
    served: list[str] = []
    for name, peer in (("greedy", greedy), ("modest", modest)):
        home.server.actions.add(name)(lambda request: served.append(request["action"]))
        del peer
    greedy.send(*[keep("greedy")] * 200)
    modest.send(*[keep("modest")] * 20)
    replies = [reply.result for reply in greedy.replies(200)]
    assert replies == [None] * 200
    assert [reply.result for reply in modest.replies(20)] == [None] * 20
    assert len(served) == 220
    last = max(index for index, name in enumerate(served) if name == "modest")
    assert last < 20 * 4 + 4 * share + 20  # in turns: not behind the two hundred


# --- one connection's misfortune is its own --------------------------------------------------------------------------


def test_a_handler_that_aborts_another_connection_of_the_same_batch_is_no_harm(house: OpenHouse) -> None:
    actions = Actions()
    homes: list[Turned] = []

    @actions.add("abort others")
    def abort_others(request: Any) -> int:
        others = [m for m in homes[0].server.connections if m.transport.sock.getpeername()[1] != request["value"]]
        for other in others:
            other.abort(CloseReason.CUT)
        return len(others)

    home = house(actions)
    homes.append(home)
    peers = [home.peer() for _ in range(4)]
    for peer in peers:
        peer.send(keep("abort others", peer.sock.getsockname()[1]))  # all readable in one select
    home.quiet()
    assert len(home.server.connections) == 1
    assert home.reasons == {"cut": 3}


def test_a_handler_that_aborts_its_own_connection_is_no_harm(house: OpenHouse) -> None:
    actions = Actions()
    homes: list[Turned] = []

    @actions.add("suicide")
    def suicide(request: Any) -> None:
        homes[0].only.abort(CloseReason.CUT)

    home = house(actions)
    homes.append(home)
    peer = home.peer()
    peer.send(keep("suicide"), keep("echo", 1), b"\0\0")
    peer.gone()
    assert home.ended() == {"cut": 1}


@pytest.mark.parametrize("place", ["data_received", "_serve", "write", "_header_received"])
def test_a_bug_of_ours_costs_one_connection_and_the_loop_lives_on(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    with turned(internal_errors=1) as home:
        victim, other = home.peer(), home.peer()
        victim.send(keep("echo", 1))
        assert victim.reply().result == 1
        doomed = next(m for m in home.server.connections if m.last_active and m.connection is None)
        original = getattr(Message, place)

        def fail(self: Message, *args: Any) -> Any:
            if self is doomed:
                raise RuntimeError("a bug")
            return original(self, *args)

        monkeypatch.setattr(Message, place, fail)
        first, rest = keep("echo", 2)[:-9], keep("echo", 2)[-9:]  # in two pieces: event by event
        victim.send(first)
        home.until(lambda: doomed.transport.closed or doomed.mid_message)
        if place == "write":
            victim.send(rest)
        victim.gone()
        other.send(first)
        home.until(lambda: any(m.mid_message for m in home.server.connections))
        other.send(rest)
        assert other.reply().result == 2
        assert home.reasons == {"internal-error": 1}
        check_books(home.server)


def test_sockets_that_fail_are_ended_as_reset(house: OpenHouse) -> None:
    from tests.fakes.faulty_socket import Errno, FaultySocket

    home = house()
    for method, number in [("recv", errno.EIO), ("send", errno.ENOBUFS), ("shutdown", errno.ENOTCONN)]:
        ours, theirs = socket.socketpair()
        faulty = FaultySocket(ours)
        ours.setblocking(False)
        faulty.fail_at(method, 1, Errno(number))
        peer = Peer(theirs, home.turn)
        home.peers.append(peer)
        peer.send(ask("echo", 1), b"more")  # so that it has to linger
        home.server._accept(faulty)
        home.until(lambda: not home.server.connections)
    check_books(home.server)
    assert home.reasons == {"silent": 1, "reset": 1, "served": 1}  # the last one's reply had left


@pytest.mark.parametrize("limit", [1, 7])
def test_a_kernel_that_takes_a_byte_at_a_time_loses_nothing(house: OpenHouse, limit: int) -> None:
    from tests.fakes.faulty_socket import AGAIN, FaultySocket

    home = house()
    ours, theirs = socket.socketpair()
    faulty = FaultySocket(ours)
    ours.setblocking(False)
    faulty.script("send", AGAIN, limit, AGAIN)
    faulty.always("send", limit)
    faulty.always("sendmsg", limit)
    faulty.always("recv", limit)
    home.server._accept(faulty)
    peer = Peer(theirs, home.turn)
    home.peers.append(peer)
    peer.send(keep("echo", 1), keep("echo", 2), binary(b"three"))
    assert [peer.reply().result, peer.reply().result, peer.reply().content] == [1, 2, b"three"]


def test_the_connection_list_tells_peer_state_age_idle_and_buffers(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    peer.send(keep("echo", 1), b"\0")
    assert peer.reply().result == 1
    home.advance(2.5)
    (line,) = home.server.describe_connections()
    host, port = peer.sock.getsockname()
    assert line == f"peer={host}:{port} state=OPEN/PROTOHEADER age=2.5 idle=2.5 in=1 out=0 in-flight=0 requests=1"
    assert "Message OPEN" in repr(home.only)


# --- those that wait for a thread, and have gone ---------------------------------------------------------------


def fill_pool(home: Turned, d: Doors, threads: int) -> None:
    for n in range(2 * threads):
        home.peer().send(keep("wait", f"busy {n}"))
    home.until(lambda: home.server.pool.full)


@pytest.mark.parametrize("large", [False, True])
def test_a_peer_that_resets_while_its_request_waits_for_a_thread_is_noticed_in_a_second(
    house: OpenHouse, large: bool
) -> None:
    with doors() as d:
        home = house(d.actions, handler_threads=1)
        fill_pool(home, d, 1)
        gone, stays = home.peer(), home.peer()
        for peer, name in ((gone, "gone"), (stays, "stays")):
            asked = {"action": "wait", "value": name, "more": "x" * 100_000 * large}
            peer.send(json_message(asked, connection="keep-alive"))
        home.until(lambda: len(home.server.pool_queue) == 2)
        gone.reset()
        home.quiet()
        home.advance(BROKEN_WITHIN)
        home.until(lambda: home.reasons == {"reset": 1})
        assert len(home.server.pool_queue) == 1
        d.open("busy 0", "busy 1", "stays")
        assert stays.reply().result == "stays"
        assert "gone" not in d.begun


def test_a_peer_that_has_only_finished_sending_still_gets_the_reply_it_waits_for(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions, handler_threads=1)
        fill_pool(home, d, 1)
        waits, runs = home.peer(), home.peer()
        waits.send(keep("wait", "waits"))
        waits.finish()
        home.until(lambda: len(home.server.pool_queue) == 1)
        for _ in range(5):
            home.advance(BROKEN_WITHIN)
        d.open("busy 0", "busy 1", "waits")
        assert waits.reply().result == "waits"
        waits.eof()
        runs.send(keep("wait", "runs"))
        runs.finish()
        home.until(lambda: "runs" in d.begun)
        for _ in range(5):
            home.advance(BROKEN_WITHIN)
        d.open("runs")
        assert runs.reply().result == "runs"


def test_a_handler_learns_that_its_client_has_gone_and_a_drain_does_not_wait_for_it(house: OpenHouse) -> None:
    sessions: list[Any] = []
    with doors() as d:

        @d.actions.add("poll", blocking=True)
        def poll(request: Any, session: Any) -> None:
            sessions.append(session)
            assert d.door(request["value"]).wait(20)

        home = house(d.actions)
        reads, finished = home.peer(), home.peer()
        reads.send(keep("poll", 1))
        finished.send(keep("poll", 2))
        finished.finish()
        home.until(lambda: len(sessions) == 2)
        home.quiet()
        assert [session.closed for session in sessions] == [False, False]
        reads.reset()
        finished.reset()
        home.until(lambda: home.reasons == {"reset": 1})  # which was being read
        home.server.drain()
        home.quiet()
        home.advance(BROKEN_WITHIN)
        assert home.ended() == {"reset": 2}
        assert [session.closed for session in sessions] == [True, True]
        home.until(lambda: not home.server.loop._running)


@pytest.mark.parametrize("kept", [True, False])
def test_of_those_that_wait_for_a_thread_the_one_too_many_is_told_overloaded(
    house: OpenHouse, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    monkeypatch.setattr("libserver.pool_queue.MAX_WAITING_FOR_POOL", 2)
    with doors() as d:
        home = house(d.actions, handler_threads=1)
        fill_pool(home, d, 1)
        waiting = [home.peer() for _ in range(2)]
        for n, peer in enumerate(waiting):
            peer.send(keep("wait", n))
        home.until(lambda: len(home.server.pool_queue) == 2)
        extra = home.peer()
        if kept:
            extra.send(keep("echo", 1), keep("wait", "extra", id=7), keep("echo", 2))
            assert extra.reply().result == 1
        else:
            extra.send(ask("wait", "extra", id=7))
        refused = extra.reply()
        assert (refused.code, refused.header["id"]) == ("overloaded", 7)
        assert refused.connection == ("close" if kept else None)
        extra.eof()
        extra.close()
        d.open("busy 0", "busy 1", 0, 1)
        assert [peer.reply().result for peer in waiting] == [0, 1]
        later = home.peer()
        d.open("later")
        later.send(keep("wait", "later"))
        assert later.reply().result == "later"
        assert "extra" not in d.begun
        home.until(lambda: home.reasons == {"overloaded" if kept else "served": 1})


def test_a_large_request_that_waits_for_a_thread_is_kept_as_it_came(house: OpenHouse) -> None:
    with doors() as d:
        d.actions.add("count", blocking=True)(lambda request: len(request["value"]))
        home = house(d.actions, handler_threads=1)
        fill_pool(home, d, 1)
        peer = home.peer()
        peer.send(keep("count", [[]] * 40_000, id=1), keep("count", [[]] * 3, id=2))
        home.until(lambda: len(home.server.pool_queue) == 1)
        (waiting,) = home.server.pool_queue._waiting
        held = waiting.pending.held
        assert held is not None
        assert held.content is None
        assert held.encoded is not None
        d.open("busy 0", "busy 1")
        assert [reply.result for reply in peer.replies(2)] == [40_000, 3]
