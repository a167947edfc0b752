"""What do the words of the command line stand for?"""

from __future__ import annotations

import pytest

from eventloop import Address
from libserver import ServerLimits
from multiconn.commands.server_options import addresses_of, build_parser


@pytest.mark.parametrize("level", ["INFO", "Info", "info"])
def test_a_log_level_may_be_written_in_any_case(level: str) -> None:
    assert build_parser().parse_args(["--log-level", level, "--log-format", "JSON"]).log_level == "info"
    assert build_parser().parse_args(["--log-format", "JSON"]).log_format == "json"


def test_without_arguments_the_tutorials_address_is_listened_on() -> None:
    assert addresses_of(build_parser().parse_args([])) == [Address("tcp", "127.0.0.1", 65432)]


@pytest.mark.parametrize(
    ("arguments", "addresses"),
    [
        (["0.0.0.0"], ["tcp://0.0.0.0:65432"]),
        (["localhost", "1"], ["tcp://localhost:1"]),
        (["::1", "1"], ["tcp://[::1]:1"]),
        (["[::]", "1"], ["tcp://[::]:1"]),
        (["::1"], ["tcp://[::1]:65432"]),
        (["127.0.0.1:1"], ["tcp://127.0.0.1:1"]),
        (["localhost:0"], ["tcp://localhost:0"]),
        (["[::1]:1"], ["tcp://[::1]:1"]),
        (["tcp://h:1"], ["tcp://h:1"]),
        (["unix:/s"], ["unix:/s"]),
        (["h:1", "--listen", "echo://h:2"], ["tcp://h:1", "echo://h:2"]),
        (["--unix", "/s"], ["unix:/s"]),
        (["--unix", "unix:/s", "--unix", "t"], ["unix:/s", "unix:t"]),
        (["--listen", "1.2.3.4:5"], ["tcp://1.2.3.4:5"]),
        (["h", "1", "--listen", "echo://h:2", "--unix", "/s"], ["tcp://h:1", "echo://h:2", "unix:/s"]),
    ],
)
def test_host_and_port_are_listened_on_if_given_or_if_nothing_else_is(
    arguments: list[str], addresses: list[str]
) -> None:
    assert [str(address) for address in addresses_of(build_parser().parse_args(arguments))] == addresses


def test_the_options_are_the_limits_and_their_defaults_too() -> None:
    arguments = build_parser().parse_args([])
    limits = {name: getattr(arguments, name) for name in ServerLimits.__dataclass_fields__}
    assert ServerLimits(**limits) == ServerLimits()
    assert (arguments.max_header, arguments.max_content) == (65535, 64 * 1024 * 1024)


def test_sizes_times_and_switches_mean_what_the_contract_says() -> None:
    sizes = ["--max-content", "1m", "--max-header", "1k", "--write-high", "1g"]
    times = ["--idle-timeout", "5m", "--drain-timeout", "250ms", "--send-timeout", "1.5", "--tcp-keepalive", "1h"]
    others = ["--max-connections", "5", "--backlog", "7", "--nagle", "--reuse-port"]
    arguments = build_parser().parse_args([*sizes, *times, *others])
    assert arguments.max_content == 1024**2
    assert arguments.max_header == 1024
    assert arguments.idle_timeout == 300
    assert arguments.drain_timeout == 0.25
    assert arguments.send_timeout == 1.5
    assert arguments.write_high == 1024**3
    assert (arguments.max_connections, arguments.backlog) == (5, 7)
    assert arguments.nagle is True
    assert arguments.reuse_port is True
    assert arguments.tcp_keepalive == 3600


@pytest.mark.parametrize(
    ("option", "text", "value", "default"),
    [
        ("--max-connections-per-ip", "20", 20, 0),
        ("--header-timeout", "1.5m", 90.0, 10.0),
        ("--content-timeout", "500ms", 0.5, 60.0),
        ("--min-data-rate", "1k", 1024, 240),
        ("--idle-timeout", "2h", 7200.0, 300.0),
        ("--send-timeout", "7", 7.0, 60.0),
        ("--write-high", "1m", 1024**2, 256 * 1024),
        ("--write-low", "1k", 1024, 64 * 1024),
        ("--output-limit", "1g", 1024**3, 128 * 1024**2),
        ("--requests-per-event", "64", 64, 1024),
    ],
)
def test_each_limit_is_an_option_with_its_unit_and_its_default(
    option: str, text: str, value: float, default: float
) -> None:
    name = option.removeprefix("--").replace("-", "_")
    assert getattr(build_parser().parse_args([option, text]), name) == value
    assert getattr(build_parser().parse_args([]), name) == default
    assert ServerLimits(**{name: value})


@pytest.mark.parametrize(
    "option",
    [
        "--max-connections-per-ip",
        "--header-timeout",
        "--content-timeout",
        "--min-data-rate",
        "--idle-timeout",
        "--send-timeout",
        "--write-low",
        "--output-limit",
        "--drain-timeout",
        "--tcp-keepalive",
    ],
)
def test_zero_is_accepted_where_a_limit_may_be_off(option: str) -> None:
    name = option.removeprefix("--").replace("-", "_")
    assert getattr(build_parser().parse_args([option, "0"]), name) == 0
    assert getattr(ServerLimits(**{name: 0}), name) == 0
