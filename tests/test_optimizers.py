from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from gdw_tf.optimizers import CoupledAdam, CoupledSGD, fresh_copy

RATES = (0.3, 0.3, 0.3, 0.04, 0.04)  # the learning rate falls midway


class SGD:
    """The recursion of coupled SGD for one array."""

    def __init__(self, *, momentum=0.0, weight_decay=0.0, nesterov=False):
        self.momentum, self.weight_decay, self.nesterov = momentum, weight_decay, nesterov
        self.buffer = 0.0

    def step(self, theta, gradient, rate):
        gradient = gradient + self.weight_decay * theta
        self.buffer = self.momentum * self.buffer + gradient
        direction = gradient + self.momentum * self.buffer if self.nesterov else self.buffer
        return theta - rate * direction


class Adam:
    """The recursion of coupled Adam for one array."""

    def __init__(self, *, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.0):
        self.beta_1, self.beta_2 = beta_1, beta_2
        self.epsilon, self.weight_decay = epsilon, weight_decay
        self.first = self.second = 0.0
        self.steps = 0

    def step(self, theta, gradient, rate):
        gradient = gradient + self.weight_decay * theta
        self.steps += 1
        self.first = self.beta_1 * self.first + (1 - self.beta_1) * gradient
        self.second = self.beta_2 * self.second + (1 - self.beta_2) * gradient**2
        mean = self.first / (1 - self.beta_1**self.steps)
        deviation = np.sqrt(self.second / (1 - self.beta_2**self.steps))
        return theta - rate * mean / (deviation + self.epsilon)


CASES = [
    pytest.param(CoupledSGD, SGD, options, id=f"sgd {options}")
    for options in (
        {"momentum": 0.0, "weight_decay": 0.0},
        {"momentum": 0.9, "weight_decay": 0.0},
        {"momentum": 0.0, "weight_decay": 0.02},
        {"momentum": 0.9, "weight_decay": 0.02},
        {"momentum": 0.9, "weight_decay": 0.02, "nesterov": True},
    )
] + [
    pytest.param(CoupledAdam, Adam, options, id=f"adam {options}")
    for options in (
        {"weight_decay": 0.0},
        {"weight_decay": 0.02},
        {"weight_decay": 0.02, "beta_1": 0.7, "beta_2": 0.95, "epsilon": 1e-3},
    )
]


def run(optimizer, reference, options, dtype, apply=None):
    """Five steps of two variables beside the recursion; returns the variables and the arrays."""
    generator = np.random.default_rng(0)
    thetas = [generator.normal(size=shape) for shape in ((3, 2), (4,))]
    variables = [keras.Variable(theta, dtype=dtype) for theta in thetas]
    recursions = [reference(**options) for _ in thetas]
    apply = apply or optimizer.apply
    for rate in RATES:
        gradients = [generator.normal(size=theta.shape) for theta in thetas]
        optimizer.learning_rate = rate
        apply([tf.constant(gradient, dtype) for gradient in gradients], variables)
        thetas = [
            recursion.step(theta, gradient, rate)
            for recursion, theta, gradient in zip(recursions, thetas, gradients, strict=True)
        ]
    return variables, thetas


@pytest.mark.parametrize("optimizer, reference, options", CASES)
def test_double_precision_steps_are_those_of_the_recursion(float64, optimizer, reference, options):
    variables, thetas = run(optimizer(RATES[0], **options), reference, options, "float64")

    for variable, theta in zip(variables, thetas, strict=True):
        np.testing.assert_allclose(variable, theta, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("optimizer, reference, options", CASES)
def test_single_precision_steps_in_a_graph_are_those_of_the_recursion(
    optimizer, reference, options
):
    made = optimizer(RATES[0], **options)
    apply = tf.function(lambda gradients: made.apply(gradients))

    def build_and_apply(gradients, variables):
        made.build(variables)
        apply(gradients)

    variables, thetas = run(made, reference, options, "float32", build_and_apply)

    for variable, theta in zip(variables, thetas, strict=True):
        np.testing.assert_allclose(variable, theta, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "optimizer, reference, options",
    [
        (CoupledSGD, SGD, {"momentum": 0.9, "weight_decay": 0.5}),
        (CoupledAdam, Adam, {"weight_decay": 0.5}),
    ],
)
def test_sparse_gradients_sum_over_repetitions_and_the_decay_acts_on_every_row(
    float64, optimizer, reference, options
):
    table = np.random.default_rng(1).normal(size=(4, 2))
    variable = keras.Variable(table)
    made = optimizer(0.1, **options)
    recursion = reference(**options)
    for rows in ([1, 3, 1], [0, 0, 3]):
        values = np.random.default_rng(2).normal(size=(3, 2))
        dense = np.zeros_like(table)
        np.add.at(dense, rows, values)
        made.apply([tf.IndexedSlices(tf.constant(values), tf.constant(rows), (4, 2))], [variable])
        table = recursion.step(table, dense, 0.1)

    np.testing.assert_allclose(variable, table, rtol=1e-12)


@pytest.mark.parametrize("make", [CoupledSGD, CoupledAdam])
def test_variables_that_are_excluded_from_the_decay_are_left_where_they_are(make):
    kernel, bias = (keras.Variable([2.0], name=name) for name in ("kernel", "bias"))
    optimizer = make(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.apply([tf.zeros(1), tf.zeros(1)], [kernel, bias])
    assert float(kernel[0]) < 2.0 and float(bias[0]) == 2.0


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("make", [CoupledSGD, CoupledAdam])
def test_a_fresh_copy_has_what_a_configuration_loses(make, scaled):
    kernel, bias = (keras.Variable([2.0], name=name) for name in ("kernel", "bias"))
    optimizer = make(lambda: 0.5, weight_decay=0.5, clipnorm=3.0)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=8.0)
    copy = fresh_copy(optimizer)
    inner = copy.inner_optimizer if scaled else copy
    assert type(inner) is make and inner is not getattr(optimizer, "inner_optimizer", optimizer)
    assert inner.clipnorm == 3.0 and not inner.built
    assert getattr(copy, "initial_scale", 8.0) == 8.0
    inner.apply([tf.zeros(1), tf.zeros(1)], [kernel, bias])
    assert float(kernel[0]) < 2.0 and float(bias[0]) == 2.0


def test_the_defaults_are_those_of_the_paper():
    sgd, adam = CoupledSGD().get_config(), CoupledAdam().get_config()

    assert sgd["learning_rate"] == pytest.approx(0.1)
    assert (sgd["momentum"], sgd["weight_decay"], sgd["nesterov"]) == (0.9, 5e-4, False)
    assert adam["learning_rate"] == pytest.approx(1e-3)
    assert (adam["beta_1"], adam["beta_2"], adam["epsilon"]) == (0.9, 0.999, 1e-8)
    assert adam["weight_decay"] == 1e-4


@pytest.mark.parametrize(
    "optimizer, reference, options",
    [
        (CoupledSGD, SGD, {"momentum": 0.7, "weight_decay": 0.02, "nesterov": True}),
        (
            CoupledAdam,
            Adam,
            {"beta_1": 0.7, "beta_2": 0.95, "epsilon": 1e-3, "weight_decay": 0.02},
        ),
    ],
)
def test_an_optimizer_rebuilt_from_its_configuration_takes_the_same_steps(
    float64, optimizer, reference, options
):
    made = optimizer(0.25, **options, global_clipnorm=1e9, name="mine")

    again = keras.optimizers.deserialize(keras.optimizers.serialize(made))

    assert type(again) is optimizer
    assert again.get_config() == made.get_config()
    assert float(again.learning_rate) == 0.25
    variables, thetas = run(again, reference, options, "float64")
    for variable, theta in zip(variables, thetas, strict=True):
        np.testing.assert_allclose(variable, theta, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", [CoupledSGD, CoupledAdam])
def test_a_schedule_sets_the_rate_of_each_step(float64, make):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0, 1], [0.5, 0.0, 0.25])
    variable = keras.Variable([1.0], dtype="float64")
    optimizer = make(schedule, weight_decay=0.0)
    moves = []
    for _ in range(3):
        before = variable.numpy()
        optimizer.apply([tf.constant([1.0], "float64")], [variable])
        moves.append((before - variable.numpy()).item())

    # A gradient of 1 makes a momentum buffer of 1, 1.9, 2.71, and Adam's normalised step 1.
    sizes = [1.0, 1.9, 2.71] if make is CoupledSGD else [1.0, 1.0, 1.0]
    expected = [0.5 * sizes[0], 0.0 * sizes[1], 0.25 * sizes[2]]
    np.testing.assert_allclose(moves, expected, rtol=1e-7)


@pytest.mark.parametrize("make", [CoupledSGD, CoupledAdam])
@pytest.mark.parametrize("weight_decay", [-1e-4, float("nan")])
def test_a_weight_decay_below_0_is_an_error(make, weight_decay):
    with pytest.raises(ValueError, match=f"Received: weight_decay={weight_decay}; allowed: "):
        make(weight_decay=weight_decay)


@pytest.mark.parametrize("make", [CoupledSGD, CoupledAdam])
def test_an_unknown_argument_is_an_error(make):
    with pytest.raises(ValueError, match="dampening"):
        make(dampening=0.1)
