"""The bare server with a fault: `--lose`, `--repeat`, `--swap`, `--invent`, `--shorten` or `--cut`, at each twentieth
message, for one of its subscribers."""

from __future__ import annotations

import socket

from benchmarks.fanout.peers.bare_server import Server
from benchmarks.peers.command import announce, arguments, listen

FAULTS = ("lose", "repeat", "swap", "invent", "shorten", "cut")


class FaultyServer(Server):
    def __init__(self, listener: socket.socket, fault: str) -> None:
        super().__init__(listener)
        self.fault = fault
        self.count = 0
        self.before = b""

    def deliver(self, message: bytes) -> None:
        self.count += 1
        first = next(iter(self.subscribers))
        others = [subscriber for subscriber in self.subscribers if subscriber is not first]
        for subscriber in others:
            subscriber.send(message)
        if self.before:  # in the other order
            first.send(message + self.before)
            self.before = b""
        elif self.count % 20:
            first.send(message)
        elif self.fault == "repeat":
            first.send(message * 2)
        elif self.fault == "swap":
            self.before = message
        elif self.fault == "invent":
            first.send(message + message[:4] + b"9" * (len(message) - 4))
        elif self.fault == "shorten":
            first.send((len(message) - 5).to_bytes(4, "big") + message[4:-1])
        elif self.fault == "cut":
            self.close(first)


if __name__ == "__main__":
    options = arguments(*(f"--{fault}" for fault in FAULTS))
    listening = listen(options.host, options.port)
    listening.setblocking(False)
    announce(listening.getsockname())
    FaultyServer(listening, next(fault for fault in FAULTS if vars(options)[fault])).serve()
