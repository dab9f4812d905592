"""`Batch`: the parts of a batch, wherever it comes from."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf


class Batch(NamedTuple):
    """B examples: `Batch(*data)` of a batch as `tf.data` yields it, of two to four parts.

    Attributes:
        inputs: what the classifier takes: a tensor, or a nested structure of tensors.
        labels: as users give them: integers (B,) or (B, 1), or one-hot (B, C).
        sample_weight: factor of each example in the loss, (B,) or (B, 1), or `None`.
        index: the number of each example in the training set, integers (B,), or `None`; for methods
            that remember something of every example.
    """

    inputs: Any
    labels: tf.Tensor
    sample_weight: tf.Tensor | None = None
    index: tf.Tensor | None = None
