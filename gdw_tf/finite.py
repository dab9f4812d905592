"""Numbers that are not finite: found in the step that they come up in, and kept out of the state.

A step looks at each of its quantities (`Method.quantities`, in the order in which they are
computed) by one sum of all its numbers, which is infinite or NaN where one of them is. (So
it is where the sum itself leaves the range of its dtype; numbers of 1e38 are as good as lost.) The
answers are summed over the replicas: all of them find the same.

A step that is undone takes its way like any other, and every variable then gets the value back that
it had before. There are no branches, which replicas of a strategy could not take.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from gdw_tf import replicas

POLICIES = ("stop", "skip")
"""What training does when a step is not finite; see `Method.compile`."""


def is_lost(tensors: Sequence[tf.Tensor | keras.Variable]) -> tf.Tensor:
    """Whether a number of the tensors is infinite or NaN, on this replica.

    Args:
        tensors: of any shapes and dtypes; there may be none. Integers are never lost.

    Returns:
        1 or 0, a float32 scalar.
    """
    tensors = [tf.convert_to_tensor(tensor) for tensor in tensors]
    tensors = [tensor for tensor in tensors if tensor.dtype.is_floating]
    if not tensors:
        return tf.zeros(())
    widest = max((tf.float32, *(t.dtype for t in tensors)), key=lambda dtype: dtype.size)
    sums = [
        tf.cast(tf.reduce_sum(t if t.dtype.size >= 4 else tf.cast(t, tf.float32)), widest)
        for t in tensors
    ]
    return tf.cast(~tf.math.is_finite(tf.add_n(sums)), tf.float32)


def all_finite(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Whether no number of the tensors is lost on any replica, a boolean scalar."""
    return replicas.total(is_lost(tensors)) == 0.0


def values(variables: Sequence[keras.Variable]) -> list[tf.Tensor]:
    """The values of variables as they are now."""
    return [tf.identity(variable.value) for variable in variables]


def restore_unless(
    condition: tf.Tensor, variables: Sequence[keras.Variable], before: Sequence[tf.Tensor]
) -> None:
    """Gives variables back the values of `before` unless the condition, a scalar, holds."""
    for variable, value in zip(variables, before, strict=True):
        variable.assign(tf.where(condition, variable.value, value))
