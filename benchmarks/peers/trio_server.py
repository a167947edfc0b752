"""How fast is trio: structured concurrency, a task per connection?"""

from __future__ import annotations

import contextlib

import trio  # type: ignore[import-not-found]

from benchmarks.peers.command import READ_SIZE, announce, arguments, listen
from benchmarks.peers.session import LARGE, BrokenFrame, Session


async def handle(stream: trio.SocketStream) -> None:
    session = Session()
    with contextlib.suppress(trio.BrokenResourceError, BrokenFrame):
        while not session.finished and (data := await stream.receive_some(READ_SIZE)):
            replies = session.receive(data)
            if not replies:
                continue
            if len(replies[-1]) < LARGE:
                await stream.send_all(b"".join(replies))
            else:
                for part in replies:
                    await stream.send_all(part)
    # serve_listeners closes the stream when this returns.


async def serve(host: str, port: int) -> None:
    sock = listen(host, port)
    sock.setblocking(False)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    announce(sock.getsockname())
    await trio.serve_listeners(handle, [listener])


if __name__ == "__main__":
    options = arguments()
    with contextlib.suppress(KeyboardInterrupt):
        trio.run(serve, options.host, options.port)
