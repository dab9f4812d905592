"""The meta set as training data: the gradient of the meta loss beside the method's own."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf

from . import examples
from .meta_loss import ALPHA, STEP, softmax

X, Y = examples.arrays(6)
META = examples.arrays(9, seed=1)
WEIGHT = 0.4
METHODS = ["gdw", "mw_net", "l2rw", "soft_label"]

methods = pytest.mark.parametrize("method", METHODS)


def model_of(method, classifier=examples.functional, **options):
    # Plain gradient descent: what a step takes off the weights is ALPHA times the gradient.
    model = examples.compiled(
        method, classifier, options=options, optimizer=gdw_tf.CoupledSGD(ALPHA)
    )
    model.fit(X, Y, meta_data=META, epochs=0)
    return model


def batches():
    dtype = keras.config.floatx()
    meta = (tf.constant(META[0], dtype), META[1])
    return ((tf.constant(X, dtype), Y, None, np.arange(len(X))), meta)


def change(model, step=None):
    """What a training step takes off the classifier's weights, and what it reports."""
    before = model.classifier.get_weights()
    step = (step or model.training_step)(batches())
    after = model.classifier.get_weights()
    return [one - other for one, other in zip(before, after, strict=True)], step


def meta_loss(model, weights):
    """The meta loss of the classifier with these weights, in training mode."""
    before = model.classifier.get_weights()
    model.classifier.set_weights(weights)
    z = model.classifier(META[0], training=True).numpy()
    model.classifier.set_weights(before)
    return -np.log(softmax(z)[np.arange(len(z)), META[1]]).mean()


def slopes_at(model, weights):
    """Central differences of the meta loss along each weight."""
    answers = []
    for position, weight in enumerate(weights):
        answer = np.empty_like(weight)
        for index in np.ndindex(*weight.shape):
            losses = []
            for shift in (STEP, -STEP):
                moved = [one.copy() for one in weights]
                moved[position][index] += shift
                losses.append(meta_loss(model, moved))
            answer[index] = (losses[0] - losses[1]) / (2 * STEP)
        answers.append(answer)
    return answers


def virtual_step(model, outer):
    """The classifier's weights after the virtual step of these outer parameters."""
    variables = [variable.value for variable in model.classifier.trainable_variables]
    with tf.GradientTape() as tape:
        logits = model.classifier(X.astype(keras.config.floatx()), training=True)
    labels = np.eye(examples.CLASSES)[Y]
    p = softmax(logits.numpy())
    u = p - outer if isinstance(model, gdw_tf.SoftLabel) else outer * (p - labels)
    gradients = tape.gradient(logits, variables, output_gradients=tf.constant(u / len(X)))
    return [one.numpy() - ALPHA * g.numpy() for one, g in zip(variables, gradients, strict=True)]


@pytest.mark.usefixtures("float64")
@methods
def test_the_gradient_of_the_meta_loss_at_the_virtual_weights_is_added(method):
    plain, step = change(model_of(method))
    model = model_of(method, meta_weight=WEIGHT)
    expected = slopes_at(model, virtual_step(model, step["outer"].numpy()))

    with_meta, _ = change(model)

    for one, other, slope in zip(with_meta, plain, expected, strict=True):
        assert np.abs(slope).max() > 1e-3
        np.testing.assert_allclose(one - other, ALPHA * WEIGHT * slope, rtol=1e-6, atol=1e-10)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("method", ["gdw", "mw_net"])
def test_weights_that_do_not_move_in_the_virtual_step_are_trained_too(method):
    plain, step = change(model_of(method, virtual_scope="head"))
    model = model_of(method, virtual_scope="head", meta_weight=WEIGHT)
    before = model.classifier.get_weights()
    moved = virtual_step(model, step["outer"].numpy())
    expected = slopes_at(model, [*before[:2], *moved[2:]])

    with_meta, with_step = change(model)

    np.testing.assert_allclose(with_step["meta_gradient"], step["meta_gradient"], rtol=1e-12)
    for one, other, slope in zip(with_meta, plain, expected, strict=True):
        assert np.abs(slope).max() > 1e-3
        np.testing.assert_allclose(one - other, ALPHA * WEIGHT * slope, rtol=1e-6, atol=1e-10)


def embedding():
    tokens = keras.Input((4,), dtype="int32")
    x = keras.layers.Flatten()(keras.layers.Embedding(5, 3)(tokens))
    return keras.Model(tokens, keras.layers.Dense(examples.CLASSES)(x))


@pytest.mark.parametrize("scope", ["all", "head"])
def test_embeddings_are_trained_by_the_meta_set(scope):
    tokens, labels = np.arange(24).reshape(6, 4) % 4, np.arange(6) % examples.CLASSES
    meta = np.full((3, 4), 4), np.arange(3)  # of a word that the training set does not have
    model = examples.compiled(
        "gdw",
        embedding,
        options={"meta_weight": WEIGHT, "virtual_scope": scope},
        optimizer=gdw_tf.CoupledSGD(ALPHA, weight_decay=0.0),
    )
    before = model.classifier.get_weights()[0]
    model.fit(tokens, labels, meta_data=meta, verbose=0)
    assert np.abs(model.classifier.get_weights()[0] - before)[4].max() > 1e-4


def test_a_step_without_a_meta_gradient_is_not_trained_by_the_meta_set():
    model = model_of("mw_net", meta_every=2, meta_weight=WEIGHT)
    step = tf.function(model.training_step)
    gradients = [change(model, step)[1]["meta_weight_gradients"] for _ in range(2)]
    assert all(np.any(gradient) for gradient in gradients[0])
    assert not any(np.any(gradient) for gradient in gradients[1])


def test_float16_adds_the_gradient_without_its_scale_and_none_that_overflows():
    exact, _ = change(model_of("gdw", meta_weight=2.0))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = model_of("gdw", meta_weight=2.0)
        for one, other in zip(change(model)[0], exact, strict=True):
            np.testing.assert_allclose(one, other, atol=5e-3 * np.abs(other).max() + 1e-6)
        model.meta_loss_scale.assign(2.0**60)
        _, step = change(model)
    finally:
        keras.config.set_dtype_policy(before)
    assert not any(np.any(gradient) for gradient in step["meta_weight_gradients"])


def test_without_a_weight_nothing_is_reported():
    _, step = change(model_of("gdw"))
    assert "meta_weight_gradients" not in step


@pytest.mark.parametrize("meta_weight", [-0.1, float("nan")])
def test_the_weight_is_not_negative(meta_weight):
    with pytest.raises(ValueError, match="meta_weight is out of range"):
        gdw_tf.MWNet(examples.functional(), meta_weight=meta_weight)
