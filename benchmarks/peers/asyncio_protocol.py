"""How fast is asyncio's fastest idiom, on its own loop and (`--uvloop`) on uvloop?

Callbacks instead of streams: no task, no future, no buffer in between. This, on uvloop, is what
all ratios are measured against.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast

from benchmarks.peers.command import BACKLOG, announce, arguments, listen, read_modestly
from benchmarks.peers.session import LARGE, BrokenFrame, Session


class ServerProtocol(asyncio.Protocol):
    __slots__ = ("session", "transport")

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.session = Session()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass of it
        read_modestly(transport)

    def data_received(self, data: bytes) -> None:
        session = self.session
        try:
            replies = session.receive(data)
        except BrokenFrame:
            self.transport.close()
            return
        if replies:
            if len(replies[-1]) < LARGE:
                self.transport.write(b"".join(replies))
            else:
                for part in replies:  # not writelines: before Python 3.12 asyncio joins what it is given
                    self.transport.write(part)
            if session.finished:
                self.transport.close()

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


async def serve(host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    sock = listen(host, port)
    server = await loop.create_server(ServerProtocol, sock=sock, backlog=BACKLOG)
    announce(sock.getsockname())
    async with server:
        await server.serve_forever()


def main() -> None:
    options = arguments("--uvloop")
    with contextlib.suppress(KeyboardInterrupt):
        if options.uvloop:
            import uvloop  # type: ignore[import-not-found]  # only where this option is given

            uvloop.run(serve(options.host, options.port))
        else:
            asyncio.run(serve(options.host, options.port))


if __name__ == "__main__":
    main()
