from __future__ import annotations

import keras
import numpy as np
import pytest

import gdw_tf

from . import examples
from .meta_loss import Experiment, slopes

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("normalized", [False, True], ids=["plain", "batch_norm"])
def test_an_example_counts_as_much_as_a_first_little_of_it_lowers_the_meta_loss(normalized):
    experiment = Experiment(gdw_tf.L2RW, normalized=normalized)
    nothing = np.zeros((6, 1))
    slope = slopes(lambda e: experiment.meta_loss(e * experiment.d1), nothing)
    weights = np.maximum(-slope, 0)
    weights /= weights.sum()

    step = experiment.training_step()

    assert 0 < np.count_nonzero(weights) < len(weights)
    experiment.assert_meta_gradient(step, nothing, lambda e: e * experiment.d1)
    # The engine divides by B, so that these are weights of sum one.
    np.testing.assert_allclose(step["updated_outer"] / 6, weights, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(
        step["logit_gradient"] / 6, weights * experiment.d1, rtol=1e-5, atol=1e-9
    )


def test_an_example_of_weight_two_counts_as_two_of_it():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 4)), np.array([0, 1, 2, 0, 1, 2])
    meta = (rng.normal(size=(6, 4)), np.array([0, 1, 2, 1, 2, 0]))
    weight = np.array([1.0, 2.0, 1.0, 3.0, 0.0, 1.0])
    repeats = weight.astype(int)

    def gradient(batch: tuple[np.ndarray, ...], weights: np.ndarray) -> np.ndarray:
        keras.utils.set_random_seed(0)
        model = gdw_tf.L2RW(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
        model.compile(gdw_tf.CoupledSGD(0.5))
        step = model.training_step((batch, meta))
        return step["logit_gradient"].numpy() * weights[:, np.newaxis]

    weighted = gradient((x, y, weight), weight)
    repeated = gradient((np.repeat(x, repeats, 0), np.repeat(y, repeats)), np.ones(8))
    first = np.cumsum(repeats)[repeats > 0] - repeats[repeats > 0]
    copies = np.add.reduceat(repeated, first)
    assert np.count_nonzero(copies) > 3  # examples of more than one weight help
    np.testing.assert_allclose(weighted[repeats > 0], copies, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(weighted[repeats == 0], 0.0)


def test_where_no_example_helps_none_is_trained_on():
    model = gdw_tf.L2RW(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    model.compile(gdw_tf.CoupledSGD(0.5, weight_decay=0.0))
    before = model.classifier.get_weights()
    x = np.random.default_rng(0).normal(size=(1, 4))

    step = model.training_step(((x, np.array([0])), (x, np.array([1]))))

    assert step["meta_gradient"].numpy() > 0
    assert step["updated_outer"].numpy() == 0
    for old, new in zip(before, model.classifier.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_step_without_meta_gradient_is_refused():
    with pytest.raises(ValueError, match=r"meta gradient. Received: meta_every=2; allowed: 1\.$"):
        gdw_tf.L2RW(examples.functional(), meta_every=2)
