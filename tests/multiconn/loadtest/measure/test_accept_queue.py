"""Are connections that found an accept queue full told from those that were slow?"""

import pytest

from multiconn.loadtest.measure.accept_queue import listen_overflows, retried
from multiconn.loadtest.measure.histogram import Histogram

NETSTAT = """\
TcpExt: SyncookiesSent ListenOverflows ListenDrops
TcpExt: 0 17 19
IpExt: InNoRoutes ListenOverflows
IpExt: 5 6
"""


def histogram(*milliseconds):
    made = Histogram()
    for time in milliseconds:
        made.record(int(time * 1e6))
    return made


def test_the_kernels_count_is_read(tmp_path):
    (tmp_path / "netstat").write_text(NETSTAT)
    assert listen_overflows(tmp_path / "netstat") == 17


@pytest.mark.parametrize(
    "text", ["", "TcpExt: a b\n", "TcpExt: a b\nTcpExt: 1 2\n", "TcpExt: ListenOverflows\nTcpExt:\n"]
)
def test_what_the_system_does_not_tell_is_unknown(tmp_path, text):
    (tmp_path / "netstat").write_text(text)
    assert listen_overflows(tmp_path / "netstat") is None
    assert listen_overflows(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("connect", "number"),
    [
        ((), 0),
        ((0.2, 5.0, 300.0, 999.0), 0),
        ((0.2, 1000.4, 1033.0), 2),
        ((1016.0, 2031.0, 3033.0, 7060.0), 4),
        ((0.2, 1500.0), 0),
        ((1016.0, 1200.0, 1300.0, 1700.0), 0),  # any time: they are slow
        ((1016.0, 1033.0, 1300.0), 2),
    ],
)
def test_connections_that_waited_for_a_second_syn_are_counted(connect, number):
    assert retried(histogram(*connect)) == number
