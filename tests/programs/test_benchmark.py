from __future__ import annotations

import re

import pytest
import tensorflow as tf

from gdw_tf.data import benchmark


def test_images_of_both_batches_are_counted_by_the_clock(monkeypatch):
    # A clock that goes on by half a second each time it is looked at.
    times = iter([10.0, 10.5])
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(times))
    batch, meta = (tf.zeros((3, 2)), tf.zeros(3)), (tf.zeros((2, 2)), tf.zeros(2))
    pairs = tf.data.Dataset.from_tensors((batch, meta)).repeat(benchmark.WARM_UP + 7)
    assert benchmark.images_per_second(pairs, 7) == 7 * (3 + 2) / 0.5
    with pytest.raises(StopIteration):
        benchmark.images_per_second(pairs, 8)


def test_the_program_prints_a_rate(run_program):
    finished = run_program("data.benchmark", "--steps=3", "--train_examples=100")
    assert finished.code == 0, finished.err
    assert re.fullmatch(r"[\d,]+ images a second of 8 x 8 x 1, training and meta\n", finished.out)
    assert run_program("data.benchmark", "--steps=0").code == 2
    assert "Received: fast" in run_program("data.benchmark", "fast").err
    assert "No meta set is chosen yet" in run_program("data.benchmark", "--meta=pseudo").err
