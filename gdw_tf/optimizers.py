"""SGD and Adam with coupled weight decay, and what is done to optimizers of any kind.

Weight decay comes in two kinds. Decoupled, as in `keras.optimizers` (`weight_decay=`), it shrinks
the variable beside the optimizer's step. Coupled, as the paper's experiments use it, it is the
gradient of an L2 penalty,

    g <- g + weight_decay * theta,

so it passes through momentum and through Adam's normalisation, and it acts on every trainable
variable, biases and normalisation scales included, but for those that `exclude_from_weight_decay`
names. The two train differently.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from gdw_tf import replicas
from gdw_tf.checks import check_boolean, check_number, check_rate
from gdw_tf.lookahead import dense


@keras.saving.register_keras_serializable("gdw_tf")
class CoupledSGD(keras.optimizers.SGD):
    """Stochastic gradient descent with momentum and coupled weight decay.

    ```
    g <- g + weight_decay * theta
    m <- momentum * m + g
    theta <- theta - learning_rate * m        (with nesterov: g + momentum * m for m)
    ```

    The momentum buffer holds gradients and the current learning rate scales all of it;
    `keras.optimizers.SGD` scales each gradient by the rate of its own step instead. The two
    differ whenever a schedule moves.

    Args:
        learning_rate: a float, a callable or a `LearningRateSchedule`; default 0.1.
        momentum: in [0, 1]; default 0.9.
        weight_decay: coefficient of the coupled decay; default 5e-4.
        nesterov: whether to use Nesterov momentum; default `False`.
        **kwargs: further arguments of `keras.optimizers.SGD` (clipping, averaging, name).

    Raises:
        TypeError: an argument is not a number, or `nesterov` no boolean.
        ValueError: an argument is out of its range, or not finite.
    """

    def __init__(
        self,
        learning_rate: Any = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        nesterov: bool = False,
        **kwargs: Any,
    ) -> None:
        _check_learning_rate(learning_rate)
        check_rate("momentum", momentum)
        check_number("weight_decay", weight_decay, 0.0)
        check_boolean("nesterov", nesterov)
        super().__init__(learning_rate, momentum=momentum, nesterov=nesterov, **kwargs)
        self.coupled_weight_decay = weight_decay

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        """Updates one variable; called by Keras."""
        learning_rate = ops.cast(learning_rate, variable.dtype)
        gradient = _with_decay(self, gradient, variable)
        if self.momentum != 0:
            buffer = self.momentums[self._get_variable_index(variable)]
            self.assign(buffer, self.momentum * buffer + gradient)
            gradient = gradient + self.momentum * buffer if self.nesterov else buffer
        self.assign_sub(variable, learning_rate * gradient)

    def get_config(self) -> dict[str, Any]:
        """Configuration with the coupled `weight_decay`."""
        return {**super().get_config(), "weight_decay": self.coupled_weight_decay}


@keras.saving.register_keras_serializable("gdw_tf")
class CoupledAdam(keras.optimizers.Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1) with coupled weight decay.

    ```
    g <- g + weight_decay * theta
    m <- beta_1 * m + (1 - beta_1) * g
    v <- beta_2 * v + (1 - beta_2) * g^2
    theta <- theta - learning_rate * (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)
    ```

    `epsilon` is added after the bias correction; `keras.optimizers.Adam` adds it before.

    Args:
        learning_rate: a float, a callable or a `LearningRateSchedule`; default 1e-3.
        beta_1: decay rate of the first moment; default 0.9.
        beta_2: decay rate of the second moment; default 0.999.
        epsilon: default 1e-8.
        weight_decay: coefficient of the coupled decay; default 1e-4.
        name: the optimizer's name.
        **kwargs: further arguments of `keras.optimizers.Optimizer` (clipping, averaging).

    Raises:
        TypeError: an argument is not a number.
        ValueError: an argument is out of its range, or not finite.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 1e-4,
        name: str = "coupled_adam",
        **kwargs: Any,
    ) -> None:
        _check_learning_rate(learning_rate)
        check_number("beta_1", beta_1, 0.0, below=1.0)
        check_number("beta_2", beta_2, 0.0, below=1.0)
        check_number("epsilon", epsilon, 0.0, exclusive=True)
        check_number("weight_decay", weight_decay, 0.0)
        super().__init__(learning_rate, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.coupled_weight_decay = weight_decay

    def build(self, variables: list[keras.Variable]) -> None:
        """Creates the two moments of each variable; called by Keras."""
        if self.built:
            return
        super().build(variables)
        self.first_moments, self.second_moments = (
            [self.add_variable_from_reference(variable, name=name) for variable in variables]
            for name in ("first_moment", "second_moment")
        )

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        """Updates one variable; called by Keras."""
        learning_rate = ops.cast(learning_rate, variable.dtype)
        gradient = _with_decay(self, gradient, variable)
        step = ops.cast(self.iterations + 1, variable.dtype)
        index = self._get_variable_index(variable)
        first, second = self.first_moments[index], self.second_moments[index]
        self.assign(first, self.beta_1 * first + (1.0 - self.beta_1) * gradient)
        self.assign(second, self.beta_2 * second + (1.0 - self.beta_2) * ops.square(gradient))
        # A Python float as base: `ops.cast` would round it to float32 on its way to float64.
        mean = first / (1.0 - self.beta_1**step)
        variance = second / (1.0 - self.beta_2**step)
        self.assign_sub(variable, learning_rate * mean / (ops.sqrt(variance) + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        """Configuration with the coupled `weight_decay`."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "weight_decay": self.coupled_weight_decay,
        }


def fresh_copy(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Makes an optimizer of the same settings that has not taken a step yet.

    What Keras's configuration loses or cannot be read from goes along: a learning rate that is a
    function, and which variables are excluded from weight decay.
    """
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return keras.optimizers.LossScaleOptimizer(
            fresh_copy(optimizer.inner_optimizer),
            initial_scale=optimizer.initial_scale,
            dynamic_growth_steps=optimizer.dynamic_growth_steps,
        )
    config = optimizer.get_config()
    if callable(optimizer._learning_rate):
        config["learning_rate"] = optimizer._learning_rate
    copy = type(optimizer).from_config(config)
    for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
        if hasattr(optimizer, name):
            setattr(copy, name, getattr(optimizer, name))
    return copy


def clips(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimizer clips gradients."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return bool(inner.clipnorm or inner.global_clipnorm or inner.clipvalue)


def clipped_as_one(
    optimizer: keras.optimizers.Optimizer, gradients: Sequence[Any]
) -> Sequence[Any]:
    """Clips the sum of the replicas' gradients, for an optimizer that would clip each one's own.

    Keras's optimizers clip before they sum over the replicas of a strategy: N replicas would take
    another step than one. What is answered on each replica is an Nth of the clipped sum, of which
    the optimizer's own clipping takes nothing more.

    Args:
        optimizer: the one that the gradients are for.
        gradients: of this replica's part, with the optimizer's loss scale.

    Returns:
        The gradients for `optimizer.apply`; as they are on one replica, or without clipping.
    """
    if replicas.count() == 1 or not clips(optimizer):
        return gradients
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    sums = replicas.total(dense(gradients))
    scales = [optimizer.scale_loss(tf.ones((), one.dtype)) for one in sums]
    whole = [one / scale for one, scale in zip(sums, scales, strict=True)]
    if inner.clipnorm:
        clipped = [tf.clip_by_norm(one, inner.clipnorm) for one in whole]
    elif inner.global_clipnorm:
        clipped = tf.clip_by_global_norm(whole, inner.global_clipnorm)[0]
    else:
        clipped = [tf.clip_by_value(one, -inner.clipvalue, inner.clipvalue) for one in whole]
    return [
        # What is not finite stays so: it tells that the loss scale is too large.
        tf.where(tf.math.is_finite(before), after * scale, before) / replicas.count()
        for before, after, scale in zip(sums, clipped, scales, strict=True)
    ]


def _check_learning_rate(learning_rate: Any) -> None:
    if isinstance(learning_rate, numbers.Real):  # a schedule is Keras's to check
        check_number("learning_rate", learning_rate, 0.0)


def _with_decay(
    optimizer: CoupledSGD | CoupledAdam, gradient: Any, variable: keras.Variable
) -> tf.Tensor:
    # The decay touches every row, so the sparse gradient of an embedding is made dense.
    gradient = ops.cast(tf.convert_to_tensor(gradient), variable.dtype)
    if not optimizer._use_weight_decay(variable):  # Keras has no public name for it
        return gradient
    return gradient + optimizer.coupled_weight_decay * variable
