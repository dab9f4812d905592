from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from gdw_tf.data.keyed_layers import call_with_key

KEYS = tf.constant([[1, 2], [1, 3], [1, 2]], tf.int64)
ONES = tf.ones((50, 40))


@pytest.mark.parametrize("in_a_graph", [False, True])
def test_equal_keys_give_equal_results_whatever_ran_before(in_a_graph):
    layer = keras.layers.Dropout(0.5, seed=0)
    if in_a_graph:
        keys = tf.data.Dataset.from_tensor_slices(KEYS)
        answers = keys.map(lambda key: call_with_key(layer, ONES, key), num_parallel_calls=2)
        first, other, again = answers.as_numpy_iterator()
    else:
        first, other, again = (call_with_key(layer, ONES, key).numpy() for key in KEYS)
    np.testing.assert_array_equal(first, again)
    # About half of the entries of independent draws agree.
    assert 0.45 < (first == other).mean() < 0.55


def test_the_layer_is_left_as_it_was():
    layer, untouched = (keras.layers.Dropout(0.5, seed=0) for _ in range(2))
    call_with_key(layer, ONES, KEYS[0])
    np.testing.assert_array_equal(layer(ONES, training=True), untouched(ONES, training=True))


def test_every_generator_of_a_layer_draws_its_own_numbers():
    layer = keras.Sequential([keras.layers.Dropout(0.5, seed=0) for _ in range(2)])
    kept = call_with_key(layer, ONES, KEYS[0]).numpy() > 0
    assert 0.22 < kept.mean() < 0.28  # of one draw twice: 0.5
