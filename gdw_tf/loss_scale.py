"""The loss scale of the meta gradient, without which float16 would lose it.

In float16 numbers below 6e-8 are zero, and gradients are often that small. Keras therefore scales
the loss of the actual step up and its gradients down again. The meta gradient runs through three
passes in the compute dtype, and each must be scaled on its own:

    pull-back       g  = J(z)^T (s u) / s                the virtual gradient
    meta backward   s v                                  of the loss s L
    J(z) (s v)      s dL/du = -alpha J(z) (s v)          the Jacobian-vector product

The first factor s is one of the forward way only: `scaled` and `unscaled` pass derivatives as they
are, so that the second is the only one in the two passes behind it. (Left to automatic
differentiation, 1 / s would bring the product back to numbers that float16 cannot hold.)

The scale s is the largest power of two that has not overflowed lately: a step whose meta gradient
is not finite teaches nothing (the gradient counts as zero, the weight net stays as it was, memories
fade), is counted, and halves s, down to 1; 2000 finite steps in a row double it. Source of the
rule: Micikevicius et al., "Mixed Precision Training", ICLR 2018, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from gdw_tf import finite, replicas

INITIAL_SCALE = 2.0**15
STEPS_TO_DOUBLE = 2000


def scaled(tensor: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """The tensor times the scale, whose derivative is passed as if it were the tensor's."""
    return tf.custom_gradient(lambda x: (x * scale, lambda derivative: derivative))(tensor)


def unscaled(tensors: Sequence[tf.Tensor], scale: tf.Tensor) -> list[tf.Tensor]:
    """Tensors over the scale, whose derivatives are passed as if they were the tensors'."""
    return [
        tf.custom_gradient(lambda x: (x / tf.cast(scale, x.dtype), lambda derivative: derivative))(
            tensor
        )
        for tensor in tensors
    ]


def agreed(gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Gradients that are infinite on every replica where they are not finite on one of them.

    Keras skips a step whose gradients are not finite, but each replica looks at its own.
    """
    if replicas.count() == 1:
        return list(gradients)
    is_finite = finite.all_finite(gradients)
    return [
        tf.where(is_finite, gradient, tf.constant(np.inf, gradient.dtype)) for gradient in gradients
    ]


def apply_if(
    condition: tf.Tensor,
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[tf.Tensor],
    variables: Sequence[keras.Variable],
) -> None:
    """Takes an optimizer's step, or none: variables and optimizer are then as they were."""
    changed = [*variables, *optimizer.variables]
    before = finite.values(changed)
    optimizer.apply(
        [tf.where(condition, gradient, tf.zeros_like(gradient)) for gradient in gradients],
        variables,
    )
    finite.restore_unless(condition, changed, before)


def lost_for_good(tensors: Sequence[tf.Tensor], scale: tf.Tensor | None) -> tf.Tensor:
    """Whether a number of scaled tensors is not finite, and no smaller scale would help.

    Args:
        tensors: as in `finite.is_lost`.
        scale: their scale; `None` where they have none.

    Returns:
        1 or 0, a float32 scalar.
    """
    is_lost = finite.is_lost(tensors)
    return is_lost if scale is None else tf.where(scale <= 1.0, is_lost, 0.0)


def moved(
    scale: tf.Tensor, finite_steps: tf.Tensor, is_finite: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The scale, and the number of finite steps at it, after one more step; scalars."""
    finite_steps = tf.where(is_finite, finite_steps + 1.0, 0.0)
    is_to_double = finite_steps >= STEPS_TO_DOUBLE
    halved = tf.maximum(0.5 * scale, 1.0)
    scale = tf.where(is_finite, tf.where(is_to_double, 2.0 * scale, scale), halved)
    return scale, tf.where(is_to_double, 0.0, finite_steps)
