"""What `fit` says of data that can be trained on, and should not be."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf

from . import examples
from .examples import CLASSES, FEATURES

X, Y = examples.arrays()
META = examples.arrays(9, seed=1)


def fit(x, meta_data, *, method="gdw", **model):
    compiled = examples.compiled(method, **{"run_eagerly": True, **model})
    return compiled.fit(x, Y, meta_data=meta_data, verbose=0, steps_per_epoch=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_meta_examples_that_are_training_examples_are_warned_of(dtype):
    x_meta = META[0].copy()
    x_meta[[2, 5]] = X[[7, 3]]
    expected = r"2 of 9 meta examples .*\(meta example 2 is training example 7\)"
    with pytest.warns(UserWarning, match=expected) as caught:
        fit(X, (x_meta.astype(dtype), META[1]))
    assert [warning.filename for warning in caught] == [__file__]


def test_a_part_of_an_example_alone_is_no_overlap():
    of_a_dict = {"classifier": examples.of_a_dict}
    left = examples.as_dict(META[0]) | {"left": X[:9, : FEATURES // 2]}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(examples.as_dict(X), (left, META[1]), **of_a_dict)
        fit(X, META)
        fit(X, (X[:9], Y[:9]), method="ce")  # evaluates them only
    with pytest.warns(UserWarning, match="9 of 9 meta examples"):
        fit(examples.as_dict(X), (examples.as_dict(X[:9]), Y[:9]), **of_a_dict)


def indexed(numbers):
    return tf.data.Dataset.from_tensor_slices((X, Y, np.ones(len(X)), numbers)).batch(8)


@pytest.mark.parametrize("method", ["insw", "soft_label", "elr"])
def test_a_number_that_is_no_examples_is_told(method):
    model = examples.compiled(method)
    arguments = {"meta_data": META, "num_examples": len(X), "verbose": 0}
    model.fit(indexed(np.arange(len(X))), **arguments)
    expected = (
        r"The index holds a number of no example\. Received: a batch with numbers from 25 to 32; "
        r"allowed: 0 to 31\."
    )
    with pytest.raises(ValueError, match=expected):
        model.fit(indexed(1 + np.arange(len(X))), **arguments)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64"])
def test_the_index_is_of_any_integer_dtype(dtype):
    weights = []
    for numbers in (np.arange(len(X)), np.arange(len(X), dtype=dtype)):
        model = examples.compiled("elr", run_eagerly=True)
        model.fit(indexed(numbers), num_examples=len(X), epochs=2, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["validation_data", "meta_data"])
def test_data_to_be_evaluated_have_no_index(name):
    model = examples.compiled("ce")
    with pytest.raises(ValueError, match=f"{name} must yield batches .* the index is for training"):
        model.fit(X, Y, **{name: indexed(np.arange(len(X)))}, verbose=0)
    assert int(model.steps_taken) == 0


def test_a_classifier_that_makes_something_of_nan_gets_it():
    class FilledIn(keras.layers.Layer):
        def call(self, inputs):
            return tf.where(tf.math.is_nan(inputs), tf.zeros_like(inputs), inputs)

    x = np.where(X > 1, np.nan, X).astype(np.float32)
    layers = [keras.Input((FEATURES,)), FilledIn(), keras.layers.Dense(CLASSES)]
    history = fit(x, META, classifier=lambda: keras.Sequential(layers))
    assert np.isfinite(history.history["loss"]).all()
    with pytest.raises(ValueError, match="nan or inf in example"):
        fit(x, META)


def test_validation_data_may_be_a_list_or_a_sequence_of_keras():
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return META

    for validation_data in (list(META), Batches()):
        model = examples.compiled("gdw", run_eagerly=True)
        model.fit(X, Y, meta_data=META, validation_data=validation_data, verbose=0)
        assert "val_loss" in model.history.history


def test_log_probabilities_are_logits():
    model = keras.Sequential(
        [keras.Input((FEATURES,)), keras.layers.Dense(CLASSES, activation="log_softmax")]
    )
    assert gdw_tf.GDW(model).classifier is model
