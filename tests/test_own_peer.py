"""Does a client notice that it is connected to itself, in every command?

The kernel picks the port of our end; where nobody listens on the target's port, and that lies in the range,
it may pick that one. By chance one time in 28,000: here the range is one port wide, in a network of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PORT = 40000

ALONE = f"""
ip link set lo up && echo '{PORT} {PORT}' > /proc/sys/net/ipv4/ip_local_port_range || exit 99
"$@" & wait $!
code=$?
ss -Htan | grep -q ':{PORT}' && exit 98
exit $code
"""

#: As root; and as anybody, in a user namespace, where the system allows that.
WAYS = (["unshare", "-n"], ["unshare", "-rn"])


def alone(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python3 arguments` in a network of its own: 99 if its range can't be set, 98 if a socket is left behind."""
    command = ["sh", "-c", ALONE, "sh", sys.executable, *arguments]
    for way in WAYS:
        done = subprocess.run([*way, *command], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        if "unshare" not in done.stderr and done.returncode != 99:
            return done
    pytest.skip(f"this system gives us no network of our own: {done.stderr.strip()}")


@pytest.fixture(autouse=True)
def tools() -> None:
    for name in ("unshare", "ip", "ss"):
        if shutil.which(name) is None:
            pytest.skip(f"there is no {name} here")


def test_the_kernel_does_connect_a_socket_to_itself_there() -> None:
    """Otherwise the others show nothing."""
    done = alone(
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
    done = alone("app_client.py", *arguments)
    assert words in " ".join((done.stdout + done.stderr).split()), done
    if code is not None:
        assert done.returncode == code
    assert done.returncode != 98, "a socket is left that keeps the port"
    assert '"action"' not in done.stdout
