from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import gdw_tf
from gdw_tf.methods.soft_label import nearest_labels

from .meta_loss import CLASSES, Experiment

pytestmark = pytest.mark.usefixtures("float64")

INDEX = np.array([3, 7, 0, 4, 1, 8])  # of 9 examples


def nearest(point):
    """max(point - t, 0) of sum one, t by bisection."""
    low, high = point.min() - 1, point.max()
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(point - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(point - low, 0)


def experiment_with_memory(**options):
    """An experiment that has moved its labels before."""
    experiment = Experiment(gdw_tf.SoftLabel, **options)
    q = np.random.default_rng(1).dirichlet(np.ones(CLASSES), size=9)
    memory = np.zeros((9, CLASSES))
    memory[INDEX] = q[INDEX] - experiment.one_hot
    experiment.remember(memory)
    return experiment, q


def test_the_meta_gradient_is_the_slope_of_the_meta_loss_along_the_labels():
    experiment, q = experiment_with_memory()

    step = experiment.training_step(INDEX)

    experiment.assert_meta_gradient(step, q[INDEX], lambda labels: experiment.p - labels)
    np.testing.assert_allclose(
        step["logit_gradient"], experiment.p - step["updated_outer"], rtol=1e-12
    )


def test_every_visit_moves_the_label_of_an_example_and_no_other():
    experiment, q = experiment_with_memory(outer_lr=9.0, clip=0.7)
    memory = experiment.model.example_memory.numpy()
    for _ in range(2):
        step = experiment.training_step(INDEX)

        g = step["meta_gradient"]
        points = q[INDEX] - np.clip(9.0 * g / np.abs(g).sum(), -0.7, 0.7)
        q[INDEX] = [nearest(point) for point in points]
        memory[INDEX] = q[INDEX] - experiment.one_hot
        np.testing.assert_allclose(step["updated_outer"], q[INDEX], atol=1e-12)
        np.testing.assert_allclose(step["given_label"], q[INDEX, experiment.labels], atol=1e-12)
        np.testing.assert_allclose(experiment.model.example_memory, memory, atol=1e-12)
    assert 0 < np.mean(q[INDEX] == 0) < 1


def test_at_the_start_the_labels_are_those_given():
    experiment, _ = experiment_with_memory()
    experiment.remember(np.zeros((9, CLASSES)))
    np.testing.assert_array_equal(experiment.training_step(INDEX)["outer"], experiment.one_hot)


def test_points_are_put_to_the_nearest_labels():
    generator = np.random.default_rng(0)
    points = generator.normal(size=(200, 5)) * generator.choice([0.1, 1.0, 30.0], (200, 1))
    labels = nearest_labels(tf.constant(points)).numpy()
    np.testing.assert_allclose(labels, [nearest(point) for point in points], atol=1e-12)


@pytest.mark.parametrize("label", [[1.0, 0.0, 0.0], [0.2, 0.3, 0.5], [1 / 3, 1 / 3, 1 / 3]])
def test_what_is_a_label_stays_and_what_all_classes_share_is_undone(label):
    points = tf.constant(np.add(label, [[0.0], [7.0], [-0.4]]))
    np.testing.assert_allclose(nearest_labels(points), [label] * 3, atol=1e-12)
