"""Early-learning regularisation against NumPy, as pure functions and as a Keras loss."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from gdw_tf.losses import EarlyLearning
from gdw_tf.losses.early_learning import regularizer, regularizer_gradient

CLASSES, EXAMPLES = 3, 5
INDEX = np.array([4, 0, 2])


def softmax(z: np.ndarray) -> np.ndarray:
    exponentials = np.exp(z - z.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def visits(count: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    """The logits and labels of three examples at each visit."""
    generator = np.random.default_rng(0)
    labels = generator.integers(CLASSES, size=3)
    return [(generator.normal(0, 2, size=(3, CLASSES)), labels) for _ in range(count)]


def columns(labels: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.stack([labels, index], axis=1)


def expected_loss(z: np.ndarray, labels: np.ndarray, targets: np.ndarray, factor: float):
    p = softmax(z)
    agreement = (p * targets).sum(axis=1)
    return -np.log(p[np.arange(len(z)), labels]) + factor * np.log(1 - agreement)


# Value, targets, gradient.


def test_targets_and_loss_over_three_visits(float64):
    loss = EarlyLearning(EXAMPLES, CLASSES, elr_lambda=2.0, elr_beta=0.6, reduction=None)
    targets = np.zeros((3, CLASSES))
    for visit, (z, labels) in enumerate(visits(), start=1):
        targets = 0.6 * targets + 0.4 * softmax(z)

        value = loss(columns(labels, INDEX), z)

        np.testing.assert_allclose(value, expected_loss(z, labels, targets, 2.0), rtol=1e-12)
        np.testing.assert_allclose(loss.targets.numpy()[INDEX], targets, rtol=1e-12)
        np.testing.assert_allclose(targets.sum(axis=1), 1 - 0.6**visit)
    np.testing.assert_array_equal(loss.targets.numpy()[[1, 3]], 0)


def test_the_gradient_has_the_closed_form_of_the_paper(float64):
    """d loss / dz with the target held: p - y + lambda p * (<t, p> - t) / (1 - <t, p>)."""
    loss = EarlyLearning(EXAMPLES, CLASSES, elr_lambda=2.0, elr_beta=0.6, reduction="sum")
    for z, labels in visits():
        with tf.GradientTape() as tape:
            logits = tf.constant(z)
            tape.watch(logits)
            value = loss(columns(labels, INDEX), logits)
        gradient = tape.gradient(value, logits)

        targets = loss.targets.numpy()[INDEX]
        slopes = np.empty_like(z)
        for column in range(CLASSES):
            shift = 1e-5 * np.eye(CLASSES)[column]
            ends = [expected_loss(z + s, labels, targets, 2.0) for s in (shift, -shift)]
            slopes[:, column] = (ends[0] - ends[1]) / 2e-5
        p = softmax(z)
        closed = p - np.eye(CLASSES)[labels] + 2.0 * regularizer_gradient(p, targets)
        np.testing.assert_allclose(gradient, slopes, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(closed, slopes, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(gradient.numpy().sum(axis=1), 0, atol=1e-14)


def test_the_first_visit_pulls_weakly_and_later_ones_against_a_wrong_label(float64):
    z, wrong = np.array([[3.0, 0.0, 0.0]]), np.array([1])
    loss = EarlyLearning(1, CLASSES, elr_lambda=3.0, elr_beta=0.7, reduction=None)
    gradients = []
    p, rewards = softmax(z), []
    for _ in range(20):
        loss(columns(wrong, np.array([0])), z)
        targets = loss.targets.numpy()
        rewards.append(regularizer(p, targets).numpy().item())
        gradients.append(p - np.eye(CLASSES)[wrong] + 3.0 * regularizer_gradient(p, targets))
    assert np.log(0.7) < rewards[0] < 0 and rewards[-1] < 3 * np.log(0.7)
    # The wrong label is pulled up less and less, as the target holds on to class 0: in the end
    # the step is towards that.
    gradients = np.array(gradients)[:, 0]
    assert (np.diff(gradients[:, 1]) > 0).all()
    assert gradients[-1, 0] < 0 < gradients[0, 0]


def test_certainty_for_ever_gives_finite_numbers():
    loss = EarlyLearning(1, 2, reduction=None)
    logits = tf.constant([[1e4, 0.0]])
    for _ in range(100):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(np.array([[1, 0]]), logits)
    assert np.isfinite(value).all() and np.isfinite(tape.gradient(value, logits)).all()
    gradient = regularizer_gradient(tf.constant([[1.0, 0.0]]), loss.targets.value)
    assert np.isfinite(gradient).all()


# As a Keras loss.


def test_an_example_of_number_minus_1_has_the_cross_entropy_and_moves_no_target(float64):
    loss = EarlyLearning(EXAMPLES, CLASSES, reduction=None)
    (z, labels), (other, _) = visits(2)
    loss(columns(labels, INDEX), z)
    before = loss.targets.numpy()

    value = loss(columns(labels, np.array([-1, 0, -1])), other)

    plain = expected_loss(other, labels, np.zeros((3, CLASSES)), 0.0)
    np.testing.assert_allclose(np.array(value)[[0, 2]], plain[[0, 2]], rtol=1e-12)
    assert value[1] < plain[1]
    changed = np.abs(loss.targets.numpy() - before).max(axis=1) > 0
    assert changed.tolist() == [True, False, False, False, False]


def fitted(**compile_arguments: Any) -> tuple[keras.Model, tuple[np.ndarray, np.ndarray]]:
    keras.utils.set_random_seed(0)
    y = np.arange(24) % CLASSES
    x = np.random.default_rng(0).normal(size=(24, 4)) + np.eye(CLASSES, 4)[y]
    data = (x, columns(y, np.arange(24)))
    validation = (x, columns(y, np.full(24, -1)))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(CLASSES)])
    model.compile(keras.optimizers.SGD(0.1), EarlyLearning(24, CLASSES), **compile_arguments)
    model.fit(*data, epochs=2, batch_size=8, validation_data=validation, verbose=0)
    return model, data


def test_a_keras_classifier_learns_with_it_and_targets_are_saved_with_the_model(tmp_path):
    model, data = fitted()
    # Two visits of validation examples beside them count for nothing.
    np.testing.assert_allclose(model.loss.targets.numpy().sum(axis=1), 1 - 0.7**2, rtol=1e-5)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")

    assert loaded.loss.get_config() == model.loss.get_config()
    np.testing.assert_array_equal(loaded.loss.targets, model.loss.targets)
    for each in (model, loaded):
        each.fit(*data, batch_size=8, shuffle=False, verbose=0)
    np.testing.assert_allclose(loaded.get_weights()[0], model.get_weights()[0], rtol=1e-5)


def test_how_a_step_is_executed_does_not_change_it():
    expected = fitted(run_eagerly=True)[0]
    compiled = fitted(jit_compile=True)[0]
    np.testing.assert_allclose(compiled.get_weights()[0], expected.get_weights()[0], rtol=1e-4)
    np.testing.assert_allclose(compiled.loss.targets, expected.loss.targets, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3), "num_examples=0; allowed: 1 to 16777216"),
        ((2**24 + 1, 3), "num_examples=16777217; allowed"),
        ((5, 1), "num_classes=1; allowed: 2 or more"),
        ((5, 3, -1.0), "elr_lambda=-1.0; allowed: numbers from 0"),
        ((5, 3, 3.0, 1.0), "elr_beta=1.0; allowed: 0 to below 1"),
        ((5, 3, 3.0, -0.1), "elr_beta=-0.1; allowed"),
    ],
)
def test_an_argument_out_of_its_range_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        EarlyLearning(*arguments)


@pytest.mark.parametrize("labels", [np.zeros(3), np.zeros((3, 1)), np.zeros((3, 3))])
def test_labels_without_the_number_of_the_example_are_refused(labels):
    with pytest.raises(ValueError, match=r"two columns.*Received: shape"):
        EarlyLearning(EXAMPLES, CLASSES)(labels, np.zeros((3, CLASSES)))
