"""Two servers are loaded in turns: the same load, connections that stay, and nothing in flight between.

How often a change is seen that is there, and one that is not, is `regressions` beside this file.
"""

import random
import time

import pytest

from eventloop import parse_address
from libclient.connect import resolve
from multiconn.loadtest.config import Config
from multiconn.loadtest.engine.interleaved import SETTLING, InterleavedRun, order_of, settling_of
from multiconn.loadtest.engine.schedule import BLOCK
from multiconn.loadtest.judge.bootstrap import FEWEST
from multiconn.loadtest.judge.compare import Side, blocks_of, compare
from multiconn.loadtest.measure.intervals import DRAINING, MEASURING, PAUSED, WARMUP
from multiconn.loadtest.output.summary import summary
from tests.multiconn.loadtest import regressions
from tests.multiconn.loadtest.paced import paced
from tests.multiconn.loadtest.runs import Told
from tests.support import scripted
from tests.support.scripted import ScriptedServer


def turns(targets, block, pairs, sinks=None, **options):
    config = Config(**{"duration": block * pairs, "warmup": 0.0, "connect_rate": 10_000.0, "seed": 1, **options})
    addresses = {side: parse_address(target) for side, target in zip("ab", targets, strict=True)}
    resolved = {side: (address, resolve(address)) for side, address in addresses.items()}
    return InterleavedRun(config, resolved, sinks or {"a": [], "b": []}, block, pairs)


# --- order -------------------------------------------------------------------------------


@pytest.mark.parametrize("pairs", [8, 9, 20])
def test_each_pair_has_both_and_each_leads_as_often(pairs):
    for seed in range(20):
        order = order_of(pairs, random.Random(seed))
        each = [order[first : first + 2] for first in range(0, len(order), 2)]
        assert len(each) == pairs
        assert set(each) == {"ab", "ba"}
        assert abs(each.count("ab") - each.count("ba")) <= pairs % 2
    assert len({order_of(8, random.Random(seed)) for seed in range(20)}) > 5


@pytest.mark.parametrize("pairs", [8, 9])
def test_what_is_not_measured_differs_from_pair_to_pair_and_adds_up(pairs):
    shares = settling_of(pairs, random.Random(1))
    assert len(shares) == pairs
    assert sum(shares) == pytest.approx(pairs * SETTLING)
    assert 0 < min(shares) < max(shares) < 2 * SETTLING
    assert len(set(shares)) >= pairs - 1


# --- visits ------------------------------------------------------------------------------


def test_equal_servers_show_no_regression_and_a_slower_one_does():
    # Four times slower, and a few blocks more than are needed: no busy core makes as much of equal ones, and a block in
    # which the load tester got no processor is left out.
    with paced(0.006, 0.006, 0.024) as (a, equal, slower):
        for b, found in ((equal, False), (slower, True)):
            made = turns([a, b], 0.06, FEWEST + 4, connections=8)
            outcomes = made.run()
            sides = [
                Side(s, summary(o, [], "test"), blocks_of(made.slices[s], visits=True)) for s, o in outcomes.items()
            ]
            comparison = compare(*sides, interleaved=True)
            assert bool(comparison.regressions) is found, comparison
            assert min(comparison.blocks) >= FEWEST


def test_connections_stay_and_every_block_is_measured_drained_and_rests():
    kept = {"a": [Told()], "b": [Told()]}
    with ScriptedServer(scripted.correct) as a, ScriptedServer(scripted.correct) as b:
        made = turns([a.target, b.target], 0.05, FEWEST, kept, connections=3, interval=10.0)
        began = time.monotonic()
        outcomes = made.run()
        took = time.monotonic() - began
        assert (a.connections, b.connections) == (3, 3)
        for server, outcome in zip((a, b), outcomes.values(), strict=True):
            assert server.requests == outcome.accounting.sent + outcome.warmup.sent
    assert made.order == order_of(FEWEST, random.Random("turns 1"))
    assert sum(outcome.duration_s for outcome in outcomes.values()) < took  # none has the other's time too
    for side, (told,) in kept.items():
        phases = [interval.phase for interval in told.intervals]
        assert phases[1:] == [WARMUP, MEASURING, DRAINING] * FEWEST
        assert PAUSED not in phases
        measured = [interval for interval in told.intervals if interval.phase == MEASURING]
        assert sum(interval.replies for interval in measured) == outcomes[side].window_replies
        assert 0 < outcomes[side].duration_s <= 1.01 * sum(i.seconds for i in measured)  # told late
        ends = [interval.t for interval in told.intervals]
        assert ends == sorted(ends)
        assert sum(interval.in_flight for interval in told.intervals if interval.phase == DRAINING) == 0


def test_an_open_schedule_stands_still_while_the_other_is_visited():
    with ScriptedServer(scripted.correct) as a, ScriptedServer(scripted.correct) as b:
        made = turns([a.target, b.target], 0.06, FEWEST, connections=2, rate=400.0)
        outcomes = made.run()
    first, second = outcomes.values()
    assert first.schedule_sha256 == second.schedule_sha256
    assert first.figures.cores == 0  # a verdict must not propose -w, which is refused here
    for outcome in (first, second):
        # 400/s for four fifths of 0.48 s; a request more or less at each end of a visit
        assert outcome.accounting.scheduled == pytest.approx(153.6, abs=2 * FEWEST)
        assert outcome.measured.response.percentile(50) < 0.03e9  # a rest of 0.06 s is in none of them


def test_abort_on_ends_both():
    with ScriptedServer(scripted.correct) as a, ScriptedServer(scripted.complaining) as b:
        made = turns([a.target, b.target], 0.05, 100, connections=1, abort_on=("error_rate>10%",))
        outcomes = made.run()
    assert len(made.order) <= 2
    assert outcomes["b"].aborted
    assert outcomes["a"].accounting.failed == 0


@pytest.mark.parametrize(
    ("tries", "called", "missed"), [(2, 1, 1), (3, 1, 1), (5, 1, 2), (19, 3, 4), (20, 1, 2), (40, 2, 4)]
)
def test_fewer_tries_than_twenty_fail_only_for_what_chance_seldom_does(tries, called, missed):
    assert (regressions.allowed(tries, regressions.CALLED), regressions.allowed(tries, regressions.MISSED)) == (
        called,
        missed,
    )


# --- the command -------------------------------------------------------------------------


def test_an_open_schedule_of_many_blocks_is_the_same_for_both():
    with ScriptedServer(scripted.correct) as a, ScriptedServer(scripted.correct) as b:
        made = turns([a.target, b.target], 0.08, FEWEST, connections=4, rate=1600.0)
        outcomes = made.run()
    first, second = outcomes.values()
    assert first.accounting.scheduled > 3 * BLOCK
    assert first.schedule_sha256 == second.schedule_sha256
