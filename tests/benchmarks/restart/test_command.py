"""Does the command name each loss, and each setting that it can't try?"""

from __future__ import annotations

import pytest

from benchmarks.cli import main
from benchmarks.restart import namespace, proxy
from benchmarks.restart.books import Lost, account
from benchmarks.restart.clients import KINDS, ONE_SHOT, Traffic
from benchmarks.restart.command import table
from benchmarks.restart.run import Outcome
from eventloop import EventLoop


def test_the_table_names_each_kind_and_shows_each_loss() -> None:
    loop = EventLoop()
    kinds = {kind: Traffic(loop, [], kind) for kind in KINDS}
    loop.close()
    accounts = {kind: account(1000, [], 0, [], [], made.numbers) for kind, made in kinds.items()}
    accounts[ONE_SHOT].kept_lost.append(Lost(1, 5000, 1_000_000_000, 1_010_000_000, "reset"))
    lines = table([Outcome("reuse-port", 1.0, 7, accounts, kinds, ["a server ended with 1"])])
    assert [line.split()[1] for line in lines[1:4]] == list(KINDS)
    assert lines[1].split() == ["reuse-port", "keep-alive", "7", "1,000", "0", "0", "0", "0"]
    assert "a server ended with 1" in lines[4]
    assert "one-shot: lost 0.010 s after connecting: reset" in lines[5]


def test_an_unknown_setting_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["restart", "--settings", "nginx"])
    assert "there is no 'nginx'; there are reuse-port, " in capsys.readouterr().err


def test_a_setting_that_cannot_be_tried_is_skipped_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(proxy.shutil, "which", lambda *args, **more: None)
    monkeypatch.setattr(namespace.os, "geteuid", lambda: 1000)
    assert main(["restart", "--settings", "haproxy,reuse-port-migrated"]) == 1, "nothing was tried: nothing holds"
    told = capsys.readouterr().err
    assert "skipped: haproxy: haproxy is not installed" in told
    assert "skipped: reuse-port-migrated: " in told
