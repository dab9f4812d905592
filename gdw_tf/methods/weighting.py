"""`WeightNetMethod`: what MW-Net and GDW share, weights that start from a weight net.

The outer parameters are weights on the class-level gradients, u(phi) = phi * D1, and the outer
model is the weight net V of `gdw_tf.weight_net`, from an example's cross-entropy to its weight.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from gdw_tf.class_gradients import ClassGradients
from gdw_tf.methods.meta import MetaMethod
from gdw_tf.weight_net import build_weight_net


class WeightNetMethod(MetaMethod):
    """Base class of the methods that weight class-level gradients with the help of a weight net.

    Args:
        classifier: any Keras model that answers logits, (B, C).
        hidden_units: width of the weight net; default 100, the paper's.
        **kwargs: `virtual_lr`, `seed`, `name` of `MetaMethod`.

    Raises:
        TypeError: `classifier` is not a Keras model; an option is of another type.
        ValueError: `classifier` ends in softmax; an option is out of its range.
    """

    option_names = (*MetaMethod.option_names, "hidden_units")
    reported = (*MetaMethod.reported, "first_stage_weight", "target_weight")

    def __init__(self, classifier: keras.Model, *, hidden_units: int = 100, **kwargs: Any) -> None:
        super().__init__(classifier, **kwargs)
        self.hidden_units = hidden_units
        self.weight_net = build_weight_net(hidden_units)

    @property
    def outer_variables(self) -> list[keras.Variable]:
        """The weight net's variables."""
        return self.weight_net.trainable_variables

    def step_report(
        self, gradients: ClassGradients, outer: tf.Tensor, updated: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The first-stage weights, and the second-stage weights on the given labels, (B,)."""
        return {
            "first_stage_weight": outer,
            "target_weight": tf.reduce_sum(updated * gradients.labels, axis=1),
        }
