"""What `load` is asked for is what it does, and what it can't mean is refused with one sentence."""

import argparse

import pytest

from multiconn.commands.load_options import add_arguments, config_from


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-c", "0"], "whole number from 1"),
        (["-c", "x"], "whole number from 1"),
        (["-c", "1.5"], "whole number from 1"),
        (["-n", "-5"], "-n"),
        (["-d", "10x"], "not a time"),
        (["-d", "0"], "no time at all"),
        (["-p", "0"], "whole number from 1"),
        (["--timeout", "0s"], "no time at all"),
        (["--connect-rate", "0"], "not a rate"),
        (["--percentiles", "50,101"], "percentiles"),
        (["--percentiles", "nan"], "percentiles"),
        (["--percentiles", ""], "percentiles"),
        (["--seed", "x"], "not a seed"),
        (["--ui", "curses"], "invalid choice"),
        (["127.0.0.1:1", "--find-rate", "1:2"], "--find-rate"),
        (["--stage", "10s"], "not a stage"),
        (["--stage", "x:5"], "not a time"),
        (["--mix", "search"], "not a mix"),
        (["--mix", "a=1,a=2"], "twice"),
        (["--size", "4k:1"], "smaller size first"),
        (["--size", "1g"], "not a size"),
        (["--think", "5s:1s"], "shorter time first"),
        (["--hostile", "rude=1"], "no hostile peer"),
        (["--hostile", "trickle"], "no hostile peer"),
        (["--source-ip", "localhost"], "no IP address"),
        (["--interval", "1ms"], "20ms or more"),
        (["--threshold", "latency.p99<1s"], "nothing that is measured"),
        (["--threshold", "response.p101<1s"], "nothing that is measured"),
        (["--threshold", "speed<1"], "nothing that is measured"),
        (["--threshold", "p99<1s"], "not METRIC"),
        (["--threshold", "response.p99"], "not METRIC"),
        (["--threshold", "response.p99<20"], "write its unit"),
        (["--abort-on", "error_rate>x"], "no number"),
        (["localhost"], "HOST:PORT"),
        (["127.0.0.1:0"], "port 0"),
        (["http://x:1"], "http"),
    ],
)
def test_a_bad_option_is_refused_with_one_clear_sentence(options, words, capsys):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(SystemExit) as refused:
        parser.parse_args(options)
    assert refused.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "config"),
    [
        ([], {"connections": 100, "requests": None, "duration": 10.0, "pipeline": 1, "warmup": 1.0}),
        (["-n", "2m"], {"requests": 2_000_000, "duration": None, "warmup": 0.0}),
        (["-n", "5", "-d", "2m", "--warmup", "3s"], {"requests": 5, "duration": 120.0, "warmup": 3.0}),
        (
            ["-c", "5k", "--connect-rate", "2k/s", "--seed", "9"],
            {"connections": 5000, "connect_rate": 2000.0, "seed": 9},
        ),
        (["--timeout", "250ms", "--drain", "0"], {"timeout": 0.25, "drain": 0.0}),
        (["-r", "2k", "--stage", "5s:4k", "--stage", "10s:0"], {"rate": 2000.0, "duration": 15.0}),
        (["-w", "0"], {"workers": 2}),
        (["--mix", "search=9,echo=1"], {"mix": (("search", 9.0), ("echo", 1.0))}),
        (["--action", "echo", "--size", "64:4k"], {"sizes": ((64, 4096, 1.0),)}),
        (["--action", "echo", "--size", "64=9,4k=1"], {"sizes": ((64, 64, 9.0), (4096, 4096, 1.0))}),
        (["--think", "1ms:2ms"], {"think": (0.001, 0.002)}),
        (["--hostile", "reset=2", "--hostile", "garbage=1"], {"hostile": (("reset", 2), ("garbage", 1))}),
        (["--no-reconnect-on-error"], {"reconnect_on_error": False}),
    ],
)
def test_options_and_defaults_mean_what_load_md_says(options, config):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    made = config_from(parser.parse_args(options), 2)
    assert {name: getattr(made, name) for name in config} == config


@pytest.mark.parametrize(
    ("options", "workers"),
    [
        (["-w", "0"], 8),
        (["-w", "0", "-c", "3"], 3),
        (["-w", "0", "-n", "2"], 2),
        (["-w", "0", "--stage", "1s:5"], 5),
        (["-w", "0", "-r", "5", "--max-in-flight", "4"], 4),
        (["-w", "0", "-r", "5", "--stage", "1s:1"], 8),
    ],
)
def test_a_process_per_core_is_never_more_than_can_have_something_to_do(options, workers):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert config_from(parser.parse_args(options), 8).workers == workers
