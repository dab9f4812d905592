from __future__ import annotations

import numpy as np
import pytest

import gdw_tf

from .meta_loss import Experiment, softmax

pytestmark = pytest.mark.usefixtures("float64")

INDEX = np.array([3, 7, 0, 4, 1, 8])  # of 9 examples


def experiment_with_memory(**options):
    experiment = Experiment(gdw_tf.INSW, **options)
    memory = np.random.default_rng(1).normal(size=(9, 1))
    experiment.remember(memory)
    return experiment, memory


def test_the_weights_of_a_batch_are_a_softmax_of_what_is_remembered():
    experiment, memory = experiment_with_memory()

    def u(phi):
        return 6 * softmax(phi, axis=0) * experiment.d1

    step = experiment.training_step(INDEX)

    experiment.assert_meta_gradient(step, memory[INDEX], u)
    np.testing.assert_allclose(step["logit_gradient"], u(step["updated_outer"]), rtol=1e-12)


def test_every_visit_moves_an_example_and_no_other():
    experiment, memory = experiment_with_memory(outer_lr=0.9, clip=0.25)
    moved = []
    for index in (INDEX, INDEX[::-1]):
        step = experiment.training_step(index)

        g = step["meta_gradient"]
        update = np.clip(0.9 * g / np.abs(g).sum(), -0.25, 0.25)
        moved.append(np.abs(update))
        memory[index] -= update
        np.testing.assert_allclose(experiment.model.example_memory, memory, rtol=1e-12)
    assert 0 < np.mean(np.array(moved) == 0.25) < 1


def test_by_default_the_mean_step_is_a_tenth():
    experiment, memory = experiment_with_memory(clip=1e9)
    experiment.training_step(INDEX)
    moved = np.abs(experiment.model.example_memory - memory)[INDEX]
    np.testing.assert_allclose(moved.mean(), 0.1, rtol=1e-12)


def test_in_a_step_without_meta_gradient_the_weights_are_those_remembered():
    experiment, _ = experiment_with_memory(meta_every=2)
    experiment.training_step(INDEX)
    memory = experiment.model.example_memory.numpy()

    step = experiment.training_step(INDEX)

    assert step["is_measured"] == 0
    np.testing.assert_array_equal(step["updated_outer"], memory[INDEX])
    np.testing.assert_array_equal(experiment.model.example_memory, memory)
