"""What do the commands do where the network is made for it?

Two things that a machine's own network does not show at will. A client that is connected to itself: the kernel
picks the port of our end; where nobody listens on the target's port, and that lies in the range, it may pick
that one, by chance one time in 28,000; here the range is one port wide. And link-local addresses: here the
loopback interface has two.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PORT = 40000

#: Exit codes of the set-up: it can't be made here, and a socket was left behind.
NOT_HERE, LEFT = 99, 98

ONE_PORT = f"""
ip link set lo up && echo '{PORT} {PORT}' > /proc/sys/net/ipv4/ip_local_port_range || exit {NOT_HERE}
"$@" & wait $!
code=$?
ss -Htan | grep -q ':{PORT}' && exit {LEFT}
exit $code
"""

LINK_LOCAL = f"""
ip link set lo up || exit {NOT_HERE}
ip -6 address add fe80::7/64 dev lo nodad && ip -6 address add fe80::8/64 dev lo nodad || exit {NOT_HERE}
"$1" app_server.py --listen 'tcp://[fe80::7%lo]:{PORT}' 2>log & server=$!
for i in $(seq 200); do grep -q Listening log && break; sleep 0.05; done
shift; "$@"
code=$?
kill $server; wait $server; cat log >&2
exit $code
"""

#: As root; and as anybody, in a user namespace, where the system allows that.
WAYS = (["unshare", "-n"], ["unshare", "-rn"])


def alone(script: str, *command: str) -> subprocess.CompletedProcess[str]:
    """`script` with `command` in a network of its own."""
    whole = ["sh", "-c", script, "sh", *command]
    for way in WAYS:
        done = subprocess.run([*way, *whole], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        if "unshare" not in done.stderr and done.returncode != NOT_HERE:
            return done
    pytest.skip(f"this system gives us no network of our own: {done.stderr.strip()}")


@pytest.fixture(autouse=True)
def tools() -> None:
    for name in ("unshare", "ip", "ss"):
        if shutil.which(name) is None:
            pytest.skip(f"there is no {name} here")


# --- connected to itself -------------------------------------------------------------------------


def test_the_kernel_does_connect_a_socket_to_itself_there() -> None:
    """Otherwise the others show nothing."""
    done = alone(
        ONE_PORT,
        sys.executable,
        "-c",
        f"import socket; s = socket.create_connection(('127.0.0.1', {PORT})); s.sendall(b'me'); print(s.recv(2));"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))",
    )
    assert (done.returncode, done.stdout) == (0, "b'me'\n"), done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("127.0.0.1", str(PORT), "search", "ring"), 3, "nothing listens on 127.0.0.1:40000"),
        (("request", f"127.0.0.1:{PORT}", "search", "ring"), 3, "nothing listens on 127.0.0.1:40000"),
        (("request", f"[::1]:{PORT}", "search", "ring"), 3, "nothing listens on [::1]:40000"),
        (("request", f"0.0.0.0:{PORT}", "search", "ring"), 3, "nothing listens on 0.0.0.0:40000"),
        (("echo", f"127.0.0.1:{PORT}"), 3, "nothing listens on 127.0.0.1:40000"),
        (("echo", f"echo+udp://127.0.0.1:{PORT}", "hello"), 3, "nothing receives datagrams on 127.0.0.1:40000"),
        (("load", f"127.0.0.1:{PORT}", "-c", "1", "-d", "300ms", "--verify", "off"), None, "nothing listens on"),
    ],
)
def test_every_command_takes_it_for_a_refused_connection(
    arguments: tuple[str, ...], code: int | None, words: str
) -> None:
    done = alone(ONE_PORT, sys.executable, "app_client.py", *arguments)
    assert words in " ".join((done.stdout + done.stderr).split()), done
    assert done.returncode != LEFT, "a socket is left that keeps the port"
    if code is not None:
        assert done.returncode == code
    assert '"action"' not in done.stdout


# --- link-local addresses ------------------------------------------------------------------------


def inner(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A client's command beside a server that listens on fe80::7%lo."""
    script = LINK_LOCAL.replace("log", str(tmp_path / "log"))
    return alone(script, sys.executable, sys.executable, "app_client.py", *arguments)


def test_a_link_local_address_serves_and_is_reached_in_its_zone(tmp_path: Path) -> None:
    done = inner(tmp_path, "request", f"[fe80::7%lo]:{PORT}", "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    assert f"Listening on tcp://[fe80::7%lo]:{PORT}" in done.stderr


def test_a_link_local_source_address_is_one_too(tmp_path: Path) -> None:
    target = f"[fe80::7%lo]:{PORT}"
    done = inner(tmp_path, "load", target, "--source-ip", "fe80::8%lo", "-c", "2", "-n", "20", "--warmup", "0")
    assert done.returncode == 0, done
    assert "2 opened" in done.stdout


def test_a_link_local_address_without_its_zone_is_asked_for_it(tmp_path: Path) -> None:
    done = inner(tmp_path, "request", f"[fe80::7]:{PORT}", "echo", "hello")
    assert done.returncode == 2
    assert "write which, such as fe80::7%eth0 (this machine has lo" in done.stderr
    done = inner(tmp_path, "load", f"[fe80::7%lo]:{PORT}", "--source-ip", "fe80::8", "-c", "1", "-n", "1")
    assert done.returncode == 2
    assert "--source-ip fe80::8 is a link-local address" in done.stderr
