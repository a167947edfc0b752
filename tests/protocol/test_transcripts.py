"""What the tutorial's programs say to each other, byte for byte, and that we say the same.

The transcripts were recorded between Real Python's app-client.py and app-server.py, on a
little-endian machine; `native` makes of them what the same programs say on this one. They are
facts of the wire, and the reason for `protocol.frames`' field order and spacing.
"""

from __future__ import annotations

import sys

import pytest

from libserver.binary_reply import BinaryReply, binary_reply
from protocol import CLIENT, SERVER, Codec, Connection, HeaderReceived, encode_json
from protocol.content import encode_result
from protocol.events import Request, Response

from .feeding import every_way

#: arguments of app-client.py, what it sends, what app-server.py answers
TRANSCRIPTS = {
    "morpheus": (
        ("search", "morpheus"),
        b'\x00g{"byteorder": "little", "content-type": "text/json", "content-encoding": "utf-8",'
        b' "content-length": 41}{"action": "search", "value": "morpheus"}',
        b'\x00g{"byteorder": "little", "content-type": "text/json", "content-encoding": "utf-8",'
        b' "content-length": 43}{"result": "Follow the white rabbit. \xf0\x9f\x90\xb0"}',
    ),
    "ring": (
        ("search", "ring"),
        b'\x00g{"byteorder": "little", "content-type": "text/json", "content-encoding": "utf-8",'
        b' "content-length": 37}{"action": "search", "value": "ring"}',
        b'\x00g{"byteorder": "little", "content-type": "text/json", "content-encoding": "utf-8",'
        b' "content-length": 60}{"result": "In the caves beneath the Misty Mountains. \xf0\x9f\x92\x8d"}',
    ),
    "the dog": (
        ("search", "🐶"),
        b'\x00g{"byteorder": "little", "content-type": "text/json", "content-encoding": "utf-8",'
        b' "content-length": 37}{"action": "search", "value": "\xf0\x9f\x90\xb6"}',
        b'\x00g{"byteorder": "little", "content-type": "text/json", "content-encoding": "utf-8",'
        b' "content-length": 37}{"result": "\xf0\x9f\x90\xbe Playing ball! \xf0\x9f\x8f\x90"}',
    ),
    "no match": (
        ("search", "needle"),
        b'\x00g{"byteorder": "little", "content-type": "text/json", "content-encoding": "utf-8",'
        b' "content-length": 39}{"action": "search", "value": "needle"}',
        b'\x00g{"byteorder": "little", "content-type": "text/json", "content-encoding": "utf-8",'
        b' "content-length": 36}{"result": "No match for \'needle\'."}',
    ),
    "no match, to be escaped": (
        ("search", "it's é\n"),
        b'\x00g{"byteorder": "little", "content-type": "text/json", "content-encoding": "utf-8",'
        b' "content-length": 42}{"action": "search", "value": "it\'s \xc3\xa9\\n"}',
        b'\x00g{"byteorder": "little", "content-type": "text/json", "content-encoding": "utf-8",'
        b' "content-length": 39}{"result": "No match for \'it\'s \xc3\xa9\\n\'."}',
    ),
    "another action": (
        ("binary", "😃"),
        b'\x00\x7f{"byteorder": "little", "content-type": "binary/custom-client-binary-type",'
        b' "content-encoding": "binary", "content-length": 10}binary\xf0\x9f\x98\x83',
        b'\x00\x7f{"byteorder": "little", "content-type": "binary/custom-server-binary-type",'
        b' "content-encoding": "binary", "content-length": 37}First 10 bytes of request: binary\xf0\x9f\x98\x83',
    ),
    "a short one": (
        ("double", "5"),
        b'\x00~{"byteorder": "little", "content-type": "binary/custom-client-binary-type",'
        b' "content-encoding": "binary", "content-length": 7}double5',
        b'\x00\x7f{"byteorder": "little", "content-type": "binary/custom-server-binary-type",'
        b' "content-encoding": "binary", "content-length": 34}First 10 bytes of request: double5',
    ),
    "one byte": (
        ("x", ""),
        b'\x00~{"byteorder": "little", "content-type": "binary/custom-client-binary-type",'
        b' "content-encoding": "binary", "content-length": 1}x',
        b'\x00\x7f{"byteorder": "little", "content-type": "binary/custom-server-binary-type",'
        b' "content-encoding": "binary", "content-length": 28}First 10 bytes of request: x',
    ),
}
#: Words of the tutorial's that its programs never send: an action unknown to its server.
UNKNOWN_ACTION = (
    b'\x00g{"byteorder": "little", "content-type": "text/json", "content-encoding": "utf-8",'
    b' "content-length": 44}{"result": "Error: invalid action \'dance\'."}'
)
EVERY = pytest.mark.parametrize("name", TRANSCRIPTS)


def on(byteorder: str, transcript: bytes) -> bytes:
    """What the tutorial's programs say in place of a transcript where that is the native order."""
    if byteorder == "little":
        return transcript
    shorter = int.from_bytes(transcript[:2], "big") - len("little") + len("big")
    return shorter.to_bytes(2, "big") + transcript[2:].replace(b'"little"', b'"big"', 1)


def native(transcript: bytes) -> bytes:
    return on(sys.byteorder, transcript)


def content_of(transcript: bytes) -> bytes:
    return transcript[2 + int.from_bytes(transcript[:2], "big") :]


@pytest.mark.parametrize("byteorder", ["little", "big"])
@EVERY
def test_a_transcript_is_whole_whatever_the_byte_order(name, byteorder):
    for transcript in TRANSCRIPTS[name][1:]:
        events = Connection(Codec(SERVER)).receive_data(on(byteorder, transcript))
        assert events[0].header.content_length == len(content_of(on(byteorder, transcript)))
        assert b'"byteorder": "' + byteorder.encode() + b'"' in on(byteorder, transcript)


@EVERY
def test_our_client_sends_what_the_tutorials_sends(name):
    (action, value), asked, _ = TRANSCRIPTS[name]
    connection = Connection(Codec(CLIENT))
    if action == "search":
        content = encode_json({"action": action, "value": value})
        frame = connection.send_request("text/json", "utf-8", content, connection=None)
    else:
        content = (action + value).encode()
        frame = connection.send_request("binary/custom-client-binary-type", "binary", content, connection=None)
    assert b"".join(frame) == native(asked)
    assert not connection.can_send  # the tutorial's server answers once


@pytest.mark.parametrize("byteorder", ["little", "big"])
@EVERY
def test_our_server_reads_what_the_tutorials_client_sends(name, byteorder):
    (action, value), asked, _ = TRANSCRIPTS[name]
    events, connection = every_way(on(byteorder, asked))
    [received, request] = events
    assert isinstance(received, HeaderReceived)
    expected = {"action": action, "value": value} if action == "search" else (action + value).encode()
    assert request == Request(received.header, expected)
    assert connection.state == "FINISHED"


def answer(request: Request) -> object:
    """The tutorial's application, as wire.md tells it."""
    if not request.header.is_json:
        return BinaryReply(b"First 10 bytes of request: " + request.content[:10], "binary/custom-server-binary-type")
    value = request.content["value"]
    known = {
        "morpheus": "Follow the white rabbit. 🐰",
        "ring": "In the caves beneath the Misty Mountains. 💍",
        "🐶": "🐾 Playing ball! 🏐",
    }
    return known.get(value, f"No match for '{value}'.")


@EVERY
def test_our_server_answers_what_the_tutorials_answers(name):
    _, asked, answered = TRANSCRIPTS[name]
    connection = Connection(Codec(SERVER))
    _, request = connection.receive_data(native(asked))
    if request.header.is_json:
        frame = connection.send_json(request.header, encode_result(answer(request)))
    else:
        reply = binary_reply(request.header, answer(request))
        frame = connection.send_binary(request.header, reply.content_type, reply.content)
    assert b"".join(frame) == native(answered)


@pytest.mark.parametrize("byteorder", ["little", "big"])
@EVERY
def test_our_client_reads_what_the_tutorials_server_answers(name, byteorder):
    _, asked, answered = TRANSCRIPTS[name]
    events, connection = every_way(on(byteorder, answered), CLIENT, eof=True)
    response = events[1]
    assert isinstance(response, Response)
    known = answer(Connection(Codec(SERVER)).receive_data(native(asked))[1])
    assert response.content == (known.content if isinstance(known, BinaryReply) else {"result": known})
    assert connection.in_flight == 0


def test_our_client_reads_the_tutorials_refusal_of_an_action():
    events, _ = every_way(native(UNKNOWN_ACTION), CLIENT)
    assert events[1].content == {"result": "Error: invalid action 'dance'."}


def test_a_keep_alive_client_is_told_nothing_by_the_tutorials_server_and_asks_anew():
    _, _, answered = TRANSCRIPTS["ring"]
    connection = Connection(Codec(CLIENT))
    connection.send_request("text/json", "utf-8", b'{"action": "search", "value": "ring"}')
    connection.receive_data(native(answered))
    assert connection.state == "FINISHED"
    assert not connection.can_send
