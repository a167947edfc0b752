"""What does a peer lose if a server closes a socket that has unread input?

    python3 docs/learn/rst.py

Two sockets and nothing of ours: the server sends a large reply while the client has sent more than
the server ever reads. Once it closes at once, and once it lingers: FIN first, then it reads on until
the client has finished.
"""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from multiconn.commands import stdio

REPLY = bytes(100_000)
SECONDS = 10.0


def serve(listener: socket.socket, linger: bool) -> None:
    """Accept one, read four bytes of it, answer, and end it."""
    conn, _ = listener.accept()
    with conn:
        conn.settimeout(SECONDS)
        conn.recv(4)  # the client has sent more
        conn.sendall(REPLY)
        if linger:
            conn.shutdown(socket.SHUT_WR)
            while conn.recv(4096):
                pass


def converse(linger: bool) -> str:
    """What the client gets."""
    with socket.socket() as listener, socket.socket() as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * len(REPLY))  # its connections inherit it
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        client.settimeout(SECONDS)
        client.connect(listener.getsockname())
        client.sendall(b"ask!" + b"and something that nobody reads")
        server = threading.Thread(target=serve, args=(listener, linger))
        server.start()
        if not linger:
            server.join()  # it has sent all (into the kernel) and closed before a byte is read here
        received, end = 0, "then FIN"
        try:
            while data := client.recv(65536):
                received += len(data)
        except ConnectionResetError:
            end = "then RST (ECONNRESET)"
        if linger:
            client.shutdown(socket.SHUT_WR)
        server.join()
    return f"{'all' if received == len(REPLY) else 'not all'} of {len(REPLY):,} bytes arrive, {end}"


def main() -> int:
    print("close at once:  ", converse(linger=False))
    print("FIN, read, close:", converse(linger=True))
    return 0


if __name__ == "__main__":
    sys.exit(stdio.run("rst.py", main))
