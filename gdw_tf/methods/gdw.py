"""GDW: a learned weight for each class-level part of each example's gradient.

    phi    = constraint(V(cross-entropy) repeated over the classes)                  (B, C)
    u(phi) = phi * D1
    phi'   = constraint(clip(phi - clip(eta g / sum|g|, +-0.2), 1e-6, 1e6))

with the zero-mean constraint of `gdw_tf.class_gradients`. A wrong label is thereby not only
given less weight: its pull up on the wrong class can be damped or stopped while its push
down on classes that are indeed wrong is kept.

In the paper the class-level step is taken anew in every step, and an example that is seen again
starts from V once more. With a memory beta > 0, which is not the paper's, every training example
keeps the class-level steps of its earlier visits, fading by beta a visit:

    m    <- beta m + clip(eta g / sum|g|, +-0.2)
    phi'  = constraint(clip(phi - m, 1e-6, 1e6))

Source: Chen et al., "Generalized DataWeighting via Class-Level Gradient Manipulation", NeurIPS
2021, section 3 (arXiv 2111.00056).
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gdw_tf.batch import Batch
from gdw_tf.checks import check_number
from gdw_tf.class_gradients import ClassGradients, bounded_weights, zero_mean_weights
from gdw_tf.methods.outer_step import OuterStep
from gdw_tf.methods.weighting import WeightNetMethod


@keras.saving.register_keras_serializable("gdw_tf")
class GDW(OuterStep, WeightNetMethod):
    """Generalized data weighting.

    ```python
    model = gdw_tf.GDW(classifier)
    model.compile(optimizer=gdw_tf.CoupledSGD(0.1), metrics=["accuracy"])
    model.fit(train_ds, meta_data=meta_ds, validation_data=test_ds, epochs=80)
    ```

    Args:
        classifier: any Keras model that answers logits, (B, C).
        zero_mean: whether the zero-mean constraint is kept; default `True`. `False` is the
            paper's ablation.
        memory: beta, how much of its class-level steps a training example keeps until its next
            visit, from 0 to below 1; default 0, the paper's.
        **kwargs: the options of `OuterStep`, eta and its clip, and of `WeightNetMethod`.

    Raises:
        TypeError: `classifier` is not a Keras model; an option is of another type.
        ValueError: `classifier` ends in softmax; an option out of its range.
    """

    option_names = (
        *WeightNetMethod.option_names,
        *OuterStep.option_names,
        "zero_mean",
        "memory",
    )

    def __init__(
        self,
        classifier: keras.Model,
        *,
        zero_mean: bool = True,
        memory: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(classifier, **kwargs)
        check_number("memory", memory, 0.0)
        if memory >= 1.0:
            raise ValueError(
                f"memory is out of range. Received: memory={memory}; allowed: 0 to below 1."
            )
        self.zero_mean = zero_mean
        self.memory = memory

    def memory_width(self, num_classes: int) -> int:
        """One number a class, if anything is remembered."""
        return num_classes if self.memory else 0

    def outer_parameters(self, batch: Batch, gradients: ClassGradients) -> tf.Tensor:
        """First-stage weights: the example's weight for every class, constrained, (B, C)."""
        weights = self.weight_net(gradients.loss)
        num_classes = gradients.labels.shape[-1]
        return self._constrained(tf.repeat(weights, num_classes, axis=1), gradients)

    def updated_outer_parameters(
        self, batch: Batch, gradients: ClassGradients, outer: tf.Tensor, meta_gradient: tf.Tensor
    ) -> tf.Tensor:
        """Second-stage weights: one clipped step against the meta gradient, (B, C)."""
        update = self.class_level_update(meta_gradient)
        if self.memory:
            update += self.memory * self.read_memory(batch)
            self.write_memory(batch, update)
        return self._constrained(bounded_weights(outer - update), gradients)

    def carried_outer_parameters(
        self, batch: Batch, gradients: ClassGradients, outer: tf.Tensor
    ) -> tf.Tensor:
        """First-stage weights, less what is remembered of the examples' class-level steps."""
        if not self.memory:
            return outer
        return self._constrained(bounded_weights(outer - self.read_memory(batch)), gradients)

    def _constrained(self, weights: tf.Tensor, gradients: ClassGradients) -> tf.Tensor:
        if not self.zero_mean:
            return weights
        return zero_mean_weights(weights, gradients.probabilities, gradients.labels)
