import os

import pytest

from emokit.whole import whole


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    with whole(path) as beside:
        beside.write_text("first")
        assert beside.suffix == ".csv" and not path.exists()
    with pytest.raises(KeyboardInterrupt), whole(path) as beside:
        beside.write_text("sec")
        raise KeyboardInterrupt
    assert path.read_text() == "first" and os.listdir(tmp_path) == ["table.csv"]
