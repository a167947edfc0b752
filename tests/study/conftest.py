"""A recorder on a bench, for each test that asks for one."""

from __future__ import annotations

import pytest

from tests.study.bench import Bench


@pytest.fixture
def bench():
    it = Bench()
    yield it
    it.close()
