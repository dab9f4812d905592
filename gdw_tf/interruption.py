"""What a program does when it is told to stop: by a scheduler, Ctrl-C, or a terminal's end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """The program was told to stop.

    Attributes:
        signal: by which signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = signal.Signals(number)


class Interruption:
    """A context in which a signal to stop raises `Interrupted`, at once or when it suits.

    While `deferred` is set, a first signal waits for `check`; a second one no longer does. A signal
    that was ignored before, as Ctrl-C is by a program in the background, and SIGHUP under nohup,
    stays so.

    Args:
        at_once: called, with the signal's number, in the place of raising `Interrupted` at once.
            An error that is raised wherever the program happens to be may come up within a
            library in C that does not expect one.

    Attributes:
        deferred: whether a signal waits; false at first.
    """

    def __init__(self, at_once: Callable[[int], None] | None = None) -> None:
        self._at_once = at_once or _raise
        self.deferred = False
        self._waiting: int | None = None

    def __enter__(self) -> Interruption:
        """Listens to the signals from now on; in the main thread, as Python has it."""
        heard = [one for one in SIGNALS if signal.getsignal(one) not in (signal.SIG_IGN, None)]
        self._before = {number: signal.signal(number, self._receive) for number in heard}
        return self

    def __exit__(self, *error: Any) -> None:
        """Lets the signals do what they did before."""
        self.deferred = False  # also where an error ended what set it
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def is_waiting(self) -> bool:
        """Whether a signal came that waits for `check`."""
        return self._waiting is not None

    def check(self) -> None:
        """Raises `Interrupted` if a signal waits."""
        if self._waiting is not None:
            raise Interrupted(self._waiting)

    def _receive(self, number: int, frame: Any) -> None:
        if self.deferred and self._waiting is None:
            self._waiting = number
        else:
            self._at_once(number)


def _raise(number: int) -> None:
    raise Interrupted(number)
