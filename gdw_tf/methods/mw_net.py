"""MW-Net: a learned weight for each example, from its loss.

    phi    = V(cross-entropy)                (B, 1)
    u(phi) = phi * D1
    phi'   = V(cross-entropy), after V's own step

Source: Shu et al., "Meta-Weight-Net: Learning an Explicit Mapping For Sample Weighting",
NeurIPS 2019, algorithm 1.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from gdw_tf.batch import Batch
from gdw_tf.class_gradients import ClassGradients
from gdw_tf.methods.weighting import WeightNetMethod


@keras.saving.register_keras_serializable("gdw_tf")
class MWNet(WeightNetMethod):
    """Meta-Weight-Net; see `WeightNetMethod` for the arguments."""

    def outer_parameters(self, batch: Batch, gradients: ClassGradients) -> tf.Tensor:
        """One weight an example, (B, 1)."""
        return self.example_weights(gradients)

    def updated_outer_parameters(
        self, batch: Batch, gradients: ClassGradients, outer: tf.Tensor, meta_gradient: tf.Tensor
    ) -> tf.Tensor:
        """The weights that the updated weight net gives, (B, 1)."""
        return self.example_weights(gradients)
