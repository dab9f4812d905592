from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf
from gdw_tf.methods.glc import mean_answers

from . import examples
from .examples import CLASSES, FEATURES

X, Y = examples.arrays(22)
META = examples.arrays(9, seed=1)
TRANSITIONS = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5], [0.3, 0.3, 0.4]])


# The matrix.


def test_a_network_that_knows_the_noise_tells_the_matrix():
    """The class is plain in the input, and the network answers log C[class] to it."""
    labels = np.arange(60) % CLASSES
    inputs = np.eye(CLASSES, dtype=np.float32)[labels]
    dense = keras.layers.Dense(CLASSES, use_bias=False)
    model = gdw_tf.GLC(keras.Sequential([keras.Input((CLASSES,)), dense]))
    dense.kernel.assign(np.log(TRANSITIONS + 1e-30))
    for form in (labels, labels[:, np.newaxis], np.eye(CLASSES)[labels]):
        meta = tf.data.Dataset.from_tensor_slices((inputs, form)).batch(7)
        estimate = model.estimated_transitions(meta, meta)
        np.testing.assert_allclose(estimate, TRANSITIONS, atol=1e-6)


def test_the_answers_to_each_class_are_averaged():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])
    labels = np.eye(CLASSES)[[0, 0, 2]]
    expected = [[0.4, 0.5, 0.1], [0.0, 1.0, 0.0], [0.1, 0.1, 0.8]]  # no example of class 1
    np.testing.assert_allclose(mean_answers(probabilities, labels), expected)


# The step.


def linear() -> keras.Model:
    regularizer = keras.regularizers.L2(0.05)
    dense = keras.layers.Dense(CLASSES, kernel_regularizer=regularizer)
    return keras.Sequential([keras.Input((FEATURES,)), dense])


def gradients(kernel, bias, share, training, meta, transitions):
    """Of (1 - s) mean corrected loss + s mean cross-entropy + 0.05 |kernel|^2."""

    def softmax(z):
        return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)

    x, y, weight = training
    p = softmax(x @ kernel + bias)
    answer = (p @ transitions)[np.arange(len(y)), y]
    u = p * (1 - transitions.T[y] / answer[:, np.newaxis])
    u *= (1 - share) * weight[:, np.newaxis] / len(y)
    clean_x, clean_y, clean_weight = meta
    clean_u = softmax(clean_x @ kernel + bias) - np.eye(CLASSES)[clean_y]
    clean_u *= share * clean_weight[:, np.newaxis] / len(clean_y)
    of_kernel = x.T @ u + clean_x.T @ clean_u + 0.1 * kernel
    return of_kernel, u.sum(axis=0) + clean_u.sum(axis=0)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("share", "expected_share"), [(None, 9 / (22 + 9)), (0.0, 0.0), (0.3, 0.3), (1.0, 1.0)]
)
def test_a_step_weighs_both_sets_by_their_share(share, expected_share):
    generator = np.random.default_rng(2)
    weight, meta_weight = generator.uniform(0, 2, 22), generator.uniform(0, 2, 9)
    options = {"transition_matrix": TRANSITIONS, "clean_share": share}
    model = examples.compiled("glc", linear, options=options, optimizer=keras.optimizers.SGD(0.5))
    kernel, bias = (np.asarray(weight) for weight in model.classifier.weights)
    x, meta_x = (array.astype(np.float64) for array in (X, META[0]))
    model.fit(
        x,
        Y,
        sample_weight=weight,
        meta_data=(meta_x, META[1], meta_weight),
        batch_size=22,
        meta_batch_size=9,
        verbose=0,
    )

    of_kernel, of_bias = gradients(
        kernel, bias, expected_share, (x, Y, weight), (meta_x, META[1], meta_weight), TRANSITIONS
    )
    new_kernel, new_bias = model.classifier.weights
    # Variables of Keras hold the share in float32.
    np.testing.assert_allclose(new_kernel, kernel - 0.5 * of_kernel, atol=1e-7)
    np.testing.assert_allclose(new_bias, bias - 0.5 * of_bias, atol=1e-7)


def test_examples_in_data_sets_are_counted():
    for training, arguments in (
        ((tf.data.Dataset.from_tensor_slices((X, Y)).batch(10),), {}),
        ((tf.data.Dataset.from_tensor_slices((X, Y)).batch(10).repeat(),), {"num_examples": 22}),
    ):
        model = examples.compiled("glc", run_eagerly=True)
        meta = tf.data.Dataset.from_tensor_slices(META).batch(4)
        model.fit(*training, meta_data=meta, steps_per_epoch=2, verbose=0, **arguments)
        share = next(variable for variable in model.variables if variable.name == "share")
        assert float(share) == pytest.approx(9 / 31)


def test_the_meta_batch_is_logged():
    options = {"clean_share": 0.5}
    optimizer = keras.optimizers.SGD(1e-30)
    model = examples.compiled("glc", options=options, optimizer=optimizer, run_eagerly=True)
    history = model.fit(X, Y, meta_data=META, meta_batch_size=9, verbose=0).history
    evaluated = model.evaluate(*META, verbose=0, return_dict=True)
    assert history["meta_loss"][0] == pytest.approx(evaluated["loss"], rel=1e-5)
    assert history["meta_accuracy"][0] == pytest.approx(evaluated["accuracy"])


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_is_between_0_and_1(share):
    with pytest.raises(ValueError, match="clean_share=.*allowed: "):
        gdw_tf.GLC(linear(), clean_share=share)
