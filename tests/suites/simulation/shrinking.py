"""Which world is shrunk in these tests, and by which bug does it fail?

`FIRST` is a world in which much happens; of all that, the bug `TIMERS_FIRST` needs one peer, one stop and one timeout.
"""

from __future__ import annotations

from suites.simulation import peers
from suites.simulation.bugs import BUGS
from suites.simulation.clients import MessageClient, PoolClient
from suites.simulation.happenings import Arrival, Leap, Pause, Standstill, Terminate
from suites.simulation.plan import Plan
from tests.suites.simulation.test_found import asks_while_the_server_is_stopped

#: A bug that needs one peer, one stop and one timeout,
TIMERS_FIRST = next(bug for bug in BUGS if bug.name == "timers-first")


#: and a world in which these are the least of what happens.
FIRST = Plan(
    seed=1,
    length=40.0,
    rooms=(16_384, 8192),
    delay=0.002,
    limits={"idle_timeout": 5.0, "header_timeout": 2.0, "max_connections": 60, "requests_per_event": 4},
    observed=0.5,
    rates={"segment: cut small": 0.2, "send: fewer bytes than there is room": 0.2, "select: spurious readiness": 0.01},
    clients=(("client0", PoolClient), ("client1", MessageClient)),
    happenings=(
        *(Arrival(0.1 + n / 7, script, n) for n, script in enumerate(peers.SCRIPTS)),
        Arrival(0.5, asks_while_the_server_is_stopped, 100),
        Pause(0.7, "client1", 3.0),
        Standstill(1.5, 20.0),
        Leap(30.0, 20.0),
    ),
    end=Terminate(60.0, second=1.0),
)
