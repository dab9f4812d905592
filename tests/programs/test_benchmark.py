from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

from gdw_tf import experiment
from gdw_tf.data import benchmark
from gdw_tf.settings import resolve


def test_images_of_both_batches_are_counted_by_the_clock(monkeypatch):
    # A clock that goes on by half a second each time it is looked at.
    times = iter([10.0, 10.5])
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(times))
    batch, meta = (tf.zeros((3, 2)), tf.zeros(3)), (tf.zeros((2, 2)), tf.zeros(2))
    pairs = tf.data.Dataset.from_tensors((batch, meta)).repeat(benchmark.WARM_UP + 7)
    assert benchmark.images_per_second(pairs, 7) == 7 * (3 + 2) / 0.5
    with pytest.raises(StopIteration):
        benchmark.images_per_second(pairs, 8)


def test_waiting_is_the_time_until_a_pair_is_there(monkeypatch):
    # Drawing a pair takes 1 s, a step 4 s; the first of each takes far longer.
    clock = {"now": 0.0}
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: clock["now"])

    def pairs():
        for number in range(6):
            clock["now"] += 1.0 if number else 100.0
            yield number

    seen = []

    def step(pair):
        seen.append(pair)
        clock["now"] += 4.0 if pair else 100.0

    assert benchmark.share_of_waiting(pairs(), step, 5) == pytest.approx(0.2)
    assert seen == list(range(6))


@pytest.mark.parametrize("method", ["gdw", "ce"])
def test_the_step_that_is_timed_trains(method):
    settings = resolve(method=method, train_examples=100, num_meta=20)
    source = experiment.load_source(settings)
    noisy = experiment.prepare_data(settings, source)
    streams = experiment.batch_streams(settings, source, noisy, initial_epoch=0)
    model, same = (experiment.build_model(settings, source, noisy) for _ in range(2))
    step = benchmark.training_step(model, streams, len(noisy.y_train))
    for pair in tf.data.Dataset.zip(streams).take(2):
        step(pair)
    training, meta = streams
    keep = {} if method == "ce" else {"meta_data": meta}
    same.fit(training, epochs=1, steps_per_epoch=2, verbose=0, **keep)
    assert int(model.steps_taken) == 2
    for one, other in zip(model.trainable_weights, same.trainable_weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_the_program_prints_a_rate(run_program):
    finished = run_program("data.benchmark", "--steps=3", "--train_examples=100")
    assert finished.code == 0, finished.err
    assert re.fullmatch(r"[\d,]+ images a second of 8 x 8 x 1, training and meta\n", finished.out)
    finished = run_program("data.benchmark", "--steps=3", "--train_steps=2", "--train_examples=100")
    assert finished.code == 0, finished.err
    waiting = finished.out.splitlines()[1]
    assert re.fullmatch(r"[\d.]+% of the time of 2 training steps waited for data", waiting)
    assert run_program("data.benchmark", "--steps=0").code == 2
    assert run_program("data.benchmark", "--train_steps=-1").code == 2
    assert "Received: fast" in run_program("data.benchmark", "fast").err
    assert (
        "A pseudo-clean meta set is chosen in training"
        in run_program("data.benchmark", "--meta=pseudo").err
    )
