"""A soak watches the server through /proc."""

import sys

import pytest

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a soak watches the server through /proc")
