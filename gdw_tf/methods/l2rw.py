"""L2RW: a weight for each example of the batch, straight from the meta gradient.

    phi    = 0                                (B, 1)
    u(phi) = phi * D1
    phi'   = B max(-g, 0) / sum max(-g, 0)

An example counts as much as the first little of it would lower the meta loss, and not at all if it
would raise it; nothing is remembered from step to step. The weights sum to one over the batch in
the paper; here to B, because the engine divides by B. Where no example would lower the meta loss,
all weights are zero, as in the paper. Only the direction of the virtual step matters, so that
`virtual_lr` can be any positive number.

Source: Ren et al., "Learning to Reweight Examples for Robust Deep Learning", ICML 2018,
algorithm 1.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gdw_tf import replicas
from gdw_tf.batch import Batch
from gdw_tf.class_gradients import ClassGradients
from gdw_tf.methods.weighting import WeightingMethod


@keras.saving.register_keras_serializable("gdw_tf")
class L2RW(WeightingMethod):
    """Learning to reweight; see `WeightingMethod` for the arguments.

    Raises:
        ValueError: `meta_every` above 1: without a meta gradient there are no weights.
    """

    def __init__(self, classifier: keras.Model, **kwargs: Any) -> None:
        super().__init__(classifier, **kwargs)
        if self.meta_every > 1:
            raise ValueError(
                "L2RW has no weights in a step without a meta gradient. Received: "
                f"meta_every={self.meta_every}; allowed: 1."
            )

    def outer_parameters(self, batch: Batch, gradients: ClassGradients) -> tf.Tensor:
        """Zero for every example, (B, 1)."""
        return tf.zeros_like(gradients.loss)

    def updated_outer_parameters(
        self, batch: Batch, gradients: ClassGradients, outer: tf.Tensor, meta_gradient: tf.Tensor
    ) -> tf.Tensor:
        """The examples' weights, (B, 1), of mean one or all zero.

        The meta gradient of an example holds its sample weight, by which its share of the actual
        step will be multiplied once more: it is taken out, and the mean is the weighted one.
        """
        gains = tf.nn.relu(-meta_gradient)
        sizes = tf.ones_like(gains) if batch.sample_weight is None else batch.sample_weight
        mean = tf.math.divide_no_nan(*replicas.total([tf.reduce_sum(gains), tf.reduce_sum(sizes)]))
        return tf.math.divide_no_nan(tf.math.divide_no_nan(gains, sizes), mean)
