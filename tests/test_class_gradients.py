from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from gdw_tf.class_gradients import (
    bounded_weights,
    class_gradients,
    class_level_update,
    zero_mean_weights,
)


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def unsure_batch() -> tuple[np.ndarray, np.ndarray]:
    """Logits (6, 4) with every probability well below 0.999, and labels."""
    generator = np.random.default_rng(0)
    return generator.normal(size=(6, 4)), generator.integers(4, size=6)


# The first example is sure and right, the second sure and wrong, the third unsure.
SURE_LOGITS = np.array([[12.0, 1.0, 0.0], [12.0, 1.0, 0.0], [0.3, -0.2, 0.1]])
SURE_LABELS = np.array([0, 1, 2])


def gradients_of(logits, labels, dtype="float64"):
    one_hot = np.eye(logits.shape[1])[labels]
    return class_gradients(tf.constant(logits, dtype), tf.constant(one_hot, dtype))


def test_gradient_is_that_of_each_examples_cross_entropy_on_its_logits():
    logits, labels = unsure_batch()
    rows = np.arange(len(labels))

    def cross_entropy(logits: np.ndarray) -> np.ndarray:
        return np.log(np.exp(logits).sum(axis=1)) - logits[rows, labels]

    slopes = np.empty_like(logits)
    for column in range(logits.shape[1]):
        shift = np.zeros(logits.shape[1])
        shift[column] = 1e-5
        slopes[:, column] = (cross_entropy(logits + shift) - cross_entropy(logits - shift)) / 2e-5

    gradients = gradients_of(logits, labels)

    np.testing.assert_allclose(gradients.gradient, slopes, atol=1e-9)
    np.testing.assert_allclose(gradients.loss[:, 0], cross_entropy(logits), rtol=1e-13)
    np.testing.assert_allclose(gradients.probabilities, softmax(logits), rtol=1e-13)
    np.testing.assert_array_equal(gradients.labels, np.eye(4)[labels])


def test_no_probability_is_above_0_999_and_the_others_stay():
    gradients = gradients_of(SURE_LOGITS, SURE_LABELS)

    probabilities = softmax(SURE_LOGITS)
    assert probabilities[0, 0] > 0.999
    probabilities[:2, 0] = 0.999
    np.testing.assert_allclose(gradients.probabilities, probabilities, rtol=1e-13)
    np.testing.assert_allclose(gradients.gradient, probabilities - np.eye(3), rtol=1e-13)


def test_cross_entropy_knows_no_largest_probability():
    gradients = gradients_of(SURE_LOGITS, SURE_LABELS)

    expected = -np.log(softmax(SURE_LOGITS)[np.arange(3), SURE_LABELS])
    np.testing.assert_allclose(gradients.loss[:, 0], expected, rtol=1e-10)


def test_enormous_logits_give_finite_numbers():
    gradients = gradients_of(np.array([[1e4, 0.0], [1e4, 0.0]]), np.array([0, 1]), "float32")

    np.testing.assert_allclose(gradients.loss, [[0.0], [1e4]])
    np.testing.assert_allclose(gradients.gradient, [[-0.001, 0.0], [0.999, -1.0]], rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shapes_and_dtype_are_those_of_the_logits(dtype):
    gradients = gradients_of(*unsure_batch(), dtype)

    assert {name: field.shape for name, field in gradients._asdict().items()} == {
        "labels": (6, 4),
        "probabilities": (6, 4),
        "gradient": (6, 4),
        "loss": (6, 1),
    }
    assert {field.dtype.name for field in gradients} == {dtype}


def constrained(weights, logits, labels):
    gradients = gradients_of(logits, labels)
    answer = zero_mean_weights(tf.constant(weights), gradients.probabilities, gradients.labels)
    return answer.numpy(), gradients.gradient.numpy()


def test_constrained_weights_make_the_weighted_gradient_sum_to_zero():
    logits, labels = unsure_batch()
    weights = np.random.default_rng(1).uniform(0.1, 2.0, logits.shape)

    answer, gradient = constrained(weights, logits, labels)

    assert np.abs((weights * gradient).sum(axis=1)).min() > 1e-3
    np.testing.assert_allclose((answer * gradient).sum(axis=1), 0.0, atol=1e-15)


def test_the_constraint_changes_the_weight_of_the_target_alone():
    logits, labels = unsure_batch()
    weights = np.random.default_rng(2).uniform(0.1, 2.0, logits.shape)

    answer, _ = constrained(weights, logits, labels)

    is_target = np.eye(4, dtype=bool)[labels]
    np.testing.assert_array_equal(answer[~is_target], weights[~is_target])
    assert (answer[is_target] != weights[is_target]).all()


def test_the_weight_of_the_target_by_hand():
    # p = (1/2, 1/4, 1/4), target 0: (4 * 1/4 + 2 * 1/4) / (1/2) = 3
    answer, _ = constrained(np.array([[9.0, 4.0, 2.0]]), np.log([[2.0, 1.0, 1.0]]), np.array([0]))

    np.testing.assert_allclose(answer, [[3.0, 4.0, 2.0]], rtol=1e-14)


def test_the_constraint_takes_the_probabilities_at_most_0_999():
    weights = np.random.default_rng(3).uniform(0.1, 2.0, SURE_LOGITS.shape)

    answer, _ = constrained(weights, SURE_LOGITS, SURE_LABELS)

    p = softmax(SURE_LOGITS)
    right = (weights[0, 1] * p[0, 1] + weights[0, 2] * p[0, 2]) / (1 - 0.999)
    wrong = (weights[1, 0] * 0.999 + weights[1, 2] * p[1, 2]) / (1 - p[1, 1])
    np.testing.assert_allclose(answer[[0, 1], [0, 1]], [right, wrong], rtol=1e-10)


def test_where_all_classes_are_targets_the_weights_become_their_mean():
    # Two classes under mixup, and a label that is smoothed: no other class could balance them.
    weights, logits = np.array([[0.2, 0.6], [0.9, 0.3]]), np.array([[0.3, -0.1], [2.0, 1.0]])
    labels = tf.constant([[0.7, 0.3], [0.0, 1.0]], "float64")
    gradients = class_gradients(tf.constant(logits), labels)
    answer = zero_mean_weights(tf.constant(weights), gradients.probabilities, labels).numpy()
    np.testing.assert_allclose(answer[0], [0.4, 0.4], rtol=1e-14)
    np.testing.assert_allclose(answer[1], [0.9, 0.9], rtol=1e-14)  # 0.9 p_0 / (1 - p_1)
    np.testing.assert_allclose((answer * gradients.gradient.numpy()).sum(axis=1), 0.0, atol=1e-15)


def update_of(meta_gradient, outer_lr, clip):
    return class_level_update(tf.constant(meta_gradient), tf.constant(outer_lr, "float64"), clip)


def test_update_is_the_normalised_meta_gradient_clipped():
    gradient = np.array([[1.0, -2.0, 0.0], [0.5, -0.25, 0.25]])  # the sizes sum to 4

    update = update_of(gradient, 1.2, clip=0.2)

    np.testing.assert_allclose(update, [[0.2, -0.2, 0.0], [0.15, -0.075, 0.075]], rtol=1e-14)


def test_mean_size_of_the_update_before_clipping_is_eta_over_its_entries():
    gradient = np.random.default_rng(4).normal(size=(7, 5)) * 1e-5

    update = update_of(gradient, 0.1 * 7 * 5, clip=1e9).numpy()

    np.testing.assert_allclose(np.abs(update).mean(), 0.1, rtol=1e-12)
    np.testing.assert_allclose(update / gradient, update[0, 0] / gradient[0, 0], rtol=1e-12)


def test_a_meta_gradient_of_zero_gives_no_update():
    np.testing.assert_array_equal(update_of(np.zeros((3, 2)), 100.0, clip=0.2), np.zeros((3, 2)))


def test_weights_are_bounded():
    answer = bounded_weights(tf.constant([-1.0, 0.0, 1e-6, 0.5, 1e6, 1e7, np.inf], "float64"))

    np.testing.assert_array_equal(answer, [1e-6, 1e-6, 1e-6, 0.5, 1e6, 1e6, 1e6])
