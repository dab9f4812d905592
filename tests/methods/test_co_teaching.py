from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf
from gdw_tf.methods.co_teaching import least

from . import examples
from .examples import CLASSES, FEATURES

X, Y = examples.arrays(24)


# Which examples are kept.


@pytest.mark.parametrize(
    ("losses", "kept", "expected"),
    [
        ([3.0, 1.0, 2.0, 0.5], 2, [0, 1, 0, 1]),
        ([3.0, 1.0, 2.0, 0.5], 4, [1, 1, 1, 1]),
        ([3.0, 1.0, 2.0, 0.5], 1, [0, 0, 0, 1]),
        ([1.0, 1.0, 0.0, 1.0, 1.0], 3, [1, 1, 1, 0, 0]),
        ([0.0, 0.0, 0.0], 2, [1, 1, 0]),
    ],
)
def test_the_smallest_losses_are_kept_and_of_equal_ones_the_earlier(losses, kept, expected):
    mask = least(tf.constant(losses), tf.constant(float(kept)))
    np.testing.assert_array_equal(mask, expected)


def test_the_smallest_of_many_losses_are_those_that_numpy_sorts_first():
    losses = np.random.default_rng(0).integers(0, 40, 200).astype(np.float32)  # with many ties
    for kept in (1, 50, 199):
        expected = np.zeros(200)
        expected[np.argsort(losses, kind="stable")[:kept]] = 1
        for jit_compile in (False, True):
            mask = tf.function(least, jit_compile=jit_compile)(losses, tf.constant(float(kept)))
            np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"gradual_share": 0.2}, [1.0, 0.9, 0.8, 0.7] + [0.6] * 16),
        ({}, [1 - 0.08 * epoch for epoch in range(5)] + [0.6] * 15),
    ],
    ids=["0.2", "default"],
)
def test_the_share_to_keep_falls_in_the_first_epochs(options, expected):
    options |= {"forget_rate": 0.4}
    model = examples.compiled("co_teaching", options=options, run_eagerly=True)
    model.fit(X, Y, batch_size=24, epochs=20, verbose=0)
    assert model.history.history["kept_share"] == pytest.approx(expected, abs=1e-6)


# The step.


def linear() -> keras.Model:
    return keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(CLASSES)])


def plain_step(network, chosen, batch, momenta, *, rate):
    """A step of SGD with momentum 0.9 and weight decay 0.01 on the mean over the chosen ones."""
    x, y, weight = batch
    kernel, bias = network
    z = x @ kernel + bias
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    u = ((p - np.eye(CLASSES)[y]) * weight[:, np.newaxis])[chosen] / len(chosen)
    gradients = [x[chosen].T @ u + 0.01 * kernel, u.sum(axis=0) + 0.01 * bias]
    momenta[:] = [0.9 * m + g for m, g in zip(momenta, gradients, strict=True)]
    return [theta - rate * m for theta, m in zip(network, momenta, strict=True)]


def cross_entropies(network, x, y):
    z = x @ network[0] + network[1]
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "sample_weight"])
def test_each_network_takes_a_plain_step_on_the_choice_of_the_other(weighted):
    model = examples.compiled(
        "co_teaching",
        linear,
        options={"forget_rate": 0.45, "gradual_share": 0.05},
        optimizer=gdw_tf.CoupledSGD(0.3, 0.9, 0.01),
    )
    networks = [[np.asarray(weight) for weight in one.weights] for one in model.networks]
    momenta = [[np.zeros_like(weight) for weight in one] for one in networks]
    generator, chosen_alike = np.random.default_rng(0), True
    for progress, kept in ((0.0, 10), (0.02, 8), (0.05, 6), (0.9, 6)):  # 10, 8.2, 5.5, 5.5
        x, y = generator.normal(size=(10, FEATURES)), generator.integers(CLASSES, size=10)
        weight = generator.uniform(0, 2, 10) if weighted else np.ones(10)
        model.progress.assign(progress)
        step = model.training_step(((x, y, weight) if weighted else (x, y), ()))

        first, second = (
            np.argsort(cross_entropies(one, x, y), kind="stable")[:kept] for one in networks
        )
        chosen_alike &= set(first) == set(second)
        networks = [
            plain_step(network, chosen, (x, y, weight), momentum, rate=0.3)
            for network, chosen, momentum in zip(networks, (second, first), momenta, strict=True)
        ]
        for network, expected in zip(model.networks, networks, strict=True):
            for variable, value in zip(network.weights, expected, strict=True):
                np.testing.assert_allclose(variable, value, rtol=1e-10, atol=1e-12)
        assert step["logits"].shape == (10, CLASSES)
    assert not chosen_alike
    assert int(model.optimizer.iterations) == 4


def test_at_least_one_example_is_kept():
    model = examples.compiled("co_teaching", options={"forget_rate": 0.9})
    model.progress.assign(1.0)
    step = model.training_step(((X[:3], Y[:3]), ()))
    assert [float(tf.reduce_sum(step[name])) for name in ("chosen", "chosen_by_peer")] == [1, 1]


# The networks.


def test_the_answer_is_that_of_the_first_network():
    model = examples.compiled("co_teaching", run_eagerly=True)
    model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(model(X), model.classifier(X))
    assert not np.allclose(model(X), model.peer(X), atol=1e-2)


@pytest.mark.parametrize("kind", ["batch-normalized", "with dropout", "subclassed, unbuilt"])
def test_both_networks_learn(kind):
    model = examples.compiled(
        "co_teaching",
        examples.CLASSIFIERS[kind],
        optimizer=gdw_tf.CoupledSGD(0.3),
        options={"forget_rate": 0.1},
    )
    model.fit(np.tile(X, (12, 1)), np.tile(Y, 12), verbose=0)
    for network in model.networks:
        right = np.argmax(network(X), axis=1) == Y
        assert right.mean() > 0.6  # by chance: 1/3


def test_networks_that_begin_alike_are_refused():
    def seeded() -> keras.Model:
        initializer = keras.initializers.GlorotUniform(seed=3)
        dense = keras.layers.Dense(CLASSES, kernel_initializer=initializer)
        return keras.Sequential([keras.Input((FEATURES,)), dense])

    model = examples.compiled("co_teaching", seeded)
    with pytest.raises(ValueError, match="must begin differently; give another one as peer"):
        model.fit(X, Y, verbose=0)
    other = gdw_tf.CoTeaching(seeded(), peer=linear())
    other.compile(run_eagerly=True)
    other.fit(X, Y, verbose=0)


class WithoutConfig(keras.Model):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(units)

    def call(self, inputs):
        return self.dense(inputs)


def test_a_peer_must_answer_logits_too():
    with pytest.raises(TypeError, match="peer must be a keras.Model. Received: str"):
        gdw_tf.CoTeaching(linear(), peer="linear")


def test_a_classifier_that_cannot_be_cloned_needs_a_peer():
    with pytest.raises(ValueError, match="cannot be cloned; give a second network as peer"):
        gdw_tf.CoTeaching(WithoutConfig(CLASSES))
    peer = WithoutConfig(CLASSES)
    model = gdw_tf.CoTeaching(WithoutConfig(CLASSES), peer=peer)
    model.compile(run_eagerly=True)
    model.fit(X, Y, verbose=0)
    assert model.peer is peer


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("forget_rate", -0.1),
        ("forget_rate", 1.0),
        ("forget_rate", float("nan")),
        ("gradual_share", 0.0),
        ("gradual_share", 1.1),
    ],
)
def test_an_option_out_of_its_range_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}=.*allowed: "):
        gdw_tf.CoTeaching(linear(), **{name: value})
