"""Several replicas take the steps of one: `two_replicas.py`, run in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .two_replicas import CASES


@pytest.fixture(scope="module")
def results():
    finished = subprocess.run(
        [sys.executable, "-m", "tests.methods.two_replicas"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


def test_twenty_steps_give_the_same_weights(results):
    assert results["float32"] < 1e-5


@pytest.mark.parametrize("method", CASES)
def test_in_double_precision_nothing_differs_but_the_order_of_sums(method, results):
    assert results[method]["moved"] > 0.01
    assert results[method]["weights"] < 1e-12
    assert results[method]["logs"] < 1e-6  # metrics are float32


def test_batches_that_no_number_of_replicas_divides_count_by_example(results):
    assert results["uneven"] < 1e-12


def test_synchronised_batch_normalisation_has_the_statistics_of_the_global_batch(results):
    assert results["synchronized"] < 1e-12


def test_float16_gradients_that_overflow_on_one_replica_are_skipped_on_all(results):
    assert results["float16"] == [True, 0.5]


def test_a_step_that_one_replica_spoils_is_skipped_on_all(results):
    assert results["skipped"] == {"replicas differ by": 0.0, "changed by": 0.0, "steps": [2, 1]}


def test_steps_of_two_kinds_are_refused(results):
    for start, error in zip(("fine_tune", "meta_every=2"), results["refused"][:2], strict=True):
        assert error.startswith(f"{start} works on one replica")
        assert "a strategy of 2 replicas" in error


@pytest.mark.parametrize("kind", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_gradients_are_clipped_as_those_of_the_global_batch(kind, results):
    assert results["clipped"][kind] < 1e-12


def test_clipping_what_each_replica_accumulates_is_refused(results):
    assert "gradient_accumulation_steps=2 and clipping, and 2 replicas" in results["refused"][-1]


def test_the_targets_of_early_learning_are_the_same_on_all_replicas(results):
    assert results["targets moved"] > 0.4  # two visits to every example
    assert len(results["targets"]) == 3 and max(results["targets"]) < 1e-12


def test_a_step_sums_three_times_as_many_numbers_as_the_classifier_has(results):
    large = [size for size in results["sums"] if size > 10]
    # The virtual gradient, its derivative and the actual gradient; beside them the weight net's.
    expected = 3 * [results["classifier_weights"]] + [results["outer_weights"]]
    assert sorted(large) == sorted(expected)
