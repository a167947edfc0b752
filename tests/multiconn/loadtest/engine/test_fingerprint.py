"""Two runs that offer the same load have the same fingerprint, and no option that shapes the load can be forgotten."""

import itertools
from dataclasses import fields, replace

import pytest

from eventloop import parse_address
from libclient.connect import resolve
from multiconn.loadtest.config import DROP, FRAME, Config, Size
from multiconn.loadtest.engine.data_file import load_data
from multiconn.loadtest.engine.runner import Runner
from multiconn.loadtest.engine.schedule import Schedule
from multiconn.loadtest.profile import POISSON, Stage

ADDRESS = parse_address("unix:/nowhere")  # nobody connects

#: Nothing is left to chance.
CLOSED = Config(seed=1, action="echo")
OPEN = replace(CLOSED, rate=1000.0)

#: What decides which requests are meant to leave, and when; in both models.
SHAPES = {
    "requests": 50,
    "duration": 20.0,
    "warmup": 2.0,
    "stages": (Stage(1.0, 200.0),),
    "action": "confirm",
    "value": "other",
    "mix": (("echo", 1.0), ("search", 2.0)),
    "sizes": (Size(10, 20),),
    "data": None,  # a file: below
    "reconnect_every": 5,
    "idle": 3,
    "hostile": (("reset", 1),),
    "rate": 500.0,
}
#: In a closed run a connection is what a request waits for, and thinking what it waits in.
SHAPES_CLOSED = {"connections": 7, "pipeline": 3, "think": (0.1, 0.1)}
SHAPES_OPEN = {"arrival": POISSON}

#: How it is carried, whom it waits for, who watches, when it is given up.
CARRIES = {
    "timeout": 1.0, "connect_timeout": 1.0, "connect_rate": 5.0, "drain": 1.0, "interval": 0.1,
    "percentiles": (50.0,), "verify": FRAME, "reconnect_on_error": False, "source_ips": ("127.0.0.1",), "workers": 2,
    "thresholds": ("failed<1",), "abort_on": ("failed>1",), "require_valid": True, "max_in_flight": 3,
    "on_overrun": DROP, "share": (0, 1), "seed": 2,
}  # fmt: skip


def fingerprint(config):
    target = parse_address("127.0.0.1:9") if config.source_ips else ADDRESS
    runner = Runner(config, target, resolve(target))
    try:
        return runner._fingerprint()
    finally:
        runner.close()


def cases():
    for name, value in itertools.chain(SHAPES.items(), SHAPES_CLOSED.items()):
        if name != "data":
            yield pytest.param(CLOSED, name, value, True, id=f"closed-{name}")
    for name, value in itertools.chain(SHAPES.items(), SHAPES_OPEN.items()):
        if name != "data":
            yield pytest.param(OPEN, name, value, True, id=f"open-{name}")
    for name, value in CARRIES.items():
        yield pytest.param(CLOSED, name, value, False, id=f"closed-{name}")
        yield pytest.param(OPEN, name, value, False, id=f"open-{name}")
    for name in sorted(SHAPES_CLOSED.keys() - {"think"}):  # which is the closed model's alone
        yield pytest.param(OPEN, name, SHAPES_CLOSED[name], False, id=f"open-{name}")


@pytest.mark.parametrize(("config", "name", "value", "shapes"), list(cases()))
def test_what_shapes_the_load_is_in_the_fingerprint_and_nothing_else_is(config, name, value, shapes):
    assert getattr(config, name) != value or name == "share"
    assert (fingerprint(config) != fingerprint(replace(config, **{name: value}))) is shapes


def test_every_option_is_one_or_the_other():
    told = [*SHAPES, *SHAPES_CLOSED, *SHAPES_OPEN, *CARRIES]
    assert sorted(told) == sorted(field.name for field in fields(Config)), "say whether the new option shapes the load"


def test_what_the_data_file_says_is_in_it_and_its_name_is_not(tmp_path):
    prints = []
    for name, line in (("a", '{"action": "echo", "value": 1}'), ("b", '{"action": "echo", "value": 1}'),
                       ("c", '{"action": "echo", "value": 2}')):  # fmt: skip
        (tmp_path / name).write_text(line)
        prints.append(fingerprint(replace(CLOSED, data=load_data(str(tmp_path / name), None))))
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    "chancy",
    [
        replace(OPEN, arrival=POISSON),
        replace(CLOSED, think=(0.1, 0.2)),
        replace(CLOSED, mix=(("echo", 1.0), ("search", 2.0))),
        replace(OPEN, mix=(("echo", 1.0), ("search", 2.0))),
        replace(CLOSED, sizes=(Size(1, 1), Size(9, 9, 2.0))),
        replace(CLOSED, hostile=(("garbage", 1),)),
    ],
)
def test_where_something_is_left_to_chance_the_seed_is_in_it(chancy):
    assert fingerprint(chancy) != fingerprint(replace(chancy, seed=2))


def test_a_schedule_that_was_left_early_is_told_whole():
    def made(take):
        schedule = Schedule(OPEN.load, kinds=lambda: itertools.cycle(range(3)), end=2.0)
        for _ in range(take):
            schedule.take()
        schedule.run_out()
        assert schedule.next_at is None
        return schedule.sha256

    whole = made(2000)
    assert made(100) == made(1900) == whole
    cut = Schedule(OPEN.load, kinds=lambda: itertools.cycle(range(3)), end=2.0)
    assert cut.sha256 != whole  # or nothing was shown
