"""In which order a stream goes through its examples.

All orders are stateless: functions of a *key*, a pair of integers that stands for a stream of
random numbers. A key comes from the seed and the name of a stream; a position in it, such as the
number of an epoch or of a pass, is folded in and gives the position's own key.
"""

from __future__ import annotations

import zlib

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from gdw_tf.checks import check_integer

ALGORITHM = "philox"
"""Of random numbers; named, for the automatic choice depends on the device."""


def stream_key(seed: int, stream: str) -> tf.Tensor:
    """Makes the key of a named stream of random numbers.

    Args:
        seed: The seed, 0 or more.
        stream: The stream's name.

    Returns:
        The key, int64, shape (2,).

    Raises:
        TypeError: If `seed` is not an integer.
        ValueError: If it is negative or has more than 63 bits.
    """
    check_integer("seed", seed, 0, 2**63 - 1)
    return tf.constant([seed, zlib.crc32(stream.encode())], tf.int64)


def fold(key: tf.Tensor, position: tf.Tensor | int) -> tf.Tensor:
    """Makes the key of a position, an integer, within the stream of `key`."""
    position = tf.cast(position, tf.int64)
    return tf.random.experimental.stateless_fold_in(key, position, alg=ALGORITHM)


def shuffled_pass(num_examples: int, key: tf.Tensor) -> tf.data.Dataset:
    """Goes through the indices of all examples once, in a random order.

    Args:
        num_examples: Number of examples N, at least 1.
        key: The order's key, int32 or int64, shape (2,). Equal keys give equal orders.

    Returns:
        A data set of N scalar int64 indices: a permutation of 0 to N - 1.

    Raises:
        TypeError: If `num_examples` is not an integer.
        ValueError: If it is less than 1.
    """
    check_integer("num_examples", num_examples, 1)
    return tf.data.Dataset.from_tensor_slices(_permutation(num_examples, key))


def shuffled_passes(num_examples: int, key: tf.Tensor) -> tf.data.Dataset:
    """Goes through the indices of all examples again and again, in a new order each time.

    Args:
        num_examples: Number of examples N, at least 1.
        key: The key of the orders, int32 or int64, shape (2,).

    Returns:
        An infinite data set of scalar int64 indices.

    Raises:
        TypeError: If `num_examples` is not an integer.
        ValueError: If it is less than 1.
    """
    check_integer("num_examples", num_examples, 1)
    return tf.data.Dataset.counter().flat_map(
        lambda number: shuffled_pass(num_examples, fold(key, number))
    )


def balanced_passes(labels: ArrayLike, key: tf.Tensor) -> tf.data.Dataset:
    """Goes through examples endlessly, so that equally many of each class are seen at any time.

    The classes take turns, in a random order that stays. So of C classes, any B indices in a row
    hold each class floor(B/C) or ceil(B/C) times. Within a class, the examples come in a random
    order, a new one in each pass. A pass ends when the largest class is through; smaller classes
    have begun again by then.

    Args:
        labels: Class indices, any integer dtype, shape (N,), N at least 1. Classes without examples
            do not count.
        key: The key of the orders, int32 or int64, shape (2,).

    Returns:
        An infinite data set of scalar int64 indices.

    Raises:
        ValueError: If the labels are no class indices.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not labels.size or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            "Balanced batches need one class index an example. Received: labels of dtype "
            f"{labels.dtype}, shape {labels.shape}; allowed: integers, (N,) with N of 1 or more."
        )
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    # Of the examples sorted by class, the one that each class (column) gives in a round (row).
    places = np.cumsum(counts) - counts + np.arange(counts.max())[:, np.newaxis] % counts
    turns_key, passes_key = fold(key, 0), fold(key, 1)

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        order = _permutation(len(labels), fold(passes_key, number))
        by_class = tf.gather(order, tf.argsort(tf.gather(classes, order), stable=True))
        rounds = tf.gather(
            by_class, tf.gather(places, _permutation(len(counts), turns_key), axis=1)
        )
        return tf.data.Dataset.from_tensor_slices(tf.reshape(rounds, (-1,)))

    return tf.data.Dataset.counter().flat_map(one_pass)


def _permutation(size: int, key: tf.Tensor) -> tf.Tensor:
    """Gives 0 to size - 1 in a random order, int64."""
    # 64 random bits an example leave ties out of account, and sorting them is an order which,
    # unlike that of tf.random.experimental.stateless_shuffle, does not depend on the version.
    bits = tf.random.stateless_uniform(
        (size,), key, minval=None, maxval=None, dtype=tf.int64, alg=ALGORITHM
    )
    return tf.cast(tf.argsort(bits, stable=True), tf.int64)
