"""Is the server that is asked for the one that starts?"""

from __future__ import annotations

import pytest

from suites.detection.broken import main


def test_an_unknown_variant_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-variant"]) == 2
    assert "--list" in capsys.readouterr().err
