"""`Batch`: the parts of a batch, wherever it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf


class Batch(NamedTuple):
    """B examples: `Batch.of(data)` of a batch as `tf.data` yields it, of two to four parts.

    Of several replicas each has a batch of its own, a part of the global batch.

    Attributes:
        inputs: what the classifier takes: a tensor, or a nested structure of tensors.
        labels: as users give them: integers (B,) or (B, 1), or one-hot (B, C).
        sample_weight: factor of each example in the loss, (B,) or (B, 1), or `None`.
        index: the number of each example in the training set, integers (B,), or `None`; for methods
            that remember something of every example.
        share: the part of the global batch's examples that are these, a number or a scalar; set by
            the training step, see `gdw_tf.replicas`.
    """

    inputs: Any
    labels: tf.Tensor
    sample_weight: tf.Tensor | None = None
    index: tf.Tensor | None = None
    share: tf.Tensor | float = 1.0

    @classmethod
    def of(cls, parts: Sequence[Any]) -> Batch:
        """Names the parts of a batch; `()` stands for `None`, which a strategy cannot split."""
        return cls(*(None if isinstance(part, tuple) and not part else part for part in parts))
