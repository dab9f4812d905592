from __future__ import annotations

import keras
import numpy as np
import pytest

from gdw_tf.weight_net import build_weight_net


def test_answers_are_those_of_a_perceptron_with_a_sigmoid(float64):
    net = build_weight_net(hidden_units=7)
    kernel, bias, kernel_2, bias_2 = net.get_weights()
    ce = np.linspace(0, 9, 12)[:, None]

    answer = net(ce).numpy()

    hidden = np.where(ce @ kernel + bias > 0, ce @ kernel + bias, 0)
    np.testing.assert_allclose(answer, 1 / (1 + np.exp(-(hidden @ kernel_2 + bias_2))), rtol=1e-12)
    assert answer.shape == (12, 1)


def test_the_default_width_is_100():
    shapes = [weight.shape for weight in build_weight_net().get_weights()]

    assert shapes == [(1, 100), (100,), (100, 1), (1,)]


def test_weights_and_biases_start_uniform_within_one_over_the_root_of_the_fan_in():
    keras.utils.set_random_seed(0)
    width = 2500
    kernel, bias, kernel_2, bias_2 = build_weight_net(width).get_weights()

    for values, bound in ((kernel, 1.0), (bias, 1.0), (kernel_2, 0.02)):
        assert np.abs(values).max() <= bound
        # A uniform distribution on +-b has mean 0 and standard deviation b / sqrt(3).
        assert abs(values.mean()) < 4 * bound / np.sqrt(3 * width)
        np.testing.assert_allclose(values.std(), bound / np.sqrt(3), rtol=0.05)
    assert not np.array_equal(kernel[0], bias)
    last_biases = np.array([build_weight_net(4).get_weights()[3].item() for _ in range(20)])
    assert 0.25 < np.abs(last_biases).max() <= 0.5
    assert 0 < abs(bias_2.item()) <= 0.02


def test_the_seed_of_keras_decides_the_start():
    starts = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        starts.append(build_weight_net().get_weights()[0])

    np.testing.assert_array_equal(starts[0], starts[1])
    assert not np.array_equal(starts[0], starts[2])


def test_it_stays_in_float32_under_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        answer = build_weight_net(4)(np.ones((2, 1), "float32"))
    finally:
        keras.config.set_dtype_policy(before)

    assert answer.dtype.name == "float32"


@pytest.mark.parametrize("hidden_units", [0, -1, 1.5, "100", None])
def test_a_width_that_is_no_positive_integer_is_an_error(hidden_units):
    message = (
        rf"^hidden_units .* Received: hidden_units={hidden_units!r}; allowed: 1 to 2147483647\.$"
    )
    with pytest.raises((TypeError, ValueError), match=message):
        build_weight_net(hidden_units)
