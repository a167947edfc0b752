"""What the server takes of this machine is told by the kernel, and only where it can be known."""

import os
import socket

import pytest

from eventloop import Endpoint, parse_address
from libclient.connect import resolve
from multiconn.loadtest.measure.intervals import DRAINING, MEASURING, WARMUP, Interval
from multiconn.loadtest.measure.server_cpu_monitor import ServerCpuMonitor, is_local, usable_cores


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        (Endpoint(socket.AF_UNIX, "/s"), True),
        (Endpoint(socket.AF_INET, ("127.0.0.1", 1)), True),
        (Endpoint(socket.AF_INET, ("127.9.9.9", 1)), True),
        (Endpoint(socket.AF_INET6, ("::1", 1, 0, 0)), True),
        (Endpoint(socket.AF_INET, ("192.0.2.1", 1)), False),
        (Endpoint(socket.AF_INET6, ("fe80::1%eth0", 1, 0, 2)), False),
    ],
)
def test_loopback_and_unix_sockets_are_this_machine(endpoint, local):
    assert is_local(endpoint) is local


def test_the_name_localhost_is_this_machine():
    assert all(is_local(endpoint) for endpoint in resolve(parse_address("localhost:1")))


def test_the_cores_are_those_that_this_process_may_use():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_the_measured_window_alone_counts(tmp_path):
    (tmp_path / "7").mkdir()
    stat = tmp_path / "7" / "schedstat"

    def ran(seconds):
        stat.write_text(f"{int(seconds * 1e9)} 5 6\n")

    ran(10.0)
    monitor = ServerCpuMonitor(7, tmp_path)
    assert monitor.cpu is None
    told = ((WARMUP, 2.0, 12.0), (MEASURING, 1.0, 12.5), (MEASURING, 3.0, 13.5), (DRAINING, 1.0, 14.5))
    for phase, seconds, now in told:
        ran(now)
        monitor.interval(Interval(0.0, seconds, phase))
    assert monitor.cpu == pytest.approx(1.5 / 4.0)


def test_a_server_that_has_ended_counts_for_nothing_from_then_on(tmp_path):
    monitor = ServerCpuMonitor(8, tmp_path)
    monitor.interval(Interval(0.0, 1.0, MEASURING))
    assert monitor.cpu is None


def test_a_real_process_is_seen(tmp_path):
    monitor = ServerCpuMonitor(os.getpid())
    if monitor._last is None:
        pytest.skip("this system does not tell a process's time in schedstat")
    before = monitor._last
    while sum(range(1000)) and monitor._ran() - before < 0.02:
        pass
    monitor.interval(Interval(0.0, 0.1, MEASURING))
    assert monitor.cpu >= 0.2
