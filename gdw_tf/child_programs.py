"""Programs that a program starts, several at a time, and that end when it is told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path


class ChildPrograms:
    """Runs programs, from any thread, until it is told to stop.

    They are in sessions of their own: what a terminal sends to all of its programs (Ctrl-C) reaches
    them through `stop` alone, once.

    Attributes:
        stopped_by: the signal that `stop` was called with; `None` before.
    """

    def __init__(self) -> None:
        self.stopped_by: int | None = None
        self._running: set[subprocess.Popen[bytes]] = set()
        # stop() may be called by a signal's handler, which a second signal can interrupt.
        self._lock = threading.RLock()

    def run(self, command: Sequence[str], cores: int, log: Path) -> str | None:
        """Runs a program to its end.

        Args:
            command: the program and its arguments.
            cores: how many threads TensorFlow and NumPy take there, where the environment does not
                say so.
            log: the file at whose end all that it says is written, as it says it.

        Returns:
            Where it failed its exit code and the last line that it said, else `None`.
        """
        threads = {"TF_NUM_INTRAOP_THREADS": str(cores), "OMP_NUM_THREADS": str(cores)}
        # Unbuffered, what is printed and what goes wrong stand in the log in their order.
        environment = threads | os.environ | {"PYTHONUNBUFFERED": "1"}
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            start = output.tell()
            with self._lock:
                if self.stopped_by is not None:
                    return "not begun"
                process = subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self._running.add(process)
            process.wait()
        with self._lock:
            self._running.remove(process)
        if process.returncode == 0:
            return None
        said = log.read_bytes()[start:].decode(errors="replace").strip().splitlines()
        return f"exit {process.returncode}: {said[-1] if said else 'it said nothing'}"

    def stop(self, number: int) -> None:
        """Tells all programs to stop, and starts no more.

        Args:
            number: the signal that says so; they get SIGTERM.
        """
        with self._lock:
            self.stopped_by = number
            for process in self._running:
                process.send_signal(signal.SIGTERM)
