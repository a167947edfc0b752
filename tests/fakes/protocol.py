"""What did a transport tell its protocol, in which order, and was it inside the protocol's own call?

`RecordingProtocol` is a `StreamProtocol` that writes down what it hears. A callback can be given
to act on what it hears: `protocol.on["eof_received"] = transport.close`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class RecordingProtocol:
    """`heard` is every call but data and `kept`; `data` every byte received; `losses` what connection_lost said;
    `kept_back` how much was kept, each time that the kernel did not take all.

    `busy` is above 0 while one of its callbacks runs: `connection_lost` within another is the
    re-entrance that a transport promises not to do, and is counted in `reentered`.
    """

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.data = bytearray()
        self.losses: list[Exception | None] = []
        self.kept_back: list[int] = []
        self.busy = 0
        self.reentered = 0
        self.on: dict[str, Callable[[], object]] = {}

    def _hear(self, name: str, note: Any) -> None:
        self.heard.append(note)
        self.busy += 1
        try:
            if name in self.on:
                self.on[name]()
        finally:
            self.busy -= 1

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._hear("data_received", "data")

    def buffer_filled(self) -> None:
        self._hear("buffer_filled", "filled")

    def eof_received(self) -> None:
        self._hear("eof_received", "eof")

    def pause_writing(self) -> None:
        self._hear("pause_writing", "pause")

    def resume_writing(self) -> None:
        self._hear("resume_writing", "resume")

    def kept(self, queued: int) -> None:
        self.kept_back.append(queued)
        if "kept" in self.on:
            self.on["kept"]()

    def flushed(self, queued: int) -> None:
        self._hear("flushed", ("flushed", queued))

    def connection_lost(self, error: Exception | None) -> None:
        self.reentered += self.busy > 0
        self.losses.append(error)
        self._hear("connection_lost", "lost")
