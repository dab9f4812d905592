"""Mixed precision: the classifier computes in half precision; what weighs examples does not."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf
from gdw_tf import loss_scale

from . import examples

X, Y = examples.arrays(24)
META = examples.arrays(12, seed=1)
BATCH = ((X[:12], Y[:12], None, np.arange(12)), META)
METHODS = ["gdw", "mw_net", "l2rw"]


@pytest.fixture
def policy():
    """Sets Keras's dtype policy for the test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def model_of(method, **options):
    keras.utils.set_random_seed(0)
    model = gdw_tf.METHODS[method](examples.functional(), seed=1, **options)
    model.compile(gdw_tf.CoupledSGD(0.1), metrics=["accuracy"])
    model.fit(X, Y, meta_data=META, batch_size=12, epochs=0)
    return model


def one_step(model):
    return model.training_step(BATCH)


@pytest.mark.parametrize(("name", "tolerance"), [("mixed_bfloat16", 4e-2), ("mixed_float16", 5e-3)])
@pytest.mark.parametrize("method", METHODS)
def test_the_meta_gradient_is_that_of_float32_but_for_rounding(policy, method, name, tolerance):
    exact = one_step(model_of(method))["meta_gradient"].numpy()
    policy(name)
    step = one_step(model_of(method))
    for quantity in ("meta_gradient", "outer", "updated_outer", "logits", "meta_loss"):
        assert step[quantity].dtype == tf.float32
    error = np.abs(step["meta_gradient"] - exact).max()
    assert error < tolerance * np.abs(exact).max()


@pytest.mark.parametrize("method", METHODS)
def test_float16_keeps_gradients_that_it_cannot_hold(policy, method):
    # A virtual step of 1e-6: without a scale its tangents fall below 6e-8, where float16 is zero.
    exact = one_step(model_of(method, virtual_lr=1e-6))["meta_gradient"].numpy()
    policy("mixed_float16")
    errors = []
    for scale in (loss_scale.INITIAL_SCALE, 1.0):
        model = model_of(method, virtual_lr=1e-6)
        model.meta_loss_scale.assign(scale)
        errors.append(np.abs(one_step(model)["meta_gradient"] - exact).max())
    assert errors[0] < 5e-3 * np.abs(exact).max()
    assert errors[1] > 5e-2 * np.abs(exact).max()


def test_the_scale_moves_by_its_rule():
    finite, overflow = tf.constant(True), tf.constant(False)
    almost = tf.constant(loss_scale.STEPS_TO_DOUBLE - 1.0)
    scale = tf.constant(1024.0)
    assert [float(x) for x in loss_scale.moved(scale, tf.constant(5.0), finite)] == [1024.0, 6.0]
    assert [float(x) for x in loss_scale.moved(scale, almost, finite)] == [2048.0, 0.0]
    assert [float(x) for x in loss_scale.moved(scale, almost, overflow)] == [512.0, 0.0]


@pytest.mark.parametrize("method", ["gdw", "mw_net"])
def test_a_meta_gradient_that_overflows_teaches_nothing_and_is_counted(policy, method):
    policy("mixed_float16")
    model = model_of(method)
    model.meta_loss_scale.assign(2.0**60)
    changing = [*model.outer_variables, *model.weight_optimizer.variables]
    before = [variable.numpy() for variable in changing]
    classifier_before = model.classifier.get_weights()
    step = one_step(model)
    assert float(step["is_measured"]) == 0.0
    assert np.isfinite(float(step["meta_loss"]))
    assert not np.any(step["meta_gradient"])
    for variable, value in zip(changing, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    # The actual step is taken, with the first-stage weights.
    np.testing.assert_array_equal(step["updated_outer"], step["outer"])
    assert any(map(np.any, map(np.subtract, model.classifier.get_weights(), classifier_before)))
    assert float(model.skipped_meta_steps.numpy()) == 1.0
    assert float(model.meta_loss_scale.numpy()) == 2.0**59
    assert not np.any(step["non_finite"])  # a smaller scale will do


def test_what_no_scale_cures_is_not_finite(policy):
    policy("mixed_float16")
    model = model_of("gdw")
    model.meta_loss_scale.assign(1.0)
    model.optimizer.dynamic_scale.assign(1.0)
    spoilt = X[:12].copy()
    spoilt[0] = np.inf
    step = tf.function(model.training_step)(((spoilt, Y[:12], None, np.arange(12)), META))
    found = dict(zip(model.quantities, step["non_finite"].numpy(), strict=True))
    assert found["loss"] == found["virtual gradient"] == found["gradient"] == 1.0


def test_the_scales_and_the_count_are_saved_and_kept_by_a_second_fit(policy, tmp_path):
    policy("mixed_float16")
    model = model_of("gdw")
    model.meta_loss_scale.assign(64.0)
    model.skipped_meta_steps.assign(3.0)
    model.optimizer.dynamic_scale.assign(128.0)
    model.fit(X, Y, meta_data=META, batch_size=12, verbose=0)
    model.save(tmp_path / "model.keras")
    policy("float32")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.dtype_policy.name == "mixed_float16"
    for one in (model, loaded):
        assert float(one.meta_loss_scale.numpy()) == 64.0
        assert float(one.finite_meta_steps.numpy()) == 2.0
        assert float(one.skipped_meta_steps.numpy()) == 3.0
        assert float(one.optimizer.dynamic_scale.numpy()) == 128.0


def test_an_evaluated_loss_is_that_of_the_logits_in_full_precision(policy):
    policy("mixed_bfloat16")
    model = model_of("gdw")
    logits = model.predict(X[:21], verbose=0).astype(np.float64)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(21), Y[:21]]
    weights = np.linspace(0.5, 1.7, 21)
    loss, _ = model.evaluate(X[:21], Y[:21], sample_weight=weights, batch_size=7, verbose=0)
    np.testing.assert_allclose(loss, (weights * losses).mean(), rtol=1e-5)


def test_other_precisions_have_no_scale(policy):
    policy("mixed_bfloat16")
    assert model_of("gdw").meta_loss_scale is None


@pytest.mark.parametrize("method", gdw_tf.METHODS)
def test_a_classifier_in_double_precision_beside_what_is_learned_in_single(policy, method):
    """What is remembered and the small nets stay in Keras's float dtype, which is float32."""
    options = {"gdw": {"memory": 0.5, "pair_memory": 0.5}, "co_teaching": {"forget_rate": 0.2}}
    losses, weights = [], None
    for name in ("float32", "float64"):
        policy(name)
        model = model_of(method, **options.get(method, {}))
        weights = weights or model.get_weights()
        model.set_weights(weights)
        history = model.fit(X, Y, meta_data=META, batch_size=12, epochs=2, verbose=0)
        losses.append(history.history["loss"])
        assert model(X).dtype == name
    np.testing.assert_allclose(*losses, rtol=1e-4)
