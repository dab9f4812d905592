from __future__ import annotations

from pathlib import Path

import pytest

from gdw_tf import cli, train_flags


@pytest.mark.parametrize("flag", [cli.OUT, train_flags.WORKDIR, train_flags.DATA_FILE])
def test_a_path_of_a_flag_may_begin_at_the_users_home(flag, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    with train_flags.flags_set([f"{flag.name}=~/there"]):
        assert Path(flag.value) == Path("/home/someone/there")
