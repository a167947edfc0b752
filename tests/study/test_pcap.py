"""Is the capture one that the reader of captures believes, and does it hold the bytes that went by?

The packets are taken apart here by hand; that Wireshark itself reads them, and that the dissector
understands them, is tests/study/test_dissector.py.
"""

from __future__ import annotations

import io
import ipaddress
import struct
from typing import Any, NamedTuple

import pytest

from study.pcap import ACK, FIN, RST, SEGMENT, SYN, pcap
from study.trace import CONNECTION, ENDED, SYSCALL, encode, head, load

PEER = {"local": "127.0.0.1:65432", "peer": "127.0.0.1:50000"}


class Packet(NamedTuple):
    time: float
    source: tuple[str, int]
    target: tuple[str, int]
    seq: int
    ack: int
    flags: int
    payload: bytes
    length: int


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def read(raw: bytes) -> list[Packet]:
    magic, major, minor, zone, figures, snap, link = struct.unpack_from("<IHHiIII", raw)
    assert (magic, major, minor, zone, figures, link) == (0xA1B2C3D4, 2, 4, 0, 0, 101)
    at, found = 24, []
    while at < len(raw):
        seconds, micro, kept, whole = struct.unpack_from("<IIII", raw, at)
        data = raw[at + 16 : at + 16 + kept]
        assert len(data) == kept <= snap
        found.append(packet(seconds + micro / 1e6, data, whole))
        at += 16 + kept
    return found


def packet(time: float, data: bytes, whole: int) -> Packet:
    if data[0] >> 4 == 6:
        length, protocol = struct.unpack_from(">HB", data, 4)
        a, b, start = data[8:24], data[24:40], 40
        assert length == whole - 40
        pseudo = a + b + struct.pack(">II", length, protocol)
    else:
        length, protocol = struct.unpack_from(">H", data, 2)[0], data[9]
        a, b, start = data[12:16], data[16:20], 20
        assert length == whole
        assert checksum(data[:20]) == 0xFFFF
        pseudo = a + b + struct.pack(">HH", protocol, length - 20)
    assert protocol == 6
    source, target, seq, ack, offset, flags = struct.unpack_from(">HHIIBB", data, start)
    if whole == len(data):
        assert checksum(pseudo + data[start:]) == 0xFFFF
    begin = start + (offset >> 4) * 4
    names = [str(ipaddress.ip_address(x)) for x in (a, b)]
    return Packet(time, (names[0], source), (names[1], target), seq, ack, flags, data[begin:], whole - begin)


def capture(*events: tuple[float, str, dict[str, Any]], vantage: str = "server", **more: Any) -> list[Packet]:
    raw = head(vantage, 1000.0, "test", **more)
    raw += b"".join(encode(time, name, data.pop("group", "1"), {"step": 1} | data) for time, name, data in events)
    return read(b"".join(pcap(load(io.BytesIO(raw)))))


def moved(time: float, call: str, direction: str, data: bytes, result: int | None = None, **more: Any) -> Any:
    result = len(data) if result is None else result
    return time, SYSCALL, {"call": call, "direction": direction, "result": result, "bytes": data.hex()} | more


def test_a_conversation_is_a_handshake_the_bytes_and_two_fins():
    packets = capture(
        (0, CONNECTION, PEER),
        moved(1.5, "recv", "in", b"ask"),
        moved(2.25, "send", "out", b"answer"),
        (3, SYSCALL, {"call": "recv", "direction": "in", "result": 0, "bytes": ""}),
        (4, SYSCALL, {"call": "close", "result": 0}),
        (4, ENDED, {"reason": "peer-closed"}),
    )
    us, them = ("127.0.0.1", 65432), ("127.0.0.1", 50000)
    assert [(p.source, p.flags & (SYN | FIN | RST), p.payload) for p in packets] == [
        (them, SYN, b""),
        (us, SYN, b""),
        (them, 0, b""),
        (them, 0, b"ask"),
        (us, 0, b"answer"),
        (them, FIN, b""),
        (us, FIN, b""),
    ]
    assert packets[3].time == pytest.approx(1000.0015)


def test_every_byte_and_flag_has_its_sequence_number():
    packets = capture(
        (0, CONNECTION, PEER),
        moved(1, "recv", "in", b"ab"),
        moved(2, "sendmsg", "out", b"xyz"),
        moved(3, "recv", "in", b"cd"),
        (4, SYSCALL, {"call": "shutdown", "result": 0}),
        (5, SYSCALL, {"call": "recv", "direction": "in", "result": 0, "bytes": ""}),
    )
    sent: dict[tuple[str, int], int] = {}
    for p in packets:
        assert p.seq == sent.get(p.source, 0)
        if p.flags & ACK:
            assert p.ack == sent[p.target]
        sent[p.source] = p.seq + p.length + bool(p.flags & (SYN | FIN))


def test_a_client_begins_the_handshake_itself():
    first = capture((0, CONNECTION, PEER), vantage="client")[0]
    assert (first.source[1], first.flags) == (65432, SYN)


def test_much_at_once_becomes_several_segments():
    data = bytes(range(256)) * (SEGMENT // 128)
    packets = capture((0, CONNECTION, PEER), moved(1, "recv_into", "in", data + b"tail"))
    assert b"".join(p.payload for p in packets) == data + b"tail"
    assert max(p.length for p in packets) == SEGMENT


def test_bytes_that_were_not_kept_are_counted_and_not_made_up():
    packets = capture((0, CONNECTION, PEER), moved(1, "recv", "in", b"abcd", 100), moved(2, "recv", "in", b"next"))
    assert [(p.payload, p.length) for p in packets[3:]] == [(b"abcd", 100), (b"next", 4)]
    assert packets[4].seq == 101


def test_a_reset_is_a_rst_once():
    failed = {"call": "recv", "direction": "in", "result": "ECONNRESET"}
    packets = capture(
        (0, CONNECTION, PEER),
        (1, SYSCALL, failed),
        (2, SYSCALL, failed | {"call": "send"}),
        (3, ENDED, {"reason": "reset"}),
    )
    assert [p.flags & (RST | FIN) for p in packets[3:]] == [RST]
    assert packets[3].source == ("127.0.0.1", 50000)


def test_refusals_and_other_calls_are_no_packets():
    packets = capture(
        (0, CONNECTION, PEER),
        (1, SYSCALL, {"call": "recv", "direction": "in", "result": "EAGAIN"}),
        (2, SYSCALL, {"call": "getsockopt", "result": 0}),
    )
    assert len(packets) == 3


def test_ipv6_and_unix_sockets_have_their_addresses():
    six = {"local": "[::1]:65432", "peer": "[fe80::1%lo]:50000"}
    packets = capture((0, CONNECTION, six), moved(1, "recv", "in", b"abc"))
    assert packets[-1].source == ("fe80::1", 50000)
    packets = capture(
        (0, CONNECTION, {"local": "unix", "peer": "unix"}),
        (1, CONNECTION, {"local": "unix", "peer": "unix", "group": "2"}),
    )
    assert {p.source[0] for p in packets} == {"127.0.0.1"}
    assert len({p.source for p in packets}) == 3  # one server, and two clients that differ
