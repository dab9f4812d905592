"""Sums over the replicas of a `tf.distribute` strategy, so that a step means the global batch.

Under a strategy of N replicas every replica takes the training step on its part of the training
batch and of the meta batch, B_r and M_r examples of B and M. What the mathematics sums over the
batch is then summed over the replicas, too:

    virtual step     J(z)^T u / B                  all-reduced, of the size of the weights
    meta gradient    v = dL / d theta'             all-reduced, of the size of the weights
    actual step      J(z)^T u' / B                 all-reduced by the optimizer, of the same size
    class-level      sum|g| and the like           a few numbers

N replicas take the step of one, but for the order of floating-point sums. A batch normalisation
that is not synchronised has the statistics of each replica's part, and moving averages of its own
on each replica, of which the first replica's are saved. The sum of the meta gradient is
nothing of its own: it is the derivative of the sum in the virtual step.

On one replica, outside of a strategy, and where Keras only asks for shapes, these functions answer
what they are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def count() -> int:
    """The number of replicas N of the current strategy."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def _is_alone() -> bool:
    """Whether there is nothing to sum: one replica, or no step of one."""
    return count() == 1 or tf.distribute.in_cross_replica_context()


def total(values: Any) -> Any:
    """Sums tensors over the replicas.

    Args:
        values: a tensor or a nested structure of tensors; a list is summed in one go.

    Returns:
        The sums, the same on every replica. The derivative of a sum is the sum of derivatives.
    """
    if _is_alone():
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def shares(sizes: Sequence[tf.Tensor]) -> list[Any]:
    """What part of each global batch this replica has, B_r / B; 1 on one replica.

    Args:
        sizes: B_r of each batch, integer scalars.
    """
    if _is_alone():
        return [1.0] * len(sizes)
    own = tf.cast(tf.stack(sizes), tf.float64)
    return tf.unstack(own / total(own))


def joined(values: tf.Tensor) -> tf.Tensor:
    """Joins what the replicas have, (B_r, ...), along the first axis: (B, ...) on all of them."""
    if _is_alone():
        return values
    # A tensor of this replica's device: TensorFlow asks the tensor where to gather.
    return tf.distribute.get_replica_context().all_gather(tf.identity(values), axis=0)


def own_part(values: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Takes this replica's part, (B_r, ...), out of what was joined, (B, ...).

    Args:
        values: the whole.
        like: a tensor (B_r, ...).
    """
    if _is_alone():
        return values
    sizes = joined(tf.shape(like)[:1])
    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    start = tf.reduce_sum(sizes[:number])
    return tf.slice(values, [start, *([0] * (len(like.shape) - 1))], tf.shape(like))
