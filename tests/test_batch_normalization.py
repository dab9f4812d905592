"""Fused batch normalisation against NumPy, and against the layer that it stands for."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import gdw_tf
from gdw_tf.batch_normalization import batch_normalized

EPSILON = 1e-3
PIXELS = (0, 1, 2)
SHAPE = (3, 4, 5, 6)
rng = np.random.default_rng(0)
X, DY, TANGENT, COTANGENT = (rng.normal(size=SHAPE).astype(np.float32) for _ in range(4))
X = 2 * X + 1
SCALE, OFFSET, SCALE_TANGENT, OFFSET_TANGENT = rng.normal(size=(4, 6)).astype(np.float32)


def pulled_back(dy: np.ndarray, x: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, ...]:
    """(dx, dscale, doffset) by the chain rule through mean and variance, in double precision."""
    dy, x, scale = (np.asarray(value, np.float64) for value in (dy, x, scale))
    n = x.size / x.shape[-1]
    centred = x - x.mean(PIXELS)
    deviation = np.sqrt(x.var(PIXELS) + EPSILON)
    dz = dy * scale
    dvariance = -0.5 * (dz * centred).sum(PIXELS) / deviation**3
    dmean = -dz.sum(PIXELS) / deviation
    dx = dz / deviation + dvariance * 2 * centred / n + dmean / n
    return dx, (dy * centred / deviation).sum(PIXELS), dy.sum(PIXELS)


def product(dy: np.ndarray, x: np.ndarray, scale: np.ndarray) -> float:
    """The inner product of the pull-back with the tangents."""
    tangents = (TANGENT, SCALE_TANGENT, OFFSET_TANGENT)
    return sum(np.sum(p * t) for p, t in zip(pulled_back(dy, x, scale), tangents, strict=True))


def slope(argument: int, direction: np.ndarray) -> float:
    """The derivative of the product in one of its arguments, by central differences."""
    values = []
    for step in (1e-5, -1e-5):
        arguments = [np.asarray(value, np.float64) for value in (DY, X, SCALE)]
        arguments[argument] = arguments[argument] + step * direction
        values.append(product(*arguments))
    return (values[0] - values[1]) / 2e-5


def derivatives(dtype: str = "float32") -> dict[str, np.ndarray]:
    """Everything that nested tapes say of the fused function."""
    x, dy, tangent = (tf.cast(value, dtype) for value in (X, DY, TANGENT))
    scale, offset = tf.constant(SCALE), tf.constant(OFFSET)
    with tf.GradientTape() as outer:
        outer.watch([dy, x, scale])
        with tf.GradientTape() as inner:
            inner.watch([x, scale, offset])
            y, mean, variance = batch_normalized(x, scale, offset, EPSILON)
        pulled = inner.gradient(y, [x, scale, offset], output_gradients=dy)
    of_dy, of_x, of_scale = outer.gradient(
        pulled,
        [dy, x, scale],
        output_gradients=[tangent, tf.constant(SCALE_TANGENT), tf.constant(OFFSET_TANGENT)],
    )
    names = ("y", "mean", "variance", "dx", "dscale", "doffset", "of_dy", "of_x", "of_scale")
    values = (y, mean, variance, *pulled, of_dy, of_x, of_scale)
    return {
        name: tf.cast(value, tf.float64).numpy() for name, value in zip(names, values, strict=True)
    }


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_outputs_and_gradients_are_the_formulas(dtype):
    tolerance = {"float32": 1e-5, "bfloat16": 4e-2, "float16": 5e-3}[dtype]
    answers = derivatives(dtype)
    mean, variance = X.mean(PIXELS, np.float64), X.var(PIXELS, np.float64)
    dx, dscale, doffset = pulled_back(DY, X, SCALE)
    expected = {
        "y": (X - mean) / np.sqrt(variance + EPSILON) * SCALE + OFFSET,
        "mean": mean,
        "variance": variance,
        "dx": dx,
        "dscale": dscale,
        "doffset": doffset,
    }
    for name, value in expected.items():
        error = np.abs(answers[name] - value).max() / np.abs(value).max()
        assert error < tolerance, name


@pytest.mark.parametrize("argument, name", enumerate(["of_dy", "of_x", "of_scale"]))
def test_derivatives_of_the_gradient_agree_with_finite_differences(argument, name):
    direction = rng.normal(size=(SHAPE, SHAPE, (6,))[argument])
    answer = np.sum(derivatives()[name] * direction)
    assert answer == pytest.approx(slope(argument, direction), rel=1e-4)


def test_third_derivatives_agree_with_finite_differences():
    def jacobian_vector_product(x: tf.Tensor) -> tf.Tensor:
        scale, offset, dy = tf.constant(SCALE), tf.constant(OFFSET), tf.constant(DY)
        with tf.GradientTape() as outer:
            outer.watch(dy)
            with tf.GradientTape() as inner:
                inner.watch([x, scale, offset])
                y = batch_normalized(x, scale, offset, EPSILON)[0]
            pulled = inner.gradient(y, [x, scale, offset], output_gradients=dy)
        tangents = [tf.constant(t) for t in (TANGENT, SCALE_TANGENT, OFFSET_TANGENT)]
        return outer.gradient(pulled, dy, output_gradients=tangents)

    def by_formula(x: np.ndarray) -> float:
        # The product is linear in dy: its inner product with c is that of c in the place of dy.
        return product(COTANGENT, x, SCALE)

    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        answer = jacobian_vector_product(x)
    of_x = tape.gradient(answer, x, output_gradients=tf.constant(COTANGENT))
    direction = rng.normal(size=SHAPE)
    step = 1e-5
    expected = by_formula(X + step * direction) - by_formula(X - step * direction)
    assert np.sum(of_x * direction) == pytest.approx(expected / (2 * step), rel=1e-3)


def test_variance_of_a_single_pixel_is_zero():
    x = tf.constant(X[:1, :1, :1])
    y, mean, variance = batch_normalized(x, tf.constant(SCALE), tf.constant(OFFSET), EPSILON)
    np.testing.assert_allclose(y[0, 0, 0], OFFSET, rtol=1e-5)
    np.testing.assert_allclose(mean, X[0, 0, 0])
    np.testing.assert_array_equal(variance, np.zeros(6))


def both(shape: tuple[int, ...] = SHAPE, **options) -> list[layers.BatchNormalization]:
    """Keras's layer and ours, with the same weights."""
    pair = [
        layer(momentum=0.9, **options)
        for layer in (layers.BatchNormalization, gdw_tf.BatchNormalization)
    ]
    for layer in pair:
        layer.build(shape)
    weights = [np.random.default_rng(1).uniform(0.5, 2, w.shape) for w in pair[0].weights]
    for layer in pair:
        layer.set_weights(weights)
    return pair


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dtype": "float64"},
        {"dtype": "mixed_bfloat16"},
        {"axis": 1},
        {"center": False},
        {"scale": False},
        {"trainable": False},
        {"renorm": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False])
def test_layer_answers_and_moves_its_statistics_as_that_of_keras(options, training):
    ours, theirs = [], []
    for layer, answers in zip(both(**options), (theirs, ours), strict=True):
        answers += [layer(tf.constant(X), training=training), *layer.weights]
    tolerance = 4e-2 if options.get("dtype") == "mixed_bfloat16" else 2e-5
    for mine, other in zip(ours, theirs, strict=True):
        assert keras.backend.standardize_dtype(mine.dtype) == keras.backend.standardize_dtype(
            other.dtype
        )
        mine, other = (np.asarray(tf.cast(value, tf.float64)) for value in (mine, other))
        np.testing.assert_allclose(mine, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(8, 6), (4, 5, 6)])
def test_other_than_images_are_left_to_keras(shape):
    x = tf.constant(rng.normal(size=shape), tf.float32)
    theirs, ours = both(shape)
    np.testing.assert_array_equal(ours(x, training=True), theirs(x, training=True))


def test_masked_images_are_left_to_keras():
    mask = tf.constant(rng.random(SHAPE[:-1]) < 0.5)
    theirs, ours = (layer(tf.constant(X), training=True, mask=mask) for layer in both())
    np.testing.assert_array_equal(ours, theirs)


def test_either_layer_loads_the_other_and_the_models_answer_alike(tmp_path):
    def model(layer: type[layers.BatchNormalization]) -> keras.Model:
        return keras.Sequential([keras.Input((4, 4, 2)), layers.Conv2D(3, 3), layer()])

    theirs, ours = model(layers.BatchNormalization), model(gdw_tf.BatchNormalization)
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    ours.load_weights(tmp_path / "theirs.weights.h5")
    x = rng.normal(size=(5, 4, 4, 2))
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-6)
    ours.save(tmp_path / "ours.keras")
    loaded = keras.models.load_model(tmp_path / "ours.keras")
    assert isinstance(loaded.layers[-1], gdw_tf.BatchNormalization)
    np.testing.assert_array_equal(loaded(x), ours(x))
