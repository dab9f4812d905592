"""The one-step virtual update and its Jacobian products: what every meta method differentiates.

A meta method asks how the loss on the meta set would change if the classifier took a step with
other logit gradients u. The virtual step is plain gradient descent,

    theta'(u) = theta - alpha J(z)^T u,

with J(z) the Jacobian of the batch's logits on the weights. Because theta' is linear in u,

    dL/du = -alpha J(z) v        with v = dL/d theta' on the meta batch,

a Jacobian-vector product. Nested tapes give exactly that and nothing more: the inner tape records
one forward pass and pulls logit gradients back to the weights; an outer tape that watches *only*
what u is made of records the pull-back, and differentiating it gives the product above. The
second derivative of the classifier is never built, and the one recorded forward serves both the
virtual and the actual step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from gdw_tf import loss_scale


class ForwardPass:
    """A training-mode forward pass whose logit gradients can be pulled back more than once.

    The classifier's moving statistics and random state are updated, as in any training step.

    Args:
        classifier: a built Keras model answering logits.
        inputs: its inputs: a tensor, or a nested structure of tensors, of B examples.

    Attributes:
        logits: (B, C), in float32 at least.
        regularization: the sum of `classifier.losses`, a scalar; `None` where there are none.
        variables: the classifier's trainable variables.
    """

    def __init__(self, classifier: keras.Model, inputs: Any) -> None:
        self.variables = classifier.trainable_variables
        with tf.GradientTape(persistent=True) as self._tape:
            self._raw_logits = classifier(inputs, training=True)
            self.logits = in_full_precision(self._raw_logits)
            # As Keras does: of any shape, and some of them in half precision.
            losses = [tf.reduce_sum(tf.cast(loss, self.logits.dtype)) for loss in classifier.losses]
            self.regularization = tf.add_n(losses) if losses else None

    def gradients(
        self,
        logit_gradient: tf.Tensor,
        *,
        variables: Sequence[keras.Variable] | None = None,
        regularization_gradient: tf.Tensor | None = None,
        scale: tf.Tensor | None = None,
    ) -> list[tf.Tensor]:
        """Pulls a gradient on the logits back to the weights: J(z)^T u.

        Args:
            logit_gradient: u, (B, C).
            variables: those of `self.variables` to pull it back to, and no further; default all.
            regularization_gradient: the factor by which the regularisers' gradient is added;
                left out by default.
            scale: factor under which the pass runs in half precision, see `gdw_tf.loss_scale`;
                default none.

        Returns:
            One dense tensor a variable; zeros where the logits do not depend on it.
        """
        if scale is not None:
            logit_gradient = loss_scale.scaled(logit_gradient, scale)
        targets = [self._raw_logits]
        output_gradients = [tf.cast(logit_gradient, self._raw_logits.dtype)]
        if regularization_gradient is not None and self.regularization is not None:
            targets.append(self.regularization)
            output_gradients.append(tf.cast(regularization_gradient, self.regularization.dtype))
        gradients = self._tape.gradient(
            targets,
            # TensorFlow's variables: of a Keras variable it cannot make a gradient of zeros.
            [v.value for v in (self.variables if variables is None else variables)],
            output_gradients=output_gradients,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        gradients = dense(gradients)
        return gradients if scale is None else loss_scale.unscaled(gradients, scale)


def dense(gradients: Sequence[tf.Tensor | tf.IndexedSlices]) -> list[tf.Tensor]:
    """Gradients as tensors, for plain arithmetic: those of embeddings come as rows of a table."""
    return [tf.convert_to_tensor(gradient) for gradient in gradients]


def virtual_weights(
    variables: Sequence[keras.Variable], gradients: Sequence[tf.Tensor], learning_rate: tf.Tensor
) -> list[tf.Tensor]:
    """Answers weights one plain gradient-descent step further on; the variables stay as they are.

    Args:
        variables: those that move.
        gradients: a tensor for each of them.
        learning_rate: alpha of the virtual step, a scalar.
    """
    return [
        variable.value - tf.cast(learning_rate, variable.dtype) * gradient
        for variable, gradient in zip(variables, gradients, strict=True)
    ]


def virtual_logits(
    classifier: keras.Model,
    variables: Sequence[keras.Variable],
    weights: Sequence[tf.Tensor],
    inputs: Any,
) -> tf.Tensor:
    """Answers the logits that the classifier would give with other weights.

    The classifier runs in training mode (batch statistics). Its variables stay as they are,
    moving statistics included; only the state of its random generators moves on, so that
    the next forward pass draws other dropout masks.

    Args:
        classifier: a built Keras model.
        variables: those of its variables that have other weights.
        weights: a tensor for each of them.
        inputs: inputs of M examples.

    Returns:
        Logits, (M, C), in float32 at least.
    """
    # `stateless_call` would enter the model below `__call__`, where `training` no longer reaches
    # the layers of a model whose `call` does not hand it on; the scope it uses does not.
    with keras.StatelessScope(state_mapping=zip(variables, weights, strict=True)) as scope:
        logits = classifier(inputs, training=True)
    for state in random_states(classifier):
        drawn = scope.get_current_value(state)
        if drawn is not None:  # an LSTM without dropout has a generator and never draws
            state.assign(drawn)
    return in_full_precision(logits)


def random_states(classifier: keras.Model) -> list[keras.Variable]:
    """The states of the random generators of a model's layers (dropout, noise, ...)."""
    return [
        variable
        for variable in classifier.non_trainable_variables
        if variable.name == "seed_generator_state"
    ]


def in_full_precision(logits: tf.Tensor) -> tf.Tensor:
    """Casts half-precision logits to float32: probabilities and weights are computed there."""
    return logits if logits.dtype.size >= 4 else tf.cast(logits, tf.float32)
