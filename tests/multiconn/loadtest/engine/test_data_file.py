"""A data file is read once, and what can't be read is one sentence."""

import pytest

from multiconn.loadtest.engine.data_file import BadData, load_data


def test_a_data_file_that_is_not_there_or_too_large_is_refused(tmp_path):
    with pytest.raises(BadData, match="check the name"):
        load_data(str(tmp_path / "none"), None)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(BadData, match="larger than 64 MB"):
        load_data(str(tmp_path / "large"), None)
