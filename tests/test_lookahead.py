from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from gdw_tf.lookahead import (
    ForwardPass,
    in_full_precision,
    random_states,
    virtual_logits,
    virtual_weights,
)

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture
def generator() -> np.random.Generator:
    keras.utils.set_random_seed(0)
    return np.random.default_rng(0)


def model_of(input_shape, *body) -> keras.Model:
    return keras.Sequential([keras.Input(input_shape), *body])


def randomize(model: keras.Model, generator: np.random.Generator) -> None:
    """Moves all weights away from zeros and ones, which hide mistakes."""
    for variable in model.weights:
        if variable.name != "seed_generator_state":
            variable.assign(generator.uniform(0.2, 1.2, variable.shape))


def mlp(generator: np.random.Generator) -> tuple[keras.Model, list[np.ndarray]]:
    model = model_of((4,), layers.Dense(5, "tanh"), layers.Dense(3))
    weights = [generator.normal(size=variable.shape) for variable in model.weights]
    model.set_weights(weights)
    return model, weights


def mlp_logits(weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    kernel_1, bias_1, kernel_2, bias_2 = weights
    return np.tanh(x @ kernel_1 + bias_1) @ kernel_2 + bias_2


def normalized(x: np.ndarray, epsilon: float = 1e-3) -> np.ndarray:
    """Batch normalisation by the batch's own statistics."""
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + epsilon)


def logits_after_step(model, variables, gradients, learning_rate, inputs) -> tf.Tensor:
    weights = virtual_weights(variables, gradients, learning_rate)
    return virtual_logits(model, variables, weights, inputs)


def zeros_like(variables) -> list[tf.Tensor]:
    return [tf.zeros(variable.shape, variable.dtype) for variable in variables]


def assert_all_close(answers, expected, **tolerance) -> None:
    for answer, value in zip(answers, expected, strict=True):
        np.testing.assert_allclose(answer, value, **tolerance)


# Pulling gradients back.


def test_gradients_are_the_transposed_jacobian_times_u_as_often_as_asked(generator):
    model, weights = mlp(generator)
    x = generator.normal(size=(6, 4))
    forward = ForwardPass(model, tf.constant(x))

    np.testing.assert_allclose(forward.logits, mlp_logits(weights, x), rtol=1e-13)
    for _ in range(2):
        u = generator.normal(size=(6, 3))
        hidden = np.tanh(x @ weights[0] + weights[1])
        before_tanh = u @ weights[2].T * (1 - hidden**2)
        expected = [x.T @ before_tanh, before_tanh.sum(axis=0), hidden.T @ u, u.sum(axis=0)]
        assert_all_close(forward.gradients(tf.constant(u)), expected, rtol=1e-12, atol=1e-14)


def test_gradients_are_those_of_a_jacobian_made_by_moving_every_weight(generator):
    model = model_of((3,), layers.Dense(2), layers.BatchNormalization(), layers.Dense(2))
    randomize(model, generator)
    x, u = generator.normal(size=(4, 3)), generator.normal(size=(4, 2))
    gradients = ForwardPass(model, tf.constant(x)).gradients(tf.constant(u))

    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        value, slopes = variable.numpy(), np.empty(variable.shape)
        for index in np.ndindex(*variable.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = value.copy()
                moved[index] += step
                variable.assign(moved)
                ends.append((u * model(x, training=True).numpy()).sum())
            slopes[index] = (ends[0] - ends[1]) / 2e-5
        variable.assign(value)
        np.testing.assert_allclose(gradient, slopes, rtol=1e-7, atol=1e-8)


def test_regularisers_are_added_with_their_factor_and_only_where_asked_for(generator):
    regularizers = {"kernel_regularizer": keras.regularizers.L2(0.25)}
    model = model_of(
        (4,), layers.Dense(3, bias_regularizer=keras.regularizers.L1(0.5), **regularizers)
    )
    kernel, bias = generator.normal(size=(4, 3)), generator.normal(size=3)
    model.set_weights([kernel, bias])
    x, u = generator.normal(size=(5, 4)), generator.normal(size=(5, 3))
    forward = ForwardPass(model, tf.constant(x))

    penalty = 0.25 * (kernel**2).sum() + 0.5 * np.abs(bias).sum()
    np.testing.assert_allclose(forward.regularization, penalty, rtol=1e-12)
    plain = [x.T @ u, u.sum(axis=0)]
    assert_all_close(forward.gradients(tf.constant(u)), plain, rtol=1e-12)
    with_penalty = [plain[0] + 2.5 * 0.5 * kernel, plain[1] + 2.5 * 0.5 * np.sign(bias)]
    answers = forward.gradients(tf.constant(u), regularization_gradient=tf.constant(2.5))
    assert_all_close(answers, with_penalty, rtol=1e-12)


def test_regularisers_of_activations_count_once_and_not_in_the_virtual_pass(generator):
    model = model_of((4,), layers.Dense(3, activity_regularizer=keras.regularizers.L2(0.5)))
    x = generator.normal(size=(5, 4))
    for _ in range(2):
        forward = ForwardPass(model, tf.constant(x))
        penalty = 0.5 * (forward.logits.numpy() ** 2).sum() / 5
        np.testing.assert_allclose(forward.regularization, penalty, rtol=1e-12)
        zeros = zeros_like(forward.variables)
        logits_after_step(model, forward.variables, zeros, tf.constant(1.0), tf.constant(x))


def test_regularisers_in_half_precision_and_of_several_numbers_are_summed(generator):
    class Penalty(layers.Layer):
        def call(self, inputs):
            self.add_loss(tf.reduce_sum(inputs**2, axis=1))
            return inputs

    model = model_of(
        (4,), layers.Dense(3, kernel_regularizer="l2", dtype="mixed_bfloat16"), Penalty()
    )
    x = tf.constant(generator.normal(size=(5, 4)))
    forward = ForwardPass(model, x)

    kernel = model.layers[0].kernel.numpy()
    penalty = 0.01 * (kernel**2).sum() + (forward.logits.numpy() ** 2).sum()
    np.testing.assert_allclose(forward.regularization, penalty, rtol=2e-2)
    zeros = tf.zeros_like(forward.logits)
    (slope, _) = forward.gradients(zeros, regularization_gradient=tf.constant(1.0))
    expected = 0.02 * kernel + x.numpy().T @ (2 * forward.logits.numpy())
    np.testing.assert_allclose(slope, expected, atol=0.05 * np.abs(expected).max())


def test_a_model_without_regularisers_is_pulled_back_alone(generator):
    model, _ = mlp(generator)
    forward = ForwardPass(model, tf.constant(generator.normal(size=(2, 4))))
    u = tf.constant(generator.normal(size=(2, 3)))

    assert forward.regularization is None
    answers = forward.gradients(u, regularization_gradient=tf.constant(1.0))
    assert_all_close(answers, forward.gradients(u), rtol=0)


def test_the_gradient_of_an_embedding_is_dense_and_sums_over_repetitions(generator):
    model = model_of((3,), layers.Embedding(6, 2), layers.Flatten(), layers.Dense(3))
    words = np.array([[0, 2, 2], [5, 2, 1]])
    forward = ForwardPass(model, tf.constant(words))
    u = generator.normal(size=(2, 3))

    table, *_ = forward.gradients(tf.constant(u))

    assert isinstance(table, tf.Tensor)
    pulled = (u @ model.layers[-1].kernel.numpy().T).reshape(2, 3, 2)
    expected = np.zeros((6, 2))
    np.add.at(expected, words, pulled)
    np.testing.assert_allclose(table, expected, rtol=1e-12)


def test_frozen_layers_have_no_gradient(generator):
    frozen = layers.Dense(5, "tanh", trainable=False)
    model = model_of((4,), frozen, layers.Dense(3))
    x, u = generator.normal(size=(6, 4)), generator.normal(size=(6, 3))
    forward = ForwardPass(model, tf.constant(x))

    assert [variable.shape for variable in forward.variables] == [(5, 3), (3,)]
    hidden = np.tanh(x @ frozen.kernel.numpy())
    expected = [hidden.T @ u, u.sum(axis=0)]
    assert_all_close(forward.gradients(tf.constant(u)), expected, rtol=1e-12)


class WithAnIdleLayer(keras.Model):
    """Builds a layer that its answer does not depend on."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = layers.Dense(2)
        self.last = layers.Dense(3)

    def call(self, inputs):
        self.idle(inputs)
        return self.last(inputs)


def test_variables_that_the_logits_do_not_depend_on_have_gradient_zero(generator):
    model = WithAnIdleLayer()
    x = tf.constant(generator.normal(size=(5, 4)))
    model(x)
    u = tf.constant(generator.normal(size=(5, 3)))

    gradients = ForwardPass(model, x).gradients(u)

    by_variable = dict(zip([v.path for v in model.trainable_variables], gradients, strict=True))
    for variable in model.idle.variables:
        np.testing.assert_array_equal(by_variable[variable.path], np.zeros(variable.shape))
    for variable in model.last.variables:
        assert np.abs(by_variable[variable.path]).min() > 0


# The virtual step.


def test_virtual_logits_are_those_of_the_weights_after_one_plain_step(generator):
    model, weights = mlp(generator)
    gradients = [generator.normal(size=weight.shape) for weight in weights]
    x = generator.normal(size=(6, 4))

    answer = logits_after_step(
        model,
        model.trainable_variables,
        [tf.constant(gradient) for gradient in gradients],
        tf.constant(0.3, "float64"),
        tf.constant(x),
    )

    moved = [w - 0.3 * gradient for w, gradient in zip(weights, gradients, strict=True)]
    np.testing.assert_allclose(answer, mlp_logits(moved, x), rtol=1e-12)
    assert_all_close(model.get_weights(), weights, rtol=0)


def test_virtual_logits_use_the_statistics_of_the_batch_and_leave_the_moving_ones(generator):
    model = model_of((4,), layers.BatchNormalization(), layers.Dense(3))
    randomize(model, generator)
    before = model.get_weights()
    gradients = [generator.normal(size=variable.shape) for variable in model.trainable_variables]
    x = generator.normal(3.0, 2.0, size=(6, 4))

    answer = logits_after_step(
        model, model.trainable_variables, gradients, tf.constant(0.1, "float64"), tf.constant(x)
    )

    start = [variable.numpy() for variable in model.trainable_variables]
    scale, offset, kernel, bias = (
        weight - 0.1 * gradient for weight, gradient in zip(start, gradients, strict=True)
    )
    np.testing.assert_allclose(answer, (normalized(x) * scale + offset) @ kernel + bias, rtol=1e-11)
    assert_all_close(model.get_weights(), before, rtol=0)


def test_the_forward_pass_moves_the_moving_statistics_once(generator):
    normalization = layers.BatchNormalization(momentum=0.9)
    model = model_of((4,), normalization, layers.Dense(3))
    randomize(model, generator)
    mean, variance = (v.numpy() for v in normalization.non_trainable_variables)
    x = generator.normal(3.0, 2.0, size=(6, 4))

    forward = ForwardPass(model, tf.constant(x))
    for _ in range(2):
        gradients = forward.gradients(tf.ones((6, 3), "float64"))
    logits_after_step(model, forward.variables, gradients, tf.constant(0.1), tf.constant(x + 1))

    expected = [0.9 * mean + 0.1 * x.mean(axis=0), 0.9 * variance + 0.1 * x.var(axis=0)]
    assert_all_close(normalization.non_trainable_variables, expected, rtol=1e-12)


def test_frozen_normalisation_uses_its_moving_statistics_in_both_passes(generator):
    normalization = layers.BatchNormalization(trainable=False, epsilon=0.0)
    model = model_of((4,), normalization, layers.Dense(3, use_bias=False))
    randomize(model, generator)
    scale, offset, mean, variance = normalization.get_weights()
    x = generator.normal(size=(6, 4))

    forward = ForwardPass(model, tf.constant(x))
    zeros = zeros_like(forward.variables)
    virtual = logits_after_step(model, forward.variables, zeros, tf.constant(1.0), tf.constant(x))

    features = (x - mean) / np.sqrt(variance) * scale + offset
    expected = features @ model.layers[-1].kernel.numpy()
    np.testing.assert_allclose(forward.logits, expected, rtol=1e-12)
    np.testing.assert_allclose(virtual, expected, rtol=1e-12)


def test_virtual_logits_of_a_model_with_several_inputs(generator):
    inputs = {name: keras.Input((2,), name=name) for name in ("left", "right")}
    model = keras.Model(
        inputs, layers.Concatenate()([inputs["left"], layers.Dense(2)(inputs["right"])])
    )
    x = {name: generator.normal(size=(3, 2)) for name in inputs}
    gradient = generator.normal(size=(2, 2))

    answer = logits_after_step(
        model,
        model.trainable_variables,
        [gradient, np.zeros(2)],
        tf.constant(0.5, "float64"),
        {name: tf.constant(value) for name, value in x.items()},
    )

    kernel = model.trainable_variables[0].numpy() - 0.5 * gradient
    expected = np.concatenate([x["left"], x["right"] @ kernel], axis=1)
    np.testing.assert_allclose(answer, expected, rtol=1e-12)


# Layers whose answer in training is random or depends on the mode.


def dropout_masks(model: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    """What dropout keeps in a forward pass and the virtual pass after it."""
    ones = tf.ones((2, 64), "float64")
    forward = ForwardPass(model, ones)
    virtual = logits_after_step(
        model, forward.variables, zeros_like(forward.variables), tf.constant(1.0), ones
    )
    return forward.logits.numpy(), virtual.numpy()


def test_every_pass_draws_new_dropout(generator):
    identity = keras.initializers.Identity()
    body = (layers.Dropout(0.5), layers.Dense(64, use_bias=False, kernel_initializer=identity))
    model = model_of((64,), *body)

    masks = [*dropout_masks(model), *dropout_masks(model)]

    for mask in masks:
        assert set(np.unique(mask)) == {0.0, 2.0}
    assert len({mask.tobytes() for mask in masks}) == 4


def test_the_state_of_random_generators_is_found_in_nested_models(generator):
    inner = model_of((4,), layers.GaussianNoise(1.0), layers.Dense(3))
    model = model_of((4,), layers.Dropout(0.5), inner, layers.BatchNormalization())

    assert [state.shape for state in random_states(model)] == [(2,), (2,)]


def test_a_generator_that_is_never_drawn_from_stays(generator):
    # The cell of a recurrent layer has one, with dropout or without.
    model = model_of((5, 2), layers.GRU(4), layers.Dense(3))
    x = tf.constant(generator.normal(size=(2, 5, 2)))
    forward = ForwardPass(model, x)
    (state,) = random_states(model)
    before = state.numpy()

    answer = logits_after_step(
        model, forward.variables, zeros_like(forward.variables), tf.constant(1.0), x
    )

    np.testing.assert_allclose(answer, forward.logits, rtol=1e-12)
    np.testing.assert_array_equal(state, before)


class WithoutTrainingArgument(keras.Model):
    """A model as many write it: `call` does not hand `training` on to its layers."""

    def __init__(self, layer: layers.Layer) -> None:
        super().__init__()
        self.layer = layer
        self.last = layers.Dense(64, use_bias=False, kernel_initializer="identity")

    def call(self, inputs):
        return self.last(self.layer(inputs))


def test_dropout_is_on_where_call_has_no_training_argument(generator):
    model = WithoutTrainingArgument(layers.Dropout(0.5))
    model(np.ones((1, 64)))

    for mask in dropout_masks(model):
        assert set(np.unique(mask)) == {0.0, 2.0}


def test_batch_statistics_are_used_where_call_has_no_training_argument(generator):
    model = WithoutTrainingArgument(layers.BatchNormalization())
    x, x_meta = generator.normal(3.0, 2.0, size=(2, 6, 64))
    model(x)

    forward = ForwardPass(model, tf.constant(x))
    zeros = zeros_like(forward.variables)
    virtual = logits_after_step(
        model, forward.variables, zeros, tf.constant(1.0), tf.constant(x_meta)
    )

    np.testing.assert_allclose(forward.logits, normalized(x), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(virtual, normalized(x_meta), rtol=1e-10, atol=1e-12)


# Precision.


@pytest.mark.parametrize(
    "dtype, expected",
    [("float16", "float32"), ("bfloat16", "float32"), ("float32", "float32"), ("float64",) * 2],
)
def test_logits_are_in_float32_at_least(dtype, expected):
    answer = in_full_precision(tf.constant([1.5, -2.0], dtype))

    assert answer.dtype.name == expected
    np.testing.assert_array_equal(answer, [1.5, -2.0])


def test_a_half_precision_model_has_full_precision_logits_and_gradients(generator):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, dtype="mixed_bfloat16")])
    x, u = generator.integers(-3, 4, (5, 4)), generator.integers(-3, 4, (5, 3))
    inputs = tf.constant(x, "float32")

    forward = ForwardPass(model, inputs)
    gradients = forward.gradients(tf.constant(u, "float32"))
    zeros = zeros_like(forward.variables)
    virtual = logits_after_step(model, forward.variables, zeros, tf.constant(1.0), inputs)

    assert forward.logits.dtype == virtual.dtype == tf.float32
    assert {gradient.dtype for gradient in gradients} == {tf.float32}
    # Small integers are exact in every precision.
    assert_all_close(gradients, [x.T @ u, u.sum(axis=0)], rtol=0)
