"""Plain training: the loss of every example counts the same.

    u = slope * (softmax(z) - onehot(y))

with the cross-entropy, whose slope is 1, or another base loss of `gdw_tf.losses`. The yardstick of
every other method, in the same frame: same data, same optimizer, same logs.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gdw_tf.batch import Batch
from gdw_tf.lookahead import ForwardPass
from gdw_tf.losses.softmax_loss import CrossEntropy, SoftmaxLoss, check_base_loss
from gdw_tf.methods.base import Method


@keras.saving.register_keras_serializable("gdw_tf")
class CE(Method):
    """Plain training of a classifier.

    The meta set plays no part in training; it is only evaluated, see `Method`.

    Args:
        classifier: any Keras model that answers logits, (B, C).
        base_loss: a loss of `gdw_tf.losses`; default `None`, the cross-entropy.
        **kwargs: `seed`, `name` of `Method`.

    Raises:
        TypeError: `classifier` is not a Keras model; `base_loss` is no `SoftmaxLoss`.
        ValueError: `classifier` ends in softmax.
    """

    option_names = (*Method.option_names, "base_loss")

    def __init__(
        self, classifier: keras.Model, *, base_loss: SoftmaxLoss | None = None, **kwargs: Any
    ) -> None:
        super().__init__(classifier, **kwargs)
        self.base_loss = check_base_loss(base_loss)

    def training_gradient(
        self, forward: ForwardPass, batch: Batch, meta_batch: Batch | None
    ) -> dict[str, tf.Tensor]:
        """The gradient of the base loss."""
        parts = (self.base_loss or CrossEntropy()).parts(forward.logits, batch.labels)
        return {"logit_gradient": parts.slope * (parts.probabilities - batch.labels)}
