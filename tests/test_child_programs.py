from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from gdw_tf.child_programs import ChildPrograms
from gdw_tf.comparison import train_all

CHILD = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])

def stop(number, frame):
    (folder / "stopped").touch()
    sys.exit(128 + number)

signal.signal(signal.SIGTERM, stop)
(folder / "started").touch()
time.sleep(60)
"""


class Sleeping:
    """A run that takes a minute, and leaves files when it starts and when it is told to stop."""

    is_complete = False

    def __init__(self, folder):
        folder.mkdir()
        self.workdir = SimpleNamespace(root=folder)

    def train(self, programs, cores):
        return programs.run([sys.executable, "-c", CHILD, str(self.workdir.root)], cores)

    def files(self):
        return {path.name for path in self.workdir.root.iterdir()}


def program(text):
    return ChildPrograms().run([sys.executable, "-c", text], 3)


def test_what_fails_says_its_exit_code_and_last_line():
    assert program("") is None
    assert program("import sys; print('first'); sys.exit('last')") == "exit 1: last"
    assert program("import sys; print('one\\ntwo'); sys.exit(7)") == "exit 7: two"
    assert program("import sys; sys.exit(7)") == "exit 7: it said nothing"


def test_a_program_takes_so_many_threads():
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    assert program(f"import os, sys; sys.exit(str([os.environ[n] for n in {names}]))") == (
        "exit 1: ['3', '3']"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_trainings_under_way_and_begins_no_more(number, tmp_path, capsys):
    runs = [Sleeping(tmp_path / name) for name in ("first", "second", "third")]

    def send_when_two_run():
        while not all(run.files() for run in runs[:2]):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send_when_two_run)
    sender.start()
    with pytest.raises(SystemExit) as end:
        train_all(runs, jobs=2)
    sender.join()
    assert end.value.code == 128 + number
    assert [run.files() for run in runs] == [{"started", "stopped"}] * 2 + [set()]
    assert f"error: stopped by {number.name}; what is complete" in capsys.readouterr().err
