from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf
from gdw_tf.methods.loss_correction import corrected_loss

from . import examples
from .examples import CLASSES

X, Y = examples.arrays(24)
META = examples.arrays(9, seed=1)
BATCHES = {"batch_size": 8, "verbose": 0}


# The loss.


def random_transitions(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(CLASSES), size=CLASSES)


def loss_by_definition(logits, labels, transitions):
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return -np.log((p @ transitions)[np.arange(len(labels)), labels])


def test_the_loss_is_the_cross_entropy_of_the_label_given():
    logits = 2 * np.random.default_rng(1).normal(size=(24, CLASSES))
    transitions = random_transitions()
    corrected = corrected_loss(logits, np.eye(CLASSES)[Y], transitions)
    expected = loss_by_definition(logits, Y, transitions)
    np.testing.assert_allclose(corrected.value[:, 0], expected, rtol=1e-12)


def test_the_gradient_is_that_of_the_loss():
    logits = 2 * np.random.default_rng(1).normal(size=(24, CLASSES))
    transitions, step = random_transitions(), 1e-6
    gradient = corrected_loss(logits, np.eye(CLASSES)[Y], transitions).gradient
    for j in range(CLASSES):
        change = step * np.eye(CLASSES)[j]
        higher, lower = (
            loss_by_definition(logits + sign * change, Y, transitions) for sign in (1, -1)
        )
        np.testing.assert_allclose(gradient[:, j], (higher - lower) / (2 * step), atol=1e-8)


def test_with_right_labels_it_is_the_cross_entropy():
    logits, labels = np.random.default_rng(1).normal(size=(24, CLASSES)), np.eye(CLASSES)[Y]
    corrected = corrected_loss(logits, labels, np.eye(CLASSES))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(corrected.gradient, p - labels, atol=1e-6)
    np.testing.assert_allclose(corrected.value[:, 0], -np.log(p[labels == 1]), atol=1e-6)


def test_of_a_mixture_of_labels_it_is_the_mean_over_the_labels():
    logits = 2 * np.random.default_rng(1).normal(size=(24, CLASSES))
    transitions, eye = random_transitions(), np.eye(CLASSES)
    other = (Y + 1) % CLASSES
    mixed = corrected_loss(logits, 0.7 * eye[Y] + 0.3 * eye[other], transitions)
    first, second = (corrected_loss(logits, eye[labels], transitions) for labels in (Y, other))
    np.testing.assert_allclose(mixed.gradient, 0.7 * first.gradient + 0.3 * second.gradient)
    np.testing.assert_allclose(mixed.value, 0.7 * first.value + 0.3 * second.value)


@pytest.mark.parametrize("transitions", [np.eye(CLASSES), np.eye(CLASSES)[[1, 1, 1]]])
def test_sure_answers_and_impossible_labels_stay_finite(transitions):
    logits = np.float32([[1e4, 0, -1e4], [-1e4, 1e4, 0], [50, 0, 0]])
    for label in range(CLASSES):
        labels = np.tile(np.eye(CLASSES, dtype=np.float32)[label], (3, 1))
        corrected = corrected_loss(logits, labels, transitions)
        assert np.isfinite(corrected.value).all() and np.isfinite(corrected.gradient).all()


# A matrix that is given.


def given(method: str, matrix) -> gdw_tf.Method:
    return examples.compiled(method, options={"transition_matrix": matrix}, run_eagerly=True)


@pytest.mark.parametrize("method", ["glc", "forward"])
def test_a_given_matrix_is_trained_with_at_once(method):
    matrix = random_transitions()
    model = given(method, matrix)
    model.fit(X, Y, meta_data=META, **BATCHES)
    np.testing.assert_allclose(model.transitions, matrix, rtol=1e-6)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)), "must be square"),
        (np.full((3, 3), 0.5), "rows that sum to one"),
        ([[1.5, -0.5], [0.0, 1.0]], "must hold probabilities"),
    ],
)
def test_what_is_no_transition_matrix_is_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        given("forward", matrix)


def test_a_matrix_of_other_classes_is_refused_before_training():
    with pytest.raises(ValueError, match=r"a row for each class.*allowed: \(3, 3\)"):
        given("forward", np.eye(2)).fit(X, Y, **BATCHES)


# The first stage.


class Spy(keras.callbacks.Callback):
    """Keeps the weights at the start, and counts epochs."""

    def __init__(self):
        super().__init__()
        self.epochs, self.weights = 0, None

    def on_train_begin(self, logs=None):
        self.weights = self.model.classifier.get_weights()

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1


def estimating(method: str, **arguments) -> gdw_tf.Method:
    return examples.compiled(method, options={"transition_matrix": None}, **arguments)


@pytest.mark.parametrize("method", ["glc", "forward"])
def test_the_matrix_is_read_off_a_plainly_trained_network(method):
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch: 0.4 / 2**epoch)
    arguments = {"epochs": 3, "callbacks": [scheduler], "class_weight": {1: 2.0}, **BATCHES}
    plain = examples.compiled("ce", examples.normalized)
    plain.fit(X, Y, **arguments)

    spy = Spy()
    model = estimating(method, classifier=examples.normalized)
    initial = model.classifier.get_weights()
    arguments["callbacks"].append(spy)
    model.fit(X, Y, meta_data=META, **arguments)

    if method == "glc":
        p = keras.ops.softmax(plain.predict(META[0], verbose=0)).numpy()
        expected = np.stack([p[META[1] == label].mean(axis=0) for label in range(CLASSES)])
    else:
        p = keras.ops.softmax(plain.predict(X, verbose=0)).numpy()
        # Of 24 examples all but the one that is largest are below the 97th percentile.
        expected = np.stack([p[np.argsort(p[:, label])[-2]] for label in range(CLASSES)])
    np.testing.assert_allclose(model.transitions, expected, atol=1e-5)
    assert spy.epochs == 3  # of the second stage alone
    for weight, start in zip(spy.weights, initial, strict=True):
        np.testing.assert_array_equal(weight, start)
    assert int(model.optimizer.iterations) == 3 * 3


def test_a_second_fit_goes_on_without_a_first_stage():
    model = estimating("glc", run_eagerly=True)
    model.fit(X, Y, meta_data=META, **BATCHES)
    matrix = np.asarray(model.transitions)
    model.fit(X, Y, meta_data=META, epochs=2, initial_epoch=1, **BATCHES)
    np.testing.assert_array_equal(model.transitions, matrix)


def test_a_first_stage_that_was_broken_off_begins_again():
    """It stops in its second epoch; nothing of it stays."""

    def interrupt(epoch: int, rate: float) -> float:
        if epoch == 1:
            raise KeyboardInterrupt
        return rate

    def with_dropout() -> keras.Model:
        return examples.functional(dropout=0.3)

    arguments = {"meta_data": META, "epochs": 2, **BATCHES}
    undisturbed, model = (
        estimating("glc", classifier=with_dropout, run_eagerly=True) for _ in range(2)
    )
    undisturbed.fit(X, Y, **arguments)
    with pytest.raises(KeyboardInterrupt):
        scheduler = keras.callbacks.LearningRateScheduler(interrupt)
        model.fit(X, Y, callbacks=[scheduler], **arguments)
    assert model.transitions is None
    model.fit(X, Y, **arguments)

    for one, other in zip(model.weights, undisturbed.weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)


def test_a_first_stage_that_diverges_is_told():
    model = estimating("glc", run_eagerly=True, optimizer=keras.optimizers.SGD(1e38))
    with pytest.raises(FloatingPointError, match="^Not finite in epoch 1, step "):
        model.fit(X, Y, meta_data=META, **BATCHES)
    assert model.transitions is None


def test_data_without_an_end_are_read_for_an_epoch():
    def stream(data, size):
        return tf.data.Dataset.from_tensor_slices(data).batch(size).repeat()

    of_arrays = estimating("forward", run_eagerly=True)
    of_arrays.fit(X, Y, shuffle=False, **BATCHES)
    model = estimating("forward", run_eagerly=True)
    model.fit(stream((X, Y), 8), steps_per_epoch=3, verbose=0)
    np.testing.assert_allclose(model.transitions, of_arrays.transitions, atol=1e-5)

    model = estimating("glc", run_eagerly=True)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    with pytest.raises(ValueError, match="examples of meta_data cannot be counted.*Received"):
        model.fit(data, meta_data=stream(META, 9), verbose=0)
    model = examples.compiled(
        "glc", options={"transition_matrix": None, "clean_share": 0.25}, run_eagerly=True
    )
    with pytest.raises(ValueError, match="meta_data must have an end, or fit needs steps_per"):
        model.fit(data, meta_data=stream(META, 9), verbose=0)
    model.fit(data, meta_data=stream(META, 9), steps_per_epoch=3, verbose=0)


def test_the_stages_are_announced_where_fit_speaks(capsys):
    estimating("forward", run_eagerly=True).fit(X, Y, verbose=2)
    spoken = capsys.readouterr().out
    first, second = (spoken.index(f"{which} stage") for which in ("First", "Second"))
    assert first < spoken.index("accuracy") < second < spoken.index("corrected_loss")
    estimating("forward", run_eagerly=True).fit(X, Y, verbose=0)
    assert capsys.readouterr().out == ""
