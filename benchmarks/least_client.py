"""What does a request cost at least, as a whole process of Python?

One search, by the modules that the tutorial's own client imports and no others, without its classes:
`least_client.py HOST PORT`. What `benchmarks.startup` compares with where the tutorial's files are not at hand.
"""

import io
import json
import selectors
import socket
import struct
import sys
import traceback


def receive(selector: selectors.BaseSelector, sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        selector.select()
        data += sock.recv(count - len(data))
    return data


def main() -> None:
    content = json.dumps({"action": "search", "value": "morpheus"}, ensure_ascii=False).encode()
    header = {
        "byteorder": sys.byteorder,
        "content-type": "text/json",
        "content-encoding": "utf-8",
        "content-length": len(content),
    }
    encoded = json.dumps(header).encode()
    selector = selectors.DefaultSelector()
    with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as sock:
        sock.sendall(struct.pack(">H", len(encoded)) + encoded + content)
        selector.register(sock, selectors.EVENT_READ)
        (length,) = struct.unpack(">H", receive(selector, sock, 2))
        reply = json.loads(receive(selector, sock, length))
        text = io.TextIOWrapper(io.BytesIO(receive(selector, sock, reply["content-length"])), encoding="utf-8")
        print("Got result:", json.load(text)["result"])
    selector.close()


if __name__ == "__main__":
    try:
        main()
    except Exception:
        traceback.print_exc()
        sys.exit(1)
