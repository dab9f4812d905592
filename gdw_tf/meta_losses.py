"""What a meta method asks of the meta set: the loss that the virtual step is to lower.

On a clean meta set that is the cross-entropy. On a meta set with wrong labels in it the
cross-entropy would teach the weights to fit these too, for an example counts the more in it the
less the classifier believes its label. The mean absolute error

    sum_j |softmax(z)_j - y_j|,    2 (1 - p_y) for a one-hot label,

is bounded and symmetric: summed over all labels that an example could have it is a constant.
(Of a one-hot label it is twice `GeneralizedCrossEntropy(q=1)` of `gdw_tf.losses`.)
Its minimum is therefore that of the clean labels under uniform noise and, where the clean labels
can be fitted, under class-dependent noise that leaves every class its own label most often.

Sources: Ghosh, Kumar, Sastry, "Robust Loss Functions under Label Noise for Deep Neural Networks",
AAAI 2017, sections 3 and 4 (the loss and its robustness); Ghosh and Lan, "Do We Really Need Gold
Samples for Sample Weighting Under Label Noise?", WACV 2021 (as a meta loss on noisy labels).
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from gdw_tf.batch import mean_cross_entropy, mean_over_batch

MetaLoss = Callable[[tf.Tensor, tf.Tensor, tf.Tensor | None], tf.Tensor]
"""Of logits (B, C), one-hot labels (B, C) and sample weights (B, 1) or `None`: a scalar."""


def mean_absolute_error(
    logits: tf.Tensor, labels: tf.Tensor, sample_weight: tf.Tensor | None
) -> tf.Tensor:
    """The mean absolute error of the probabilities, summed over the classes.

    Args:
        logits: (B, C).
        labels: one-hot, (B, C).
        sample_weight: factor of each example, (B, 1), or `None`; the mean is over the number of
            examples.

    Returns:
        A scalar, 0 to 2 without sample weights.
    """
    errors = tf.reduce_sum(tf.abs(tf.nn.softmax(logits) - labels), axis=1, keepdims=True)
    return tf.reduce_sum(mean_over_batch(errors, sample_weight))


META_LOSSES: dict[str, MetaLoss] = {
    "cross_entropy": mean_cross_entropy,
    "mae": mean_absolute_error,
}


def check_meta_loss(meta_loss: object) -> str:
    """Returns the name of a meta loss.

    Raises:
        ValueError: it is none of `META_LOSSES`.
    """
    if meta_loss not in tuple(META_LOSSES):
        raise ValueError(
            f"meta_loss is out of range. Received: meta_loss={meta_loss!r}; allowed: "
            f"{', '.join(META_LOSSES)}."
        )
    return meta_loss
