"""How a training ends before its time, and what it says then: signals, lost workers, the machine.

Each is one line on stderr that names what is kept, and an exit code: 128 and the signal's number,
or 1.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Iterator

import tensorflow as tf

from gdw_tf import cli, data, failures, strategies, train_flags
from gdw_tf.interruption import Interrupted, Interruption
from gdw_tf.workdir import Workdir


@contextlib.contextmanager
def interruptible(workdir: Workdir) -> Iterator[Interruption]:
    """Ends the program with a line on how to go on where it is told to stop, and exit code 128+."""
    try:
        with Interruption(lambda number: _leave(number, workdir)) as interruption:
            yield interruption
    except Interrupted as stop:
        _say_how_to_go_on(stop.signal, workdir)
        sys.exit(128 + stop.signal)


def _leave(number: int, workdir: Workdir) -> None:
    """Ends the program where it is: there is nothing to save, or a second signal insists."""
    try:  # a signal may come while the program writes to what is gone or busy
        _say_how_to_go_on(signal.Signals(number), workdir)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(128 + number)


def _say_how_to_go_on(by: signal.Signals, workdir: Workdir) -> None:
    again = ["python", "-m", "gdw_tf.train", *sys.argv[1:]]
    if train_flags.WORKDIR.value is None:
        again.append(f"--workdir={workdir.root}")
    if not train_flags.RESUME.value:
        again.append("--resume")
    print(
        f"stopped by {by.name}; {_kept(workdir)}; go on with: {shlex.join(again)}",
        file=sys.stderr,
    )


@contextlib.contextmanager
def machine_failures(workdir: Workdir, source: data.Source) -> Iterator[None]:
    """Ends the program with one line where the machine, or an image file, fails the training."""
    with cli.machine_failures(
        lambda error: failures.reason(error) or data.failure_of_images(error, source),
        lambda: f"Training stopped; {_kept(workdir)}.",
    ):
        yield


@contextlib.contextmanager
def lost_worker_named(workdir: Workdir) -> Iterator[None]:
    """Ends the program with one line where another worker has ended."""
    try:
        yield
    except strategies.LOST_WORKER as error:
        if train_flags.STRATEGY.value != "multi_worker":
            raise
        reason = next((line for line in error.message.splitlines() if "ollective" in line), "")
        if isinstance(error, tf.errors.InternalError) and not reason:
            raise  # of this worker alone
        cli.fail(
            f"Another worker is lost ({type(error).__name__}: {reason[:200]}). Training stopped; "
            f"{_kept(workdir)}; start all workers again with --resume.",
            code=1,
        )


def _kept(workdir: Workdir) -> str:
    """Says what a training that stopped has kept."""
    latest = workdir.checkpoints.last_saved()
    return f"the last good checkpoint is {latest.path}" if latest else "none was saved yet"
