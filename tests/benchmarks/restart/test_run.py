"""Is nothing lost when one of two servers is restarted, and is a loss seen?"""

from __future__ import annotations

import pytest

from benchmarks.restart.clients import KEEP_ALIVE, KINDS
from benchmarks.restart.command import table
from benchmarks.restart.run import SETTINGS, Enough, cannot, run


@pytest.mark.parametrize("setting", SETTINGS)
def test_nothing_that_can_be_kept_is_lost_when_one_of_two_servers_is_restarted(setting: str) -> None:
    """A few restarts of each; `python -m benchmarks restart` makes as many as one likes."""
    if why := cannot(setting):
        pytest.skip(why)
    try:
        outcome = run(setting, KINDS, Enough(requests=100, restarts=2, seconds=40), ["--drain-grace", "300ms"])
    except PermissionError as error:  # root in a container may not make a network
        pytest.skip(f"{setting}: {error}")
    assert outcome.holds, "\n".join(table([outcome]))
    assert outcome.restarts >= 2
    assert all(account.requests >= 100 for account in outcome.accounts.values())


def test_a_drain_that_gives_nobody_the_time_to_ask_once_more_loses_and_the_harness_sees_it() -> None:
    for _ in range(4):  # whether a request crosses the close on its way is chance
        outcome = run("reuse-port", [KEEP_ALIVE], Enough(requests=100, restarts=3, seconds=12), ["--drain-grace", "0"])
        if outcome.accounts[KEEP_ALIVE].kept_lost:
            break
    assert outcome.accounts[KEEP_ALIVE].kept_lost
    assert not outcome.holds
