"""The weight net V: from an example's loss to how much the example should count.

An MLP 1 -> hidden units (ReLU) -> 1 (sigmoid), shared by MW-Net, where its output weights the
whole example, and GDW, where it is the first stage of the class-level weights. Source: Shu et
al., "Meta-Weight-Net: Learning an Explicit Mapping For Sample Weighting", NeurIPS 2019,
section 2.2.
"""

from __future__ import annotations

import math

import keras

from gdw_tf.checks import check_integer


def build_weight_net(hidden_units: int = 100) -> keras.Model:
    """Builds the weight net.

    Weights and biases start uniform in +-1/sqrt(fan-in), as in the authors' program.

    Args:
        hidden_units: width of the hidden layer; default 100, the paper's.

    Returns:
        A Keras model from per-example cross-entropy (B, 1) to weights in (0, 1), (B, 1).

    Raises:
        TypeError: `hidden_units` is not an integer.
        ValueError: `hidden_units` is less than 1, or 2**31 or more.
    """
    check_integer("hidden_units", hidden_units, 1, 2**31 - 1)
    return keras.Sequential(
        [
            keras.Input((1,), name="cross_entropy"),
            _dense(hidden_units, fan_in=1, activation="relu"),
            _dense(1, fan_in=hidden_units, activation="sigmoid"),
        ],
        name="weight_net",
    )


def _dense(units: int, *, fan_in: int, activation: str) -> keras.layers.Dense:
    bound = 1.0 / math.sqrt(fan_in)
    return keras.layers.Dense(
        units,
        activation=activation,
        kernel_initializer=keras.initializers.RandomUniform(-bound, bound),
        bias_initializer=keras.initializers.RandomUniform(-bound, bound),
        # The weights of examples are a float32 matter under any mixed-precision policy.
        dtype=keras.config.floatx(),
    )
