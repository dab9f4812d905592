"""`Batch`: the parts of a batch, wherever it comes from; and means over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from gdw_tf import replicas
from gdw_tf.labels import one_hot_labels


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


def training_batch(data: Any) -> Batch:
    """The training batch of what a training step is given, a pair of batches.

    Raises:
        ValueError: it is no such pair, as from `train_on_batch`.
    """
    if len(data) != 2 or not isinstance(data[0], tuple):
        raise ValueError(
            "A training step takes a pair of batches, training and meta; `fit` makes it."
        )
    return Batch.of(data[0])


def mean_over_batch(values: tf.Tensor, sample_weight: tf.Tensor | None) -> tf.Tensor:
    """Divides per-example values (B, K) by B, each example's times its sample weight (B, 1)."""
    if sample_weight is not None:
        values *= sample_weight
    return values / tf.cast(tf.shape(values)[0], values.dtype)


def mean_cross_entropy(
    logits: tf.Tensor, labels: tf.Tensor, sample_weight: tf.Tensor | None
) -> tf.Tensor:
    """The mean cross-entropy in nats of logits (B, C) and one-hot labels (B, C), a scalar."""
    losses = tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    return tf.reduce_sum(mean_over_batch(losses[:, tf.newaxis], sample_weight))


def accuracy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The share of right answers among logits (B, C) with one-hot labels (B, C), a scalar."""
    right = tf.equal(tf.argmax(logits, axis=1), tf.argmax(labels, axis=1))
    return mean(tf.cast(right, logits.dtype))


def mean(values: tf.Tensor) -> tf.Tensor:
    """The mean of all numbers of a tensor; 0 of none, as for a replica without examples."""
    return tf.math.divide_no_nan(tf.reduce_sum(values), tf.cast(tf.size(values), values.dtype))


def standardized(
    data: tuple[tuple[Any, ...], tuple[Any, ...]], logits: tf.Tensor
) -> tuple[Batch, Batch | None]:
    """Brings a pair of batches to one-hot labels, sample weights (B, 1) or `None`, and shares."""
    batches = [Batch.of(parts) for parts in data if parts]
    shares = replicas.shares([tf.shape(batch.labels)[0] for batch in batches])
    batch, *meta_batch = (
        batch._replace(
            labels=one_hot_labels(batch.labels, logits.shape[-1], logits.dtype),
            sample_weight=column(batch.sample_weight, logits),
            share=share if isinstance(share, float) else tf.cast(share, logits.dtype),
        )
        for batch, share in zip(batches, shares, strict=True)
    )
    return batch, meta_batch[0] if meta_batch else None


def column(sample_weight: tf.Tensor | None, like: tf.Tensor) -> tf.Tensor | None:
    """Brings sample weights, (B,) or (B, 1), to (B, 1) and another tensor's dtype."""
    if sample_weight is None:
        return None
    return tf.cast(tf.reshape(sample_weight, (-1, 1)), like.dtype)
