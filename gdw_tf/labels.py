"""Class labels in the forms that Keras users give them: sparse, (N, 1) sparse, or one-hot.

Inside the library labels are one-hot; what comes from outside is checked and converted here.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from gdw_tf import checks

_NO_CLASS = "The labels hold one that is no class"
_NO_EXAMPLE = "The index holds a number of no example"


def one_hot_labels(labels: tf.Tensor, num_classes: int, dtype: tf.DType) -> tf.Tensor:
    """Converts a batch of labels to one-hot.

    Args:
        labels: integers (B,) or (B, 1), or one-hot (B, C) of any numeric dtype.
        num_classes: C, at least 2.
        dtype: dtype of the answer.

    Returns:
        One-hot labels, (B, C).

    Raises:
        TypeError: sparse labels that are not integers.
        ValueError: labels of another shape.
        tf.errors.InvalidArgumentError: a sparse label outside [0, C), when the step runs
            (not under XLA, which drops assertions).
    """
    labels = tf.convert_to_tensor(labels)
    check_form(labels, num_classes, "labels")
    if is_one_hot(labels.shape, num_classes):
        return tf.cast(labels, dtype)
    sparse = tf.reshape(checked_in_range(labels, num_classes), (-1,))
    return tf.one_hot(tf.cast(sparse, tf.int64), num_classes, dtype=dtype)  # takes few dtypes


def in_form_of(labels: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Brings a batch of labels to the form and dtype of another batch's.

    Args:
        labels: integers (B,) or (B, 1), or one-hot (B, C).
        like: labels of any number of examples, in any of these forms.

    Returns:
        The labels, (B,), (B, 1) or (B, C).
    """
    width = like.shape[1] if len(like.shape) == 2 else 1
    if width > 1:
        return one_hot_labels(labels, width, like.dtype)
    if len(labels.shape) == 2 and labels.shape[1] > 1:
        labels = tf.argmax(labels, axis=1)
    shape = (-1,) if len(like.shape) == 1 else (-1, 1)
    return tf.cast(tf.reshape(labels, shape), like.dtype)


def checked_in_range(labels: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Hands labels on and fails in the step in which one is no class.

    Args:
        labels: sparse labels, integers of any shape; one-hot labels are handed on unseen.
        num_classes: C.

    Raises:
        tf.errors.InvalidArgumentError: a sparse label outside [0, C), when the tensor is computed
            (not under XLA, which drops assertions; the data sets that `fit` is given are
            checked outside it).
    """
    if is_one_hot(labels.shape, num_classes):
        return labels
    return _checked_below(labels, num_classes, _NO_CLASS)


def checked_index(index: tf.Tensor, num_examples: int) -> tf.Tensor:
    """Hands numbers of examples on and fails in the step in which there is no such example.

    Args:
        index: integers of any shape.
        num_examples: N.

    Raises:
        tf.errors.InvalidArgumentError: one outside [0, N), as in `checked_in_range`.
    """
    return _checked_below(index, num_examples, _NO_EXAMPLE)


def _checked_below(values: tf.Tensor, count: int, message: str) -> tf.Tensor:
    wide = tf.cast(values, tf.int64)
    are_allowed = tf.reduce_all((wide >= 0) & (wide < tf.constant(count, tf.int64)))
    message = f"{message}; allowed: 0 to {count - 1}."
    check = tf.debugging.Assert(are_allowed, [message, tf.reduce_min(wide), tf.reduce_max(wide)])
    with tf.control_dependencies([] if check is None else [check]):  # eagerly, there is none
        return tf.identity(values)


@contextlib.contextmanager
def named_labels() -> Iterator[None]:
    """Says in one line which labels of a batch are no classes, or which index is no example's.

    Raises:
        ValueError: in place of TensorFlow's error.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        number = r"[^\d-]+(-?\d+)"
        messages = rf"({_NO_CLASS}|{_NO_EXAMPLE})"
        found = re.search(rf"{messages}; (allowed: [^.]*\.){number}{number}", str(error))
        if not found:
            raise
        message, allowed, least, largest = found.groups()
        what = "labels" if message == _NO_CLASS else "numbers"
        raise ValueError(
            f"{message}. Received: a batch with {what} from {least} to {largest}; {allowed}"
        ) from error


def class_indices(labels: np.ndarray, num_classes: int, name: str) -> np.ndarray:
    """Checks an array of labels in any form before any work is done with it.

    Args:
        labels: integers (N,) or (N, 1), or one-hot (N, C).
        num_classes: C, at least 2.
        name: how an error calls the array.

    Returns:
        The class of each example, int64, (N,).

    Raises:
        TypeError: sparse labels that are not integers.
        ValueError: another shape, a label outside [0, C), rows that are not one-hot, no labels.
    """
    if labels.size:
        check_form(labels, num_classes, name)
    if not is_one_hot(labels.shape, num_classes):
        return checks.check_labels(name, labels.reshape(-1), num_classes)
    one_hot = np.isin(labels, (0, 1)).all(axis=1) & (labels.sum(axis=1) == 1)
    if not one_hot.all():
        first = int(np.argmin(one_hot))
        raise ValueError(
            f"{name} must be one-hot. Received: row {first} {labels[first].tolist()}; "
            "allowed: one 1 and else 0."
        )
    return labels.argmax(axis=1).astype(np.int64)


def is_one_hot(shape: tuple[int, ...] | tf.TensorShape, num_classes: int) -> bool:
    """Whether labels of this shape are one-hot rather than sparse."""
    return len(shape) == 2 and shape[1] == num_classes


def check_form(labels: np.ndarray | tf.Tensor | tf.TensorSpec, num_classes: int, name: str) -> None:
    """Checks shape and dtype of labels, without looking at their values.

    Args:
        labels: anything that has a shape and a dtype.
        num_classes: C.
        name: how an error calls the labels.

    Raises:
        TypeError: sparse labels that are not integers; one-hot labels that are not numbers.
        ValueError: another shape than (N,), (N, 1) or (N, C).
    """
    try:
        dtype = tf.as_dtype(labels.dtype) if labels.dtype != object else tf.string
    except TypeError:  # NumPy has more of them
        raise TypeError(
            f"{name} must be class indices. Received: dtype {labels.dtype}; allowed: integer "
            f"dtypes, or one-hot of shape (N, {num_classes})."
        ) from None
    if is_one_hot(labels.shape, num_classes):
        if not (dtype.is_integer or dtype.is_floating or dtype.is_bool):
            raise TypeError(
                f"{name} must be one-hot numbers. Received: dtype {labels.dtype}; allowed: "
                "integers, floats or booleans."
            )
        return
    if len(labels.shape) != 1 and not (len(labels.shape) == 2 and labels.shape[1] == 1):
        raise ValueError(
            f"{name} are of no known form. Received: shape {tuple(labels.shape)}; "
            f"allowed: (N,), (N, 1), or one-hot (N, {num_classes})."
        )
    if not dtype.is_integer:
        raise TypeError(
            f"{name} must be class indices. Received: dtype {dtype.name}; "
            f"allowed: integer dtypes, or one-hot of shape (N, {num_classes})."
        )
