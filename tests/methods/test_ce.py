from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import gdw_tf

pytestmark = pytest.mark.usefixtures("float64")


def make_network() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(6, use_bias=False, kernel_regularizer="l2"),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Dense(3),
        ]
    )


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "sample_weight"])
def test_plain_training_is_that_of_keras(weighted):
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(22, 4)), generator.integers(3, size=22)
    arguments = {
        "batch_size": 8,  # the last batch holds 6
        "epochs": 2,
        "shuffle": False,
        "sample_weight": generator.uniform(0, 2, 22) if weighted else None,
        "verbose": 0,
    }
    keras.utils.set_random_seed(0)
    network, wrapped = make_network(), make_network()
    # Large logits: probabilities above the 0.999 of the meta methods are left alone here.
    network.layers[-1].kernel.assign(20 * network.layers[-1].kernel)
    wrapped.set_weights(network.get_weights())
    start = network.get_weights()

    network.compile(
        gdw_tf.CoupledSGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    network.fit(x, y, **arguments)
    model = gdw_tf.CE(wrapped)
    model.compile(gdw_tf.CoupledSGD(0.1))
    model.fit(x, y, **arguments)

    for variable, expected, initial in zip(
        wrapped.weights, network.get_weights(), start, strict=True
    ):
        assert np.abs(expected - initial).max() > 1e-3
        np.testing.assert_allclose(
            variable, expected, rtol=1e-10, atol=1e-12, err_msg=variable.path
        )
