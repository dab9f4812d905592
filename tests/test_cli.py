from __future__ import annotations

from pathlib import Path

import pytest
from absl import flags

from gdw_tf import cli, train_flags


@pytest.mark.parametrize("flag", [cli.OUT, train_flags.WORKDIR, train_flags.DATA_FILE])
def test_a_path_of_a_flag_may_begin_at_the_users_home(flag, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    with train_flags.flags_set([f"{flag.name}=~/there"]):
        assert Path(flag.value) == Path("/home/someone/there")


@pytest.mark.parametrize("path", [" there", "there "])
def test_a_path_that_a_flag_file_would_not_keep_is_refused(path):
    with (
        pytest.raises(flags.IllegalFlagValueError),
        train_flags.flags_set([f"{cli.OUT.name}={path}"]),
    ):
        pass
