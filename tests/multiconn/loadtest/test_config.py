"""What was asked for, in numbers."""

import pytest

from multiconn.loadtest.config import Config, Data
from multiconn.loadtest.profile import Stage


def test_a_worker_s_parts_are_the_whole():
    config = Config(connections=10, requests=101, max_in_flight=7, idle=3, hostile=(("reset", 5),), connect_rate=900)
    parts = [config.part(index, 3) for index in range(3)]
    for name in ("connections", "requests", "max_in_flight", "idle"):
        assert sum(getattr(part, name) for part in parts) == getattr(config, name)
    assert sum(part.hostile[0][1] for part in parts) == 5
    assert sum(part.connect_rate for part in parts) == pytest.approx(900)


def test_what_judges_all_workers_together_is_the_parent_s():
    assert Config(abort_on=("failed>1",)).part(0, 2).abort_on == ()


def test_the_sockets_are_all_that_there_may_be_at_a_time():
    closed = Config(connections=10, idle=3, hostile=(("reset", 2), ("garbage", 1)), stages=(Stage(1.0, 40.0),))
    assert (closed.model, closed.most_connections, closed.sockets) == ("closed", 40, 46)
    rated = Config(connections=10, rate=500.0, stages=(Stage(1.0, 4000.0),), pipeline=3)
    assert (rated.model, rated.most_connections) == ("open", 10)
    assert rated.load.at(99.0) == 4000.0


def test_the_summary_has_every_option_by_name_and_a_data_file_s_name_alone():
    told = Config(data=Data("requests", b"{}"), percentiles=(50.0,)).as_dict()
    assert (told["model"], told["data"], told["percentiles"]) == ("closed", "requests", [50.0])
    assert "share" not in told
