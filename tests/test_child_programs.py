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
        command = [sys.executable, "-c", CHILD, str(self.workdir.root)]
        return programs.run(command, cores, self.workdir.root.with_suffix(".log"))

    def files(self):
        return {path.name for path in self.workdir.root.iterdir()}


@pytest.fixture
def log(tmp_path):
    return tmp_path / "logs/run.log"


def program(text, log):
    return ChildPrograms().run([sys.executable, "-c", text], 3, log)


def test_what_fails_says_its_exit_code_and_last_line(log):
    assert program("", log) is None
    assert program("import sys; print('first'); sys.exit('last')", log) == "exit 1: last"
    assert program("import sys; print('one\\ntwo'); sys.exit(7)", log) == "exit 7: two"
    assert program("import sys; sys.exit(7)", log) == "exit 7: it said nothing"


def test_all_that_is_said_is_kept_one_program_after_the_other(log):
    program("import sys; print('printed'); sys.exit('wrong')", log)
    program("print('again')", log)
    assert log.read_text() == "printed\nwrong\nagain\n"


def test_a_program_takes_so_many_threads_unless_the_environment_says_how_many(log, monkeypatch):
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    threads = f"import os, sys; sys.exit(str([os.environ[n] for n in {names}]))"
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert program(threads, log) == "exit 1: ['3', '3']"
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert program(threads, log) == "exit 1: ['7', '3']"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_trainings_under_way_and_begins_no_more(number, tmp_path, capsys):
    runs = [Sleeping(tmp_path / name) for name in ("first", "second", "third")]

    def send_when_two_run():
        while not all(run.files() for run in runs[:2]):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send_when_two_run, daemon=True)
    sender.start()
    with pytest.raises(SystemExit) as end:
        train_all(runs, jobs=2)
    sender.join()
    assert end.value.code == 128 + number
    assert [run.files() for run in runs] == [{"started", "stopped"}] * 2 + [set()]
    assert f"error: stopped by {number.name}; what is complete" in capsys.readouterr().err
