"""Is every loss counted, and whose is it?"""

from __future__ import annotations

from benchmarks.restart.books import Lost, account

MS = 1_000_000


ALL = range(100)


def lost(request: int = 1, port: int | None = 5000, made: int = 1000 * MS, ended: int = 1010 * MS) -> Lost:
    return Lost(request, port, made, ended, "reset")


def test_a_connection_that_accept_never_returned_is_the_kernel_s_loss() -> None:
    done = account(10, [lost()], 0, [(5001, 1005 * MS)], [], ALL)
    assert (done.kept_lost, done.kernel_lost) == ([], [lost()])
    assert done.holds


def test_one_that_was_accepted_could_have_been_kept() -> None:
    done = account(10, [lost()], 0, [(5000, 1005 * MS)], [], ALL)
    assert (done.kept_lost, done.kernel_lost) == ([lost()], [])
    assert not done.holds


def test_whoever_had_the_port_before_or_after_it_says_nothing_of_it() -> None:
    done = account(10, [lost()], 0, [(5000, 999 * MS), (5000, 1011 * MS)], [], ALL)
    assert done.kernel_lost == [lost()]


def test_a_connection_that_was_never_open_is_the_kernel_s() -> None:
    assert account(10, [lost(port=None)], 0, [], [], ALL).kernel_lost == [lost(port=None)]


def test_a_request_that_was_carried_out_is_never_the_kernel_s_loss() -> None:
    assert account(10, [lost()], 0, [], [1], ALL).kept_lost == [lost()]


def test_what_was_carried_out_twice_is_counted_beside_what_was_answered_twice() -> None:
    done = account(10, [], 2, [], [1, 1, 2, 1000, 1000], ALL)
    assert done.twice == 3
    assert not done.holds


def test_behind_a_proxy_the_way_is_followed() -> None:
    accepted = [(7000, 1005 * MS)]
    assert account(1, [lost()], 0, accepted, [], ALL, {5000: [(7000, 1001 * MS)]}).kept_lost == [lost()]
    assert account(1, [lost()], 0, accepted, [], ALL, {5000: [(7001, 1001 * MS)]}).kernel_lost == [lost()]
    # The port was another client's before and after: neither way is this one's.
    ways = {5000: [(7000, 100 * MS), (7001, 1001 * MS), (7000, 2000 * MS)]}
    assert account(1, [lost()], 0, accepted, [], ALL, ways).kernel_lost == [lost()]
    assert account(1, [lost()], 0, accepted, [], ALL, {}).kept_lost == [lost()], "the proxy says nothing: ours"
