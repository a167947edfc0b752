"""Does docs/do/scale-out.md hold? Two servers, HAProxy with the page's own configuration, and a Redis behind them.

Two programs listen and talk through HAProxy while each server, HAProxy's connections and Redis are restarted: each
hears every message once, or is told what is missing. Skipped, with the reason, where HAProxy or Redis is missing.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from benchmarks.restart.proxy import haproxy
from libclient import Client, ConnectionFailed, ErrorReply, Gap, Published, Subscription
from tests.support.peer import PATIENCE
from tests.support.redis import Redis, redis_here
from tests.support.scripted import unused_port

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "do" / "scale-out.md"


class Site:
    """The page's set-up, on free ports."""

    def __init__(self, redis: Redis, directory: Path, stack: ExitStack) -> None:
        self.redis = redis
        self.ports = [unused_port(), unused_port()]
        self.front = unused_port()
        self.servers: list[subprocess.Popen[bytes] | None] = [None, None]
        self._stack = stack
        self._directory = directory
        self._logs = count()
        for number in range(2):
            self.start(number)
        page = PAGE.read_text(encoding="utf-8")
        (configuration,) = (block for block in re.findall(r"```text\n(.*?)```", page, re.S) if "frontend" in block)
        for shown, real in (("65432", self.front), ("7001", self.ports[0]), ("7002", self.ports[1])):
            assert shown in configuration
            configuration = configuration.replace(shown, str(real))
        file = directory / "haproxy.cfg"
        file.write_text(configuration, encoding="utf-8")
        program = haproxy()
        assert program is not None
        proxy = subprocess.Popen([program, "-f", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(proxy.wait)
        stack.callback(proxy.kill)

    def start(self, number: int) -> None:
        command = [sys.executable, "app_server.py", "127.0.0.1", str(self.ports[number])]
        command += ["--backplane", f"{self.redis.url}/chat", "--drain-grace", "0"]
        log = self._directory / f"server-{number}-{next(self._logs)}.log"
        with log.open("wb") as file:
            self.servers[number] = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
        deadline = time.monotonic() + PATIENCE
        while b"Listening on" not in log.read_bytes():
            assert time.monotonic() < deadline, log.read_bytes()
            time.sleep(0.02)

    def stop(self, number: int) -> None:
        server, self.servers[number] = self.servers[number], None
        assert server is not None
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE) == 0

    def client(self) -> Client:
        client = Client(f"127.0.0.1:{self.front}", backoff=(0.02, 0.2), retry_for=PATIENCE)
        return self._stack.enter_context(client)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    if haproxy() is None:
        pytest.skip("haproxy is not installed (Debian: haproxy)")
    with redis_here(tmp_path) as redis, ExitStack() as stack:
        it = Site(redis, tmp_path, stack)
        try:
            yield it
        finally:
            for server in it.servers:
                if server is not None:
                    server.kill()
                    server.wait()


class Person:
    """Publishes through one client, and listens through another."""

    def __init__(self, site: Site, name: str) -> None:
        self.name = name
        self.client = site.client()
        self.subscription: Subscription = site.client().subscribe("room/lobby", slow="oldest")
        self.said: list[str] = []
        self.unsure: list[str] = []
        self.heard: list[Published | Gap] = []

    def say(self) -> None:
        text = f"{self.name} {len(self.said) + len(self.unsure)}"
        request = {"action": "publish", "topic": "room/lobby", "value": text}
        try:
            self.client.request_json(request)
        except (ErrorReply, ConnectionFailed):
            self.unsure.append(text)  # it may have been published
        else:
            self.said.append(text)

    def listen(self, seconds: float = 0.0) -> None:
        with_patience = time.monotonic() + seconds
        while True:
            try:
                self.heard.append(self.subscription.get(0.05))
            except TimeoutError:
                if time.monotonic() >= with_patience:
                    return


def test_two_talk_in_one_room_over_restarts_of_everything(site: Site) -> None:
    people = [Person(site, "ann"), Person(site, "bob")]

    def talk(rounds: int = 5) -> None:
        for _ in range(rounds):
            for person in people:
                person.say()
                person.listen()

    talk()
    for number in (0, 1):
        site.stop(number)
        talk()
        site.start(number)
        talk()
    site.redis.stop()
    talk(2)
    site.redis.start()
    deadline = time.monotonic() + PATIENCE
    while not all(has_said_again(person) for person in people):
        assert time.monotonic() < deadline
    talk()
    last = {person.said[-1] for person in people}
    while not all(last <= set(texts(person)) for person in people):
        assert time.monotonic() < deadline + PATIENCE, [texts(person)[-3:] for person in people]
        for person in people:
            person.listen(0.1)
    for person in people:
        heard = texts(person)
        assert len(heard) == len(set(heard)), "once"
        assert [event for event in person.heard if isinstance(event, Gap)] == [], "Redis has forgotten nothing"
        for speaker in people:
            mine = [text for text in heard if text.startswith(speaker.name)]
            assert mine == sorted(mine, key=lambda text: int(text.split()[1])), "in order"
            assert set(speaker.said) <= set(mine) <= {*speaker.said, *speaker.unsure}
    assert texts(people[0]) == texts(people[1]), "both in the same order"


def has_said_again(person: Person) -> bool:
    before = len(person.said)
    person.say()
    person.listen()
    return len(person.said) > before


def texts(person: Person) -> list[Any]:
    return [event.value for event in person.heard if isinstance(event, Published)]
