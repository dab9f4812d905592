"""Keras layers as functions of a key.

A random layer of Keras draws from generators whose states move on with every call, so what it
does depends on what ran before. Here the states are given for the one call and not written back:
equal keys give equal results, in any order and as often as one likes.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gdw_tf.data.orders import fold


def call_with_key(layer: keras.Layer, inputs: Any, key: tf.Tensor) -> Any:
    """Calls a layer in training mode with random numbers that are a function of a key.

    Args:
        layer: A layer whose variables are the states of random generators, such as Keras's
            layers for image augmentation.
        inputs: What the layer takes.
        key: The key, int32 or int64, shape (2,).

    Returns:
        What the layer answers.
    """
    states = [(state, fold(key, number)) for number, state in enumerate(layer.variables)]
    with keras.StatelessScope(state_mapping=states):
        return layer(inputs, training=True)
