"""ELR: plain training that holds on to its own early predictions, one target an example.

    t_i <- beta t_i + (1 - beta) p
    u   = p - onehot(y) + lambda p * (<t_i, p> - t_i) / (1 - <t_i, p>),   p = softmax(z)

The mathematics and its source stand in `gdw_tf.losses.early_learning`; the targets t are the
method's memory of the training examples, saved with the model.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gdw_tf.batch import Batch
from gdw_tf.lookahead import ForwardPass
from gdw_tf.losses.early_learning import check_options, moved_targets, regularizer_gradient
from gdw_tf.methods.base import Method


@keras.saving.register_keras_serializable("gdw_tf")
class ELR(Method):
    """Early-learning regularisation (Liu et al., NeurIPS 2020).

    The meta set plays no part in training; it is only evaluated, see `Method`. A `tf.data.Dataset`
    must give the number of every example, see `Method.fit`.

    Args:
        classifier: any Keras model that answers logits, (B, C).
        elr_lambda: lambda, factor of the regularisation; default 3, the paper's on CIFAR-10 (on
            CIFAR-100: 7).
        elr_beta: beta, how much of a target stays in each visit, at least 0 and below 1; default
            0.7, the paper's on CIFAR-10 (on CIFAR-100: 0.9).
        **kwargs: `seed`, `name` of `Method`.

    Raises:
        TypeError: `classifier` is not a Keras model; an option is not a number.
        ValueError: `classifier` ends in softmax; an option is out of its range.
    """

    option_names = (*Method.option_names, "elr_lambda", "elr_beta")

    def __init__(
        self,
        classifier: keras.Model,
        *,
        elr_lambda: float = 3.0,
        elr_beta: float = 0.7,
        **kwargs: Any,
    ) -> None:
        super().__init__(classifier, **kwargs)
        check_options(elr_lambda, elr_beta)
        self.elr_lambda = elr_lambda
        self.elr_beta = elr_beta

    def memory_width(self, num_classes: int) -> int:
        """A target, one number a class."""
        return num_classes

    def training_gradient(
        self, forward: ForwardPass, batch: Batch, meta_batch: Batch | None
    ) -> dict[str, tf.Tensor]:
        """Moves the targets, and adds their gradient to that of the cross-entropy."""
        probabilities = tf.nn.softmax(forward.logits)
        targets = moved_targets(
            self.read_memory(batch, probabilities.dtype), probabilities, self.elr_beta
        )
        self.write_memory(batch, targets)
        gradient = self.elr_lambda * regularizer_gradient(probabilities, targets)
        return {"logit_gradient": probabilities - batch.labels + gradient, "targets": targets}
