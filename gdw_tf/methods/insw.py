"""INSW: a learned weight for each training example, kept from visit to visit.

    phi    = what is remembered of the example, zero at the start      (B, 1)
    u(phi) = B softmax(phi over the batch) * D1
    phi'   = phi - clip(eta g / sum|g|, +-clip), remembered

The weights of a batch sum to one in the paper; here to B, because the engine divides by B. Equal
phi are plain training.

The paper gives phi a plain gradient step, and its authors' program lets phi decay from visit to
visit and has a validation set that is seen whole in every step. Here the step is normalised over
the batch and clipped (`gdw_tf.methods.outer_step`), nothing decays, and a step sees one meta batch.

Source: Hu et al., "Learning Data Manipulation for Augmentation and Weighting", NeurIPS 2019,
section 4, where weighting is the second of two instances of the method.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from gdw_tf import replicas
from gdw_tf.batch import Batch
from gdw_tf.class_gradients import ClassGradients
from gdw_tf.methods.outer_step import OuterStep
from gdw_tf.methods.weighting import WeightingMethod


@keras.saving.register_keras_serializable("gdw_tf")
class INSW(OuterStep, WeightingMethod):
    """Instance weighting; see `OuterStep` and `WeightingMethod` for the arguments."""

    option_names = (*WeightingMethod.option_names, *OuterStep.option_names)

    def memory_width(self, num_classes: int) -> int:
        """One number an example."""
        return 1

    def outer_parameters(self, batch: Batch, gradients: ClassGradients) -> tf.Tensor:
        """The logarithms of the examples' weights, up to a common constant, (B, 1)."""
        return self.read_memory(batch, gradients.loss.dtype)

    def logit_gradient(self, gradients: ClassGradients, outer: tf.Tensor) -> tf.Tensor:
        """The weighted gradient, (B, C), with weights of mean one."""
        return super().logit_gradient(gradients, self.weights_of(outer))

    def weights_of(self, outer: tf.Tensor) -> tf.Tensor:
        """The weights, of mean one, (B, 1)."""
        largest = tf.stop_gradient(tf.reduce_max(replicas.joined(outer)))
        sizes = tf.exp(outer - largest)  # of a softmax over the global batch
        entries = tf.cast(tf.size(outer), outer.dtype)
        mean = tf.math.divide(*replicas.total([tf.reduce_sum(sizes), entries]))
        return sizes / mean

    def updated_outer_parameters(
        self, batch: Batch, gradients: ClassGradients, outer: tf.Tensor, meta_gradient: tf.Tensor
    ) -> tf.Tensor:
        """One clipped step against the meta gradient, (B, 1)."""
        updated = outer - self.class_level_update(meta_gradient)
        self.write_memory(batch, updated)
        return updated
