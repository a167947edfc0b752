"""Is a mistake made where it is meant, and is one that can't be made an error?"""

from __future__ import annotations

import pytest

from suites.detection.registry import replace


def test_a_mistake_whose_place_has_gone_is_not_taken_for_made() -> None:
    with pytest.raises(LookupError, match="mend the variant"):
        replace(lambda: None, lambda: None)
