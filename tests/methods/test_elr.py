"""ELR against NumPy."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf

from . import examples
from .examples import CLASSES

X, Y = examples.arrays(10)
BETA, LAMBDA = 0.6, 2.5


def model_of(**compile_arguments: Any) -> gdw_tf.ELR:
    options = {"elr_lambda": LAMBDA, "elr_beta": BETA}
    return examples.compiled("elr", options=options, **compile_arguments)


def softmax(z: np.ndarray) -> np.ndarray:
    exponentials = np.exp(z - z.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_targets_and_gradients_over_three_visits(float64):
    """Each visit in two batches; the gradient through log(1 - <t, p>), row by row."""
    model = model_of(optimizer=keras.optimizers.SGD(0.3))
    model.fit(X, Y, batch_size=10, epochs=1, verbose=0)  # makes the memory
    model.example_memory.assign(tf.zeros_like(model.example_memory))
    targets = np.zeros((10, CLASSES))
    for _ in range(3):
        for index in ([7, 0, 3, 9, 5], [1, 2, 8, 4, 6]):
            batch = (tf.constant(X[index]), tf.constant(Y[index]), None, tf.constant(index))

            step = model.training_step((batch, ()))

            p = softmax(step["logits"].numpy())
            targets[index] = BETA * targets[index] + (1 - BETA) * p
            expected = p - np.eye(CLASSES)[Y[index]]
            for row, (t, q) in enumerate(zip(targets[index], p, strict=True)):
                jacobian = np.diag(q) - np.outer(q, q)
                expected[row] += LAMBDA * jacobian @ (-t / (1 - t @ q))
            np.testing.assert_allclose(step["logit_gradient"], expected, rtol=1e-10, atol=1e-13)
            np.testing.assert_allclose(model.example_memory, targets, rtol=1e-10, atol=1e-13)


def test_it_trains_as_its_keras_loss_does():
    model = model_of(optimizer=keras.optimizers.SGD(0.3))
    network = model_of().classifier
    loss = gdw_tf.losses.EarlyLearning(10, CLASSES, LAMBDA, BETA)
    network.compile(keras.optimizers.SGD(0.3), loss)
    arguments = {"batch_size": 4, "epochs": 3, "shuffle": False, "verbose": 0}

    model.fit(X, Y, **arguments)
    network.fit(X, np.stack([Y, np.arange(10)], axis=1), **arguments)

    np.testing.assert_allclose(model.example_memory, loss.targets, rtol=1e-4)
    for one, two in zip(model.classifier.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def test_the_targets_are_saved_with_the_model(tmp_path):
    model = model_of()
    model.fit(X, Y, batch_size=4, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(np.sum(loaded.example_memory, axis=1), 1 - BETA, rtol=1e-5)
    for each in (model, loaded):
        each.fit(X, Y, batch_size=4, epochs=2, initial_epoch=1, verbose=0)
    np.testing.assert_allclose(loaded.example_memory, model.example_memory, rtol=1e-5)
    np.testing.assert_allclose(loaded(X), model(X), rtol=1e-5)


def test_the_meta_set_is_only_evaluated():
    with_meta, without = model_of(), model_of()
    history = with_meta.fit(X, Y, meta_data=examples.arrays(9, seed=1), verbose=0).history
    without.fit(X, Y, verbose=0)
    assert {"meta_loss", "meta_accuracy"} <= history.keys()
    np.testing.assert_array_equal(with_meta(X), without(X))


def test_a_data_set_must_give_the_number_of_every_example():
    with pytest.raises(ValueError, match="index"):
        model_of().fit(tf.data.Dataset.from_tensor_slices((X, Y)).batch(5), verbose=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"elr_lambda": -1}, "elr_lambda=-1; allowed: numbers from 0"),
        ({"elr_beta": 1}, "elr_beta=1; allowed: 0 to below 1"),
    ],
)
def test_an_option_out_of_its_range_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        gdw_tf.ELR(examples.functional(), **options)
