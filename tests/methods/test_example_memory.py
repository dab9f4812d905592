"""What INSW and Soft-label ask of the data to remember every example."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from . import examples

METHODS = ["insw", "soft_label"]

X, Y = examples.arrays()
META = examples.arrays(9, seed=1)

methods = pytest.mark.parametrize("method", METHODS)


def memory_after(method, x, y=None, **arguments):
    model = examples.compiled(method, run_eagerly=True)
    model.fit(x, y, meta_data=META, epochs=2, verbose=0, meta_batch_size=9, **arguments)
    return model.example_memory.numpy()


def indexed(index):
    return (
        tf.data.Dataset.from_tensor_slices((X, Y, index))
        .batch(16)
        .map(lambda x, y, index: (x, y, None, index))
    )


@methods
def test_arrays_and_a_data_set_with_an_index_are_remembered_alike(method):
    expected = memory_after(method, X, Y, batch_size=16, shuffle=False)
    assert expected.shape == (32, {"insw": 1, "soft_label": examples.CLASSES}[method])
    assert np.count_nonzero(expected) > 10

    memory = memory_after(method, indexed(np.arange(32)), num_examples=32)
    np.testing.assert_allclose(memory, expected, atol=1e-5)

    backwards = memory_after(method, indexed(np.arange(32)[::-1]), num_examples=40)
    np.testing.assert_allclose(backwards[:32][::-1], expected, atol=1e-5)
    np.testing.assert_array_equal(backwards[32:], 0)


@methods
def test_a_data_set_without_index_or_number_is_told_in_one_line(method):
    without = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    for data, message in (
        (without, r"must yield \(inputs, labels, sample_weight or None, index\).*Received"),
        (indexed(np.arange(32)), "fit needs num_examples .*Received: num_examples=None"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            memory_after(method, data)
        assert "\n" not in str(caught.value)


@methods
def test_a_model_goes_on_with_the_examples_that_it_remembers(method):
    model = examples.compiled(method, run_eagerly=True)
    model.fit(X, Y, meta_data=META, verbose=0)
    with pytest.raises(ValueError, match="remembers 32 training examples.*Received: 31"):
        model.fit(X[:31], Y[:31], meta_data=META, verbose=0)
