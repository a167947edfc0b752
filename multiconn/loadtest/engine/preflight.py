"""Can this machine open so many connections at all?

Asked before the first one, because in the middle of a run the answer is a wall of errors that
look like the server's (vegeta#219, k6#2006). Two walls:

* descriptors: each connection takes one of its process, so several workers have several limits. The
  soft limit is raised as far as the hard one allows.
* ephemeral ports: a source address has as many connections to one address and port as the
  system has ports to choose from; on Linux some 28,000. To another address or port it may use the
  same ones again.

And does the server know the actions? One request of each goes ahead on a connection of its own: a typing mistake
would otherwise be a fast and useless run of errors. If the server does not answer at all, the run reports it.

Each refusal names the limit, the number and what to do. Not here: the server's own limits.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from eventloop import Address, Endpoint
from eventloop.addresses import numeric_sockaddr, zone_trouble
from libclient.client import Client
from libclient.connect import raise_descriptor_limit
from libclient.errors import ConnectionFailed, ErrorReply

from ..config import OFF, Config
from .workload import Prepared, Workload

__all__ = ["PreflightError", "available_ports", "check_actions", "check_ports", "preflight"]

#: Seconds to wait for an answer before the run: a server that takes longer is one to be measured, not asked first.
PATIENCE = 2.0
#: Actions that are asked for before the run: a data file may have any number of them.
MOST_ACTIONS = 50

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_RESERVED_PORTS = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")


class PreflightError(Exception):
    """The run can't be made on this machine; the sentence says why and what would help."""


def preflight(
    connections: int, target: Address | None, sources: Sequence[str] = (), *, in_one_process: int | None = None
) -> None:
    """Prepare this machine for so many connections to `target` (None: a server of our own on loopback).

    `sources` are the addresses to connect from; without any the system chooses one. `in_one_process`:
    how many sockets the process with the most has, if that is another number.

    Raises `PreflightError` or `libclient.NoDescriptors`, each a sentence with the exact limit.
    """
    raise_descriptor_limit(connections if in_one_process is None else in_one_process)
    if target is None or not target.path:
        check_sources(sources)
        check_ports(
            connections, available_ports(), "the bundled server" if target is None else str(target), len(sources) or 1
        )
    elif sources:
        raise PreflightError(f"{target} is no network address: leave --source-ip out")


def check_sources(sources: Sequence[str]) -> None:
    """Raises `PreflightError` if one of them is not an address of this machine."""
    for source in sources:
        if trouble := zone_trouble(source):
            raise PreflightError(f"--source-ip {trouble}")
        try:
            family, sockaddr = numeric_sockaddr(source)
            with socket.socket(family) as sock:
                sock.bind(sockaddr)
        except OSError as error:
            raise PreflightError(
                f"--source-ip {source} can't be connected from ({error.strerror}): name an address of this machine"
            ) from None


def check_ports(connections: int, ports: int | None, target: str, sources: int = 1) -> None:
    """Raises `PreflightError` if `sources` addresses have too few ports; None: the system does not tell."""
    if ports is None or connections <= ports * sources:
        return
    have = (
        f"one source address has {ports:,}"
        if sources == 1
        else f"{sources} source addresses have {ports:,} each, {ports * sources:,} in all"
    )
    raise PreflightError(
        f"{connections:,} connections to {target} need as many source ports and {have} (ip_local_port_range): use "
        f"-c {ports * sources} or fewer, more --source-ip, or widen the range"
    )


def available_ports(range_file: Path = _PORT_RANGE, reserved_file: Path = _RESERVED_PORTS) -> int | None:
    """How many ephemeral ports one source address has, or None where the system does not tell (not Linux)."""
    try:
        low, high = map(int, range_file.read_text().split())
    except (OSError, ValueError):
        return None
    try:
        reserved = reserved_file.read_text().strip()
    except OSError:
        reserved = ""
    return high - low + 1 - sum(_overlap(part, low, high) for part in reserved.split(",") if part)


def _overlap(part: str, low: int, high: int) -> int:
    """How many ports of `part` (`8080` or `9000-9010`) lie within the range."""
    first, _, last = part.partition("-")
    return max(0, min(int(last or first), high) - max(int(first), low) + 1)


# --- what the server knows ---------------------------------------------------------------


def check_actions(config: Config, workload: Workload, target: Address, endpoints: Sequence[Endpoint]) -> None:
    """Raises `PreflightError` if the server says of an action that it does not know it.

    Not asked with `--verify off`, for which any reply will do.
    """
    if config.verify == OFF:
        return
    first: dict[str, Prepared] = {}
    for request in workload.requests:
        first.setdefault(request.action, request)
    asked = [request for _, request in zip(range(MOST_ACTIONS), first.values(), strict=False)]
    with Client(
        target,
        timeout=min(config.timeout, PATIENCE),
        connect_timeout=min(config.connect_timeout, PATIENCE),
        retry_for=0,
        resolve=lambda address: list(endpoints),
    ) as client:
        for request in asked:
            try:
                value = client.call(request.outgoing).value
            except ErrorReply as error:
                unknown = error.code == "unknown-action"
            except ConnectionFailed:
                return
            else:
                unknown = _is_the_tutorials_refusal(value)
            if unknown:
                raise PreflightError(
                    f"{target} does not know the action {request.action!r} (unknown-action): check --action, --mix or "
                    "--data; --verify off loads it all the same"
                )


def _is_the_tutorials_refusal(value: object) -> bool:
    """Its server has no error codes: `{"result": "Error: invalid action \\"serch\\"."}`."""
    result = value.get("result") if isinstance(value, dict) else None
    return isinstance(result, str) and result.startswith("Error: invalid action")
