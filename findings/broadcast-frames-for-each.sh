#!/usr/bin/env bash
# Is a message that goes to everybody made once?
#
# websockets has a function for one message to many connections: broadcast(connections, message). It is given all of them
# at once, and a frame from a server is the same for each (only a client's frames are masked).
#
# A good guess: it makes the frame once, and gives each connection those bytes.
#
# Seen, with websockets 17.4: a frame is made for each connection, and each message is a write of its own, also of
# sixteen messages that are broadcast in one turn of the loop:
#
#     16 messages to 10 connections -> 160 frames made, 160 writes, no two connections with the same bytes object
#
# So the cost of a message goes with the connections twice over, and where clients read slowly each one's buffer holds a
# copy of its own: 1,000 slow readers of one 1 MiB message are a gigabyte.
# Source: its own calls, counted.
#
# Exit code 0: as seen; 1: something has changed.

set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv v
v/bin/pip install -q websockets==17.4

cat >look.py <<'PY'
import asyncio, sys

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import broadcast, serve
from websockets.frames import Frame

CLIENTS, MESSAGES = 10, 16
made = 0
serialize = Frame.serialize


def counted(self, *arguments, **options):
    global made
    made += 1
    return serialize(self, *arguments, **options)


async def main():
    here = set()

    async def stay(connection):
        here.add(connection)
        await connection.wait_closed()

    async with serve(stay, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        clients = [await connect(f"ws://127.0.0.1:{port}", compression=None) for _ in range(CLIENTS)]
        while len(here) < CLIENTS:
            await asyncio.sleep(0.01)
        written = []
        for connection in here:
            write = connection.transport.write
            connection.transport.write = lambda data, write=write: (written.append(data), write(data))
        Frame.serialize = counted
        for _ in range(MESSAGES):
            broadcast(here, b"x" * 100)
        Frame.serialize = serialize
        writes, objects = len(written), len({id(data) for data in written})
        for client in clients:
            assert [await client.recv() for _ in range(MESSAGES)] == [b"x" * 100] * MESSAGES
            await client.close()
        return made, writes, objects


seen = asyncio.run(main())
print(websockets.__version__, "frames, writes, objects:", seen)
every = CLIENTS * MESSAGES
sys.exit(seen != (every, every, every))
PY
v/bin/python look.py
