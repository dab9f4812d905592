from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf

from . import examples
from .examples import arrays

METHODS = list(gdw_tf.METHODS)
META_METHODS = ["gdw", "mw_net"]

X, Y = arrays(64)
META = arrays(9, seed=1)
BATCHES = (tf.constant(X[:32]), tf.constant(Y[:32])), tuple(map(tf.constant, META))


def weights_after_training(method: str, **compile_arguments: Any) -> list[np.ndarray]:
    model = examples.compiled(method, **compile_arguments)
    before = model.classifier.get_weights()
    # Static shapes: XLA compiles one step, not one for every size of a batch.
    model.fit(X, Y, meta_data=META, batch_size=16, meta_batch_size=9, verbose=0)
    assert any(map(np.any, map(np.subtract, model.classifier.get_weights(), before)))
    return [np.asarray(variable) for variable in model.trainable_variables]


@pytest.mark.parametrize("method", METHODS)
def test_how_a_step_is_executed_does_not_change_it(method):
    expected = weights_after_training(method)
    for arguments in (
        {"run_eagerly": True},
        {"jit_compile": True},
        {"steps_per_execution": 3},  # 4 steps: the second execution is short
    ):
        weights = weights_after_training(method, **arguments)
        for one, other in zip(expected, weights, strict=True):
            np.testing.assert_allclose(other, one, atol=1e-5, err_msg=str(arguments))


# Optimizers.


@pytest.mark.parametrize("method", METHODS)
def test_the_default_optimizers_are_those_of_the_paper(method):
    model = gdw_tf.METHODS[method](examples.functional())
    model.compile()
    optimizer = model.optimizer
    assert type(optimizer) is gdw_tf.CoupledSGD
    assert float(optimizer.learning_rate) == pytest.approx(0.1)
    assert (optimizer.momentum, optimizer.coupled_weight_decay) == (0.9, 5e-4)
    if method in META_METHODS:
        assert type(model.weight_optimizer) is gdw_tf.CoupledAdam
        assert float(model.weight_optimizer.learning_rate) == pytest.approx(1e-3)
        assert model.weight_optimizer.coupled_weight_decay == 1e-4


@pytest.mark.parametrize("method", META_METHODS)
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "adamw"])
def test_an_optimizer_other_than_sgd_needs_a_virtual_rate(method, optimizer):
    with pytest.raises(ValueError, match=r"virtual_lr must be given with \w+: .*Received"):
        examples.compiled(method, optimizer=optimizer)
    examples.compiled("ce", optimizer=optimizer)  # which has no virtual step


@pytest.mark.parametrize("method", META_METHODS)
def test_a_virtual_rate_makes_every_optimizer_usable(method):
    model = examples.compiled(
        method, optimizer="adam", options={"virtual_lr": 0.25}, run_eagerly=True
    )
    start = [np.asarray(variable) for variable in model.classifier.trainable_variables]
    step = model.training_step(BATCHES)
    assert float(step["virtual_lr"]) == 0.25
    # Adam's first step is the learning rate in size, whatever the gradient's.
    for before, after in zip(start, model.classifier.trainable_variables, strict=True):
        np.testing.assert_allclose(np.abs(after - before), 1e-3, rtol=0.1)


@pytest.mark.parametrize("method", META_METHODS)
@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [
        (lambda: "sgd", 0.01),
        (lambda: keras.optimizers.SGD(0.3), 0.3),
        (lambda: gdw_tf.CoupledSGD(0.2), 0.2),
    ],
    ids=["name", "object of Keras", "object"],
)
def test_the_virtual_step_has_the_rate_of_sgd(method, optimizer, rate):
    model = examples.compiled(method, optimizer=optimizer())
    assert float(model.training_step(BATCHES)["virtual_lr"]) == pytest.approx(rate)


@pytest.mark.parametrize("method", META_METHODS)
def test_the_virtual_step_follows_a_schedule(method):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0, 1], [0.5, 0.25, 0.125])
    model = examples.compiled(method, optimizer=gdw_tf.CoupledSGD(schedule))
    rates = [float(model.training_step(BATCHES)["virtual_lr"]) for _ in range(3)]
    assert rates == [0.5, 0.25, 0.125]


@pytest.mark.parametrize("method", META_METHODS)
@pytest.mark.parametrize(
    "optimizer", [lambda: "sgd", lambda: keras.optimizers.SGD(0.01)], ids=["name", "object"]
)
def test_the_weight_net_has_the_optimizer_it_is_given(method, optimizer):
    model = examples.compiled(method, weight_optimizer=optimizer())
    assert isinstance(model.weight_optimizer, keras.optimizers.SGD)
    before = [np.asarray(variable) for variable in model.weight_net.trainable_variables]
    model.training_step(BATCHES)
    assert int(model.weight_optimizer.iterations) == 1
    moved = [
        np.abs(after - start).max()
        for start, after in zip(before, model.weight_net.trainable_variables, strict=True)
    ]
    # Adam would move most entries by its whole rate; a plain step of a small gradient is small.
    assert 0 < max(moved) < 5e-4


@pytest.mark.parametrize("method", META_METHODS)
def test_the_optimizer_trains_the_classifier_alone(method):
    model = examples.compiled(method, run_eagerly=True)
    model.fit(X, Y, meta_data=META, batch_size=32, verbose=0)
    assert len(model.optimizer.variables) == 2 + len(model.classifier.trainable_variables)
    assert len(model.weight_optimizer.variables) == 2 + 2 * len(
        model.weight_net.trainable_variables
    )


def test_averaged_weights_are_the_classifiers_after_fit():
    def trained(epochs: int, **average: Any) -> list[np.ndarray]:
        optimizer = keras.optimizers.SGD(0.5, **average)
        model = examples.compiled("gdw", optimizer=optimizer, run_eagerly=True)
        arguments = {"batch_size": 64, "shuffle": False, "meta_batch_size": 9, "verbose": 0}
        model.fit(X, Y, meta_data=META, epochs=epochs, **arguments)
        return [np.asarray(variable) for variable in model.classifier.trainable_variables]

    averaged = trained(2, use_ema=True, ema_momentum=0.75)
    for first, second, average in zip(trained(1), trained(2), averaged, strict=True):
        np.testing.assert_allclose(average, 0.75 * first + 0.25 * second, atol=1e-5)


def test_the_outer_model_has_an_optimizer_of_its_own():
    optimizer = keras.optimizers.SGD(0.1)
    with pytest.raises(ValueError, match="of its own. Received: the classifier's SGD"):
        examples.compiled("gdw", optimizer=optimizer, weight_optimizer=optimizer)


# Loss.


@pytest.mark.parametrize("method", [*META_METHODS, "ce"])
@pytest.mark.parametrize(
    "loss",
    [
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        keras.losses.CategoricalCrossentropy(from_logits=True),
    ],
    ids=["sparse", "categorical"],
)
def test_the_cross_entropy_on_logits_may_be_named(method, loss):
    named, without = (
        examples.compiled(method, run_eagerly=True, **arguments).fit(
            X, Y, meta_data=META, verbose=0
        )
        for arguments in ({"loss": loss}, {})
    )
    assert named.history == without.history


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "loss",
    [
        "mse",
        "sparse_categorical_crossentropy",  # on probabilities
        keras.losses.SparseCategoricalCrossentropy(),
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0),
        keras.losses.CategoricalCrossentropy(from_logits=True, reduction="sum"),
        keras.losses.CategoricalCrossentropy(from_logits=True, axis=0),
        keras.losses.MeanSquaredError(),
    ],
)
def test_another_loss_is_refused(method, loss):
    with pytest.raises(ValueError, match="cross-entropy on logits and can be left out.*Received"):
        examples.compiled(method, loss=loss)


# Metrics.


def test_metrics_are_keras_metrics_of_the_logits():
    model = examples.compiled(
        "gdw",
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="top_2")],
        run_eagerly=True,
    )
    results = model.evaluate(X, Y, verbose=0, return_dict=True)
    logits = model.predict(X, verbose=0)
    best_two = np.argsort(logits, axis=1)[:, -2:]
    assert results["top_2"] == pytest.approx((best_two == Y[:, np.newaxis]).any(axis=1).mean())
    assert results["accuracy"] == pytest.approx((best_two[:, -1] == Y).mean())


@pytest.mark.parametrize("method", METHODS)
def test_no_metrics_leave_the_loss(method):
    model = examples.compiled(method, metrics=None)
    assert set(model.evaluate(X, Y, verbose=0, return_dict=True)) == {"loss"}
