from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf
from gdw_tf.methods.forward import anchor_answers


@pytest.mark.parametrize("count", [2, 24, 101, 1000])
def test_an_anchor_is_the_most_certain_example_below_the_outliers(count):
    """The 97th percentile of N numbers, one of them, is the one of rank 0.97 (N - 1), up."""
    p = np.random.default_rng(count).dirichlet(np.ones(4), size=count)
    expected = []
    for label in range(4):
        order = sorted(range(count), key=lambda example, label=label: p[example, label])
        percentile = int(np.ceil(0.97 * (count - 1)))
        expected.append(p[order[percentile - 1]])
    np.testing.assert_array_equal(anchor_answers(p), expected)


def test_outliers_do_not_count():
    p = np.full((100, 2), [0.2, 0.8])
    p[:3] = [1.0, 0.0]  # three of a hundred
    p[3] = [0.9, 0.1]
    np.testing.assert_array_equal(anchor_answers(p)[0], [0.9, 0.1])


def test_equal_answers_are_the_anchor_themselves():
    p = np.full((10, 2), [0.3, 0.7])
    np.testing.assert_array_equal(anchor_answers(p), [[0.3, 0.7], [0.3, 0.7]])


def test_a_network_that_knows_the_noise_tells_the_matrix():
    """The inputs are the probabilities of the classes, of which many are close to certain."""
    matrix = np.array([[0.6, 0.4, 0.0], [0.1, 0.8, 0.1], [0.25, 0.0, 0.75]])
    classes = np.random.default_rng(0).dirichlet(np.full(3, 0.1), size=600).astype(np.float32)

    class Noisy(keras.Model):
        def call(self, inputs):
            return keras.ops.log(keras.ops.matmul(inputs, matrix.astype("float32")) + 1e-12)

    model = gdw_tf.ForwardCorrection(Noisy())
    data = tf.data.Dataset.from_tensor_slices((classes, np.zeros(600, int))).batch(50)
    estimate = model.estimated_transitions(data, None)
    np.testing.assert_allclose(estimate, matrix, atol=1e-3)
