"""How fast are asyncio's streams, which most people write?

One task per connection: `await reader.read`, then everything it completed in one write.
"""

from __future__ import annotations

import asyncio
import contextlib

from benchmarks.peers.command import BACKLOG, announce, arguments, listen, read_modestly
from benchmarks.peers.session import LARGE, BrokenFrame, Session

#: Taken from the reader at once, and the reader's limit: it pauses its transport at twice that, and 64 KiB,
#: the default, would pause it all the time under large contents.
LIMIT = 256 * 1024


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    session = Session()
    read_modestly(writer.transport)
    with contextlib.suppress(ConnectionError, BrokenFrame, asyncio.CancelledError):
        while not session.finished and (data := await reader.read(LIMIT)):
            replies = session.receive(data)
            if replies:
                if len(replies[-1]) < LARGE:
                    writer.write(b"".join(replies))
                else:
                    for part in replies:  # not writelines: before Python 3.12 asyncio joins what it is given
                        writer.write(part)
                await writer.drain()
    writer.close()


async def serve(host: str, port: int) -> None:
    sock = listen(host, port)
    server = await asyncio.start_server(handle, sock=sock, backlog=BACKLOG, limit=LIMIT)
    announce(sock.getsockname())
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    options = arguments()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(options.host, options.port))
