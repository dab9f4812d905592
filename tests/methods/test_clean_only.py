from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf

from . import examples
from .examples import CLASSES

X, Y = examples.arrays(22)
META = examples.arrays(9, seed=1)


def weights(model):
    return [np.asarray(variable) for variable in (*model.weights, *model.optimizer.variables)]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "sample_weight"])
def test_it_is_plain_training_on_the_meta_set(weighted):
    meta = (*META, np.linspace(0, 2, 9)) if weighted else META
    meta = tf.data.Dataset.from_tensor_slices(meta).batch(4)
    base_loss = gdw_tf.losses.CrossEntropy()
    model, plain = (
        examples.compiled(method, examples.normalized, options={"base_loss": base_loss})
        for method in ("clean_only", "ce")
    )
    # As many steps an epoch as batches of 4, 4 and 1 meta examples.
    model.fit(X, Y, meta_data=meta, batch_size=8, epochs=2, verbose=0)
    plain.fit(meta, epochs=2, verbose=0)

    for one, other in zip(weights(model), weights(plain), strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.history.history == plain.history.history


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("method", ["clean_only", "fine_tune"])
@pytest.mark.parametrize("as_data_set", [False, True])
def test_class_weights_count_where_the_steps_are_taken(method, as_data_set):
    class_weight = {0: 1.0, 1: 5.0, 2: 0.0}

    def trained(meta, **arguments):
        options = {"fine_tune_share": 1.0} if method == "fine_tune" else None
        model = examples.compiled(method, options=options)
        if as_data_set:
            meta = tf.data.Dataset.from_tensor_slices(meta).batch(4)
        batch_sizes = {"batch_size": 8, "meta_batch_size": None if as_data_set else 4}
        model.fit(X, Y, meta_data=meta, epochs=2, verbose=0, **batch_sizes, **arguments)
        return weights(model)

    factors = np.array([class_weight[label] for label in META[1]])
    expected = trained((*META, factors))
    for one, other in zip(trained(META, class_weight=class_weight), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize(
    ("of_training", "of_meta"),
    [
        (lambda y: np.eye(CLASSES)[y], lambda y: y),
        (lambda y: y, lambda y: np.eye(CLASSES)[y]),
        (lambda y: y[:, np.newaxis], lambda y: y),
    ],
    ids=["one-hot", "sparse", "column"],
)
def test_labels_of_the_meta_set_may_have_another_form(of_training, of_meta):
    def history(y, meta_y):
        model = examples.compiled("clean_only", run_eagerly=True)
        validation = X, y
        model.fit(X, y, meta_data=(META[0], meta_y), validation_data=validation, verbose=0)
        return model.history.history

    expected = history(Y, META[1])
    for name, values in history(of_training(Y), of_meta(META[1])).items():
        assert values == pytest.approx(expected[name], abs=1e-6), name


def test_the_training_data_say_how_many_steps_an_epoch_has():
    model = examples.compiled("clean_only", run_eagerly=True)
    model.fit(X, Y, meta_data=META, batch_size=5, epochs=2, verbose=0)
    assert int(model.steps_taken) == int(model.optimizer.iterations) == 2 * 5


def test_a_scheduler_sets_the_rate():
    model = examples.compiled("clean_only", run_eagerly=True)
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch: 0.5 / 2**epoch)
    model.fit(X, Y, meta_data=META, epochs=3, callbacks=[scheduler], verbose=0)
    assert model.history.history["learning_rate"] == [0.5, 0.25, 0.125]
