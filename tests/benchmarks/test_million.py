"""Is the arithmetic for a million right?"""

from __future__ import annotations

from benchmarks.million import million


def test_a_million_is_the_figures_times_a_million() -> None:
    whole = million(450, 4000, accept_rate=10_000, descriptor_limit=20_032)
    assert whole.python_bytes == 450e6
    assert whole.kernel_bytes == 4e9
    assert whole.processes == 50
    assert whole.accept_seconds == 100
    assert whole.client_addresses == 36
