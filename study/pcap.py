"""How does a trace become a capture that Wireshark opens?

    python -m study export TRACE -o FILE.pcap

The packets are synthetic: each system call that moved bytes becomes TCP segments with them,
connecting a handshake, EOF and shutdown a FIN, a reset a RST, with sequence numbers and checksums
that are right. It invents nothing that no system call shows (retransmissions, windows, pure
acknowledgements in between). Link layer: raw IP, so that there are no Ethernet addresses to invent.

If the trace did not keep all bytes of a call, its packets have their true length and the kept bytes,
as a capture with a snap length does.

The file is libpcap's classic format, in microseconds (draft-ietf-opsawg-pcap); TCP is RFC 9293,
IPv4 RFC 791, IPv6 RFC 8200.

Not here: understanding the packets: `study/multiconn.lua` has Wireshark do that.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .trace import CONNECTION, ENDED, SYSCALL, Event, Trace

__all__ = ["packets", "pcap"]

MAGIC = 0xA1B2C3D4
LINKTYPE_RAW = 101
SNAPLEN = 262_144

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
TCP = 6
TTL = 64
WINDOW = 65_535
#: Bytes of one segment: what loopback's 64 KiB packets carry, rounded down.
SEGMENT = 32 * 1024

#: Where there is no address to tell, as on a UNIX socket.
UNKNOWN = ("127.0.0.1", 0)

RESETS = ("ECONNRESET", "EPIPE")

Address = tuple[str, int]


@dataclass(slots=True)
class _End:
    """One end of a connection: `sent` counts what it has sent, SYN and FIN included."""

    address: Address
    sent: int = 0
    finished: bool = False


@dataclass(slots=True)
class _Flow:
    """Local and remote end, and how many packets so far (the IPv4 identification)."""

    local: _End
    remote: _End
    number: int = field(default=0)


def pcap(trace: Trace) -> Iterator[bytes]:
    """The file, piece by piece."""
    yield struct.pack("<IHHiIII", MAGIC, 2, 4, 0, 0, SNAPLEN, LINKTYPE_RAW)
    for time, packet, length in packets(trace):
        seconds, micro = divmod(round((trace.reference + time / 1000) * 1_000_000), 1_000_000)
        yield struct.pack("<IIII", seconds, micro, len(packet), length) + packet


def packets(trace: Trace) -> Iterator[tuple[float, bytes, int]]:
    """Time in milliseconds, the packet as far as it is known, and how long it was."""
    flows: dict[str, _Flow] = {}
    names = {group: _ends(number, events) for number, (group, events) in enumerate(trace.groups.items())}
    for event in trace.events:
        flow = flows.get(event.group)
        if flow is None:
            local, remote = names[event.group]
            flow = flows[event.group] = _Flow(_End(local), _End(remote))
            if trace.vantage == "client":
                yield from _handshake(event.time, flow, flow.local, flow.remote)
            else:
                yield from _handshake(event.time, flow, flow.remote, flow.local)
        if event.name == SYSCALL:
            yield from _call(event, flow)
        elif event.name == ENDED:
            yield from _finish(event.time, flow, flow.local, flow.remote)


def _ends(number: int, events: Iterable[Event]) -> tuple[Address, Address]:
    """Local and remote address; made-up ones differ by their port."""
    data = next((e.data for e in events if e.name == CONNECTION and e.data.get("peer")), {})
    made_up = 1024 + number % 60_000
    return _address(data.get("local"), 65_432), _address(data.get("peer"), made_up)


def _address(text: str | None, port: int) -> Address:
    host, _, number = (text or "").rpartition(":")
    try:
        return str(ipaddress.ip_address(host.strip("[]").partition("%")[0])), int(number)
    except ValueError:
        return UNKNOWN[0], port


def _handshake(time: float, flow: _Flow, client: _End, server: _End) -> Iterator[tuple[float, bytes, int]]:
    yield _packet(time, flow, client, server, SYN)
    yield _packet(time, flow, server, client, SYN | ACK)
    yield _packet(time, flow, client, server, ACK)


def _call(event: Event, flow: _Flow) -> Iterator[tuple[float, bytes, int]]:
    data, result = event.data, event.data["result"]
    inward = data.get("direction") == "in"
    source, target = (flow.remote, flow.local) if inward else (flow.local, flow.remote)
    if isinstance(result, str):
        if result in RESETS and not flow.remote.finished:
            yield _packet(event.time, flow, flow.remote, flow.local, RST | ACK)
            flow.remote.finished = flow.local.finished = True
    elif "direction" in data and result:
        yield from _segments(event.time, flow, source, target, bytes.fromhex(data["bytes"]), result)
    elif inward or data["call"] == "shutdown":
        yield from _finish(event.time, flow, source, target)


def _segments(
    time: float, flow: _Flow, source: _End, target: _End, kept: bytes, length: int
) -> Iterator[tuple[float, bytes, int]]:
    for at in range(0, length, SEGMENT):
        size = min(SEGMENT, length - at)
        yield _packet(time, flow, source, target, PSH | ACK, kept[at : at + size], size)


def _finish(time: float, flow: _Flow, source: _End, target: _End) -> Iterator[tuple[float, bytes, int]]:
    if not source.finished:
        source.finished = True
        yield _packet(time, flow, source, target, FIN | ACK)


def _packet(
    time: float, flow: _Flow, source: _End, target: _End, flags: int, payload: bytes = b"", length: int = 0
) -> tuple[float, bytes, int]:
    """One packet of `length` bytes of payload, of which `payload` is known."""
    tcp = struct.pack(
        ">HHIIBBHHH",
        source.address[1],
        target.address[1],
        source.sent & 0xFFFFFFFF,
        target.sent & 0xFFFFFFFF if flags & ACK else 0,
        5 << 4,
        flags,
        WINDOW,
        0,
        0,
    )
    source.sent += length + bool(flags & (SYN | FIN))
    flow.number += 1
    a, b = ipaddress.ip_address(source.address[0]), ipaddress.ip_address(target.address[0])
    if a.version != b.version:
        a = b = ipaddress.ip_address(UNKNOWN[0])
    whole = len(tcp) + length
    pseudo = a.packed + b.packed + struct.pack(">II" if a.version == 6 else ">HH", *_pseudo(a.version, whole))
    checksum = _checksum(pseudo + tcp + payload) if len(payload) == length else 0
    tcp = tcp[:16] + struct.pack(">H", checksum) + tcp[18:]
    if a.version == 6:
        ip = struct.pack(">IHBB", 6 << 28, whole, TCP, TTL) + a.packed + b.packed
    else:
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + whole, flow.number & 0xFFFF, 0x4000, TTL, TCP, 0)
        ip += a.packed + b.packed
        ip = ip[:10] + struct.pack(">H", _checksum(ip)) + ip[12:]
    return time, ip + tcp + payload, len(ip) + whole


def _pseudo(version: int, length: int) -> tuple[int, int]:
    """The end of the pseudo header: IPv6 has length and protocol in four bytes each, IPv4 in two."""
    return (length, TCP) if version == 6 else (TCP, length)


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
