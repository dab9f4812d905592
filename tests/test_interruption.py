from __future__ import annotations

import os
import signal

import pytest

from gdw_tf.interruption import Interrupted, Interruption


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_raises_at_once_where_nothing_is_deferred(number):
    with Interruption(), pytest.raises(Interrupted) as stop:
        send(number)
    assert stop.value.signal == number


def test_the_end_of_a_terminal_stops_a_program_that_it_would_have_ended():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a test run under nohup ignores it
    try:
        with Interruption(), pytest.raises(Interrupted) as stop:
            send(signal.SIGHUP)
        assert stop.value.signal == signal.SIGHUP
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with Interruption():
            send(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_deferred_signal_waits_to_be_asked_for():
    with Interruption() as interruption:
        interruption.check()
        interruption.deferred = True
        send(signal.SIGTERM)
        assert interruption.is_waiting
        with pytest.raises(Interrupted):
            interruption.check()


def test_a_second_signal_does_not_wait():
    with Interruption() as interruption:
        interruption.deferred = True
        send(signal.SIGTERM)
        with pytest.raises(Interrupted) as stop:
            send(signal.SIGINT)
    assert stop.value.signal == signal.SIGINT


def test_afterwards_the_signals_do_what_they_did_before():
    before = signal.getsignal(signal.SIGTERM)
    with Interruption():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_that_was_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption():
            send(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
