"""Would it be noticed if the client did not live on?"""

from __future__ import annotations

import pytest

from libclient import Pool
from libclient.call import Call
from suites.faults.kernel import SleepsForEver
from suites.faults.scenarios import ALL
from suites.faults.sweep import sweep


def breaks(name: str, call: str, match: str | None = None) -> None:
    with pytest.raises((AssertionError, OSError, SleepsForEver), match=match):
        sweep(ALL[name], [call])


def test_a_client_that_repeats_what_must_not_be_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    init = Call.__init__
    monkeypatch.setattr(Call, "__init__", lambda self, request, idempotent=False: init(self, request, True))
    breaks("client: pipeline", "recv")


def test_a_client_that_waits_for_ever_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pool, "_repeatable", lambda self, message, ending: [])
    breaks("client: requests", "send", "waits for what will not come")
