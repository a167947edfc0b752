"""How does a client look that works against a good server on a good day?

    python -m suites.detection.naive_client HOST PORT ACTION VALUE

Written from the wire's description, the short way: what one recv returns is taken for the reply, an
end of the stream for the end of the content, and nothing is checked. The cases of the client role
must notice.

Rule: no check that a demonstration would not have; nothing of ours is imported.
"""

from __future__ import annotations

import json
import socket
import struct
import sys


def main(host: str, port: str, action: str, value: str) -> None:
    content = json.dumps({"action": action, "value": value}).encode()
    header = json.dumps(
        {
            "byteorder": sys.byteorder,
            "content-type": "text/json",
            "content-encoding": "utf-8",
            "content-length": len(content),
        }
    ).encode()
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(struct.pack(">H", len(header)) + header + content)
        data = sock.recv(65536)
        (length,) = struct.unpack(">H", data[:2])
        fields = json.loads(data[2 : 2 + length])
        content = data[2 + length :]
        while len(content) < int(fields["content-length"]) and (more := sock.recv(65536)):
            content += more
        print(json.loads(content)["result"])


if __name__ == "__main__":
    main(*sys.argv[1:])
