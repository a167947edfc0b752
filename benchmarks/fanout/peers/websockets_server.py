"""How fast is the usual way, the `websockets` package's own broadcast, on asyncio's loop and (`--uvloop`) on uvloop?

As its documentation has it: a set of connections, and `broadcast` for each message, which writes to all of them and
waits for none. Two things are taken away, since others have neither: compression, and keepalive pings.

A connection to /subscribe gets what one to /publish sends. Both first get the text "ready": with the handshake's answer
alone a subscriber could not know that it is in the set.
"""

from __future__ import annotations

import asyncio
import contextlib

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.peers.command import BACKLOG, announce, arguments, listen

subscribers: set[ServerConnection] = set()


async def handle(connection: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        if connection.request is not None and connection.request.path == "/publish":
            await connection.send("ready")
            async for message in connection:
                broadcast(subscribers, message)
            return
        subscribers.add(connection)
        try:
            await connection.send("ready")
            await connection.wait_closed()
        finally:
            subscribers.discard(connection)


async def main(host: str, port: int) -> None:
    sock = listen(host, port)
    async with serve(handle, sock=sock, backlog=BACKLOG, compression=None, ping_interval=None) as server:
        announce(sock.getsockname())
        await server.serve_forever()


if __name__ == "__main__":
    options = arguments("--uvloop")
    with contextlib.suppress(KeyboardInterrupt):
        if options.uvloop:
            import uvloop  # type: ignore[import-not-found]  # only where this option is given

            uvloop.run(main(options.host, options.port))
        else:
            asyncio.run(main(options.host, options.port))
