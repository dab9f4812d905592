"""`SoftmaxLoss`: the losses that can stand in for the cross-entropy under every method.

Most losses for noisy labels and for imbalanced classes are the cross-entropy c of adjusted logits,
put through a function:

    loss = h(c),   c = -sum_j y_j log p_j,   p = softmax(z + shift).

Their gradient on the logits is that of the cross-entropy times one number an example,

    d loss / dz = h'(c) (p - y),

so it sums to zero over the classes, as D1 of `gdw_tf.class_gradients` does. A loss of this form is
a file of a few lines; it is an ordinary Keras loss, and the base loss of a method:
`CE(classifier, base_loss=...)`, GDW and MW-Net alike.

Under GDW and MW-Net

- D1 is h'(c) (p - y). GDW's zero-mean constraint holds for it as it stands, with these p: the
  slope h'(c) is a common factor of an example's entries and cancels.
- the weight net takes this loss, not the cross-entropy, as its input.
- the meta loss stays the cross-entropy of the logits as the classifier answers them: the shift is a
  matter of training alone, and the classifier is judged as it is used, without it.
- an example whose slope is near zero has hardly a gradient that a weight could act on: what a
  robust loss has given up, the meta set does not bring back.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from gdw_tf.labels import is_one_hot, one_hot_labels


class LossParts(NamedTuple):
    """A loss and its gradient on the logits, slope * (probabilities - y), in factors.

    Attributes:
        probabilities: softmax of the adjusted logits, (B, C).
        value: the loss of each example, (B, 1).
        slope: h'(c), (B, 1).
    """

    probabilities: tf.Tensor
    value: tf.Tensor
    slope: tf.Tensor


class SoftmaxLoss(keras.losses.Loss):
    """Base class: the cross-entropy of adjusted logits, put through a function.

    As a Keras loss it takes labels (B,), (B, 1) or one-hot (B, C) and logits (B, C). A subclass
    defines `adjusted_logits`, `of_cross_entropy` or both, and `get_config`.

    Attributes:
        progress: of a loss that changes in the course of training, a scalar variable: how much of
            it is done, 0 to 1. A method keeps it at its own; beside `keras.Model.fit` the callback
            `gdw_tf.callbacks.ReportProgress(loss.progress)` does. `None` for all others.

    Args:
        **kwargs: `reduction`, `name`, `dtype` of `keras.losses.Loss`.
    """

    progress: keras.Variable | None = None

    def adjusted_logits(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Adds the shift: z + shift, (B, C), from logits and one-hot labels; by default none."""
        return logits

    def of_cross_entropy(self, cross_entropy: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """h(c), (B, 1), from c (B, 1) and one-hot labels (B, C); by default c."""
        return cross_entropy

    def parts(self, logits: tf.Tensor, labels: tf.Tensor) -> LossParts:
        """Computes a batch's losses and the factors of their gradient on the logits.

        Args:
            logits: (B, C), float32 or float64.
            labels: one-hot labels of the same shape and dtype.
        """
        adjusted = self.adjusted_logits(logits, labels)
        cross_entropy = _cross_entropy(adjusted, labels)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(cross_entropy)
            value = self.of_cross_entropy(cross_entropy, labels)
        slope = tape.gradient(value, cross_entropy)
        return LossParts(tf.nn.softmax(adjusted), value, slope)

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        """The loss of each example, (B,)."""
        logits, labels = tf.convert_to_tensor(y_pred), tf.convert_to_tensor(y_true)
        num_classes = logits.shape[-1]
        if not is_one_hot(labels.shape, num_classes):
            labels = tf.cast(labels, tf.int64)  # Keras hands a loss its labels as floats
        labels = one_hot_labels(labels, num_classes, logits.dtype)
        cross_entropy = _cross_entropy(self.adjusted_logits(logits, labels), labels)
        return self.of_cross_entropy(cross_entropy, labels)[:, 0]


@keras.saving.register_keras_serializable("gdw_tf")
class CrossEntropy(SoftmaxLoss):
    """The cross-entropy itself, c: no shift, h(c) = c."""


def check_base_loss(base_loss: object) -> SoftmaxLoss | None:
    """Returns a method's base loss.

    Raises:
        TypeError: it is neither `None` nor a `SoftmaxLoss`.
    """
    if base_loss is not None and not isinstance(base_loss, SoftmaxLoss):
        raise TypeError(
            "base_loss must be a softmax loss of gdw_tf.losses, or None for the cross-entropy. "
            f"Received: base_loss={base_loss!r}"
        )
    return base_loss


def _cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The cross-entropy c of each example, (B, 1)."""
    return tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)[:, tf.newaxis]
