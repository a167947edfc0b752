"""Blocks of two servers, made up, so that the truth is known."""

import json
import random

from multiconn.loadtest.judge.bootstrap import FEWEST, Block
from multiconn.loadtest.measure.histogram import Histogram
from multiconn.loadtest.measure.intervals import MEASURING, Interval
from multiconn.loadtest.output.files import SUMMARY, TIMESERIES
from multiconn.loadtest.output.records import interval_record

REQUESTS = 60  # per block


def block(chance, slower=1.0, weather=1.0):
    """Some hundred requests, one after the other; `weather` is what the machine did to this block."""
    latency, seconds = Histogram(), 0.0
    for _ in range(REQUESTS):
        took = 0.005 * slower * weather * (1 + chance.expovariate(10))
        seconds += took
        latency.record(int(took * 1e9))
    return Block(seconds, REQUESTS, latency)


def pair(chance, slower, count=10, storm=0.1):
    """Blocks of two servers that took turns: each pair has its weather in common."""
    weathers = [chance.lognormvariate(0, storm) for _ in range(count)]
    return [block(chance, 1.0, w) for w in weathers], [block(chance, slower, w) for w in weathers]


def constant(seconds, replies, latency_ns, count=FEWEST):
    histogram = Histogram()
    histogram.record(latency_ns, replies)
    return [Block(seconds, replies, histogram)] * count


def saved(directory, slower=1.0, count=10, seed=0, valid=True, **run):
    """A run's directory, as `load -o` writes it."""
    chance = random.Random(seed)
    directory.mkdir()
    with (directory / TIMESERIES).open("w") as file:
        for number in range(count):
            made = block(chance, slower)
            interval = Interval(number + 1.0, made.seconds, MEASURING, replies=made.replies, response=made.latency)
            file.write(json.dumps(interval_record(interval, (50.0, 99.0))) + "\n")
    config = {"model": "closed", "rate": None, "connections": 1, "pipeline": 1, **run.pop("config", {})}
    summary = {
        "schema": "appload/1",
        "run": {"name": "tcp://h:1", "config": config, "interrupted": False, "host": {}, "versions": {}, **run},
        "verdict": {"valid": valid, "reasons": [] if valid else ["it was the limit"]},
        "rate": {"target": config["rate"], "offered": 100.0 / slower},
        "accounting": {"sent": 1000, "failed": 0},
    }
    (directory / SUMMARY).write_text(json.dumps(summary))
    return str(directory)


DRAWS = 200  # a twentieth of the usual, in a twentieth of the time
