"""Which parts of a batch are made where, when several workers train together.

The replicas of all workers share a batch. Of B indices, each replica in turn has the next
ceil(B / replicas), so the last parts may be shorter or empty; that is how TensorFlow cuts batches,
too. A worker cuts out the parts of its own replicas before anything is read, so that together the
workers read every image once. Joined, the parts are the batch that one worker would make; only what
is drawn to augment them is each part's own.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from gdw_tf.data.orders import fold


class Parts(NamedTuple):
    """The parts that one worker makes of every batch; by default the whole batch.

    Attributes:
        count: how many parts a batch is cut into.
        first: the first one that is made here, counted from 0.
        here: how many are made here.
    """

    count: int = 1
    first: int = 0
    here: int = 1

    @classmethod
    def of(cls, context: tf.distribute.InputContext | None) -> Parts:
        """Those of a worker, which its strategy describes; the whole batch without one."""
        if context is None:
            return cls()
        here = context.num_replicas_in_sync // context.num_input_pipelines
        return cls(context.num_replicas_in_sync, context.input_pipeline_id * here, here)

    def cut(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Cuts these parts out of every batch of indices (B,)."""
        return batches if self.count == 1 else batches.flat_map(self._of_batch)

    def key(self, key: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """Folds into a key, (2,), where a part stands.

        Args:
            key: the key of what is drawn for all batches.
            number: how many parts were made here before.
        """
        if self.count == 1:
            return fold(key, number)
        return fold(fold(key, number // self.here), self.first + number % self.here)

    def _of_batch(self, batch: tf.Tensor) -> tf.data.Dataset:
        size = -(-tf.shape(batch, tf.int64)[0] // self.count)
        divides = batch.shape[0] is not None and batch.shape[0] % self.count == 0
        static_size = batch.shape[0] // self.count if divides else None
        return tf.data.Dataset.range(self.first, self.first + self.here).map(
            lambda number: tf.ensure_shape(
                batch[number * size : (number + 1) * size], (static_size,)
            )
        )
