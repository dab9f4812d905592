"""Steps whose numbers are not finite: which quantity is named, and what becomes of the step."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf
from gdw_tf.callbacks import CountSkippedSteps, RollBack, StopOnNonFinite

from . import examples

BATCH = 8
X, Y = examples.arrays(4 * BATCH)
META = examples.arrays(4 * BATCH, seed=1)
META_METHODS = ["gdw", "mw_net", "l2rw", "insw", "soft_label", "gen_label", "mlc"]


def batches(inputs, labels, start=0, stop=None):
    """A data set of full batches with the index of every example."""
    index = np.arange(len(inputs))
    data = tf.data.Dataset.from_tensor_slices((inputs, labels, index)).batch(BATCH, True)
    data = data.map(lambda x, y, i: (x, y, None, i))
    return data.skip(start).take(-1 if stop is None else stop - start)


def spoilt(inputs, batch, value=np.nan):
    inputs = inputs.copy()
    inputs[batch * BATCH + 3] = value
    return inputs


def fit(model, inputs=X, meta_inputs=META[0], start=0, stop=None, **arguments):
    meta = META if not model.needs_meta_set else batches(meta_inputs, META[1], start, stop)
    return model.fit(
        batches(inputs, Y, start, stop),
        meta_data=meta if isinstance(meta, tuple) else meta.map(lambda x, y, *_: (x, y)),
        num_examples=len(inputs),
        **{"verbose": 0, **arguments},
    )


def state(model):
    """All that a model consists of, but for its counts of steps, by path."""
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    if isinstance(model, gdw_tf.methods.meta.MetaMethod):
        variables += model.weight_optimizer.variables
    counts = ("steps_taken", "non_finite_steps", "rollbacks", "first_non_finite")
    return [(v.path, v.numpy()) for v in variables if v.name not in counts]


def assert_same_state(one, other):
    for (path, value), (_, expected) in zip(state(one), state(other), strict=True):
        np.testing.assert_array_equal(value, expected, err_msg=path)


def rooted(**dense):
    """A classifier whose pull-back is infinite, though not its answer, for inputs of zeros."""
    inputs = keras.Input((examples.FEATURES,))
    hidden = keras.layers.Dense(6, use_bias=False)(inputs)
    hidden = keras.ops.sqrt(keras.ops.abs(hidden))
    return keras.Model(inputs, keras.layers.Dense(examples.CLASSES, **dense)(hidden))


@keras.saving.register_keras_serializable("gdw_tf_tests")
def infinitely_steep(weights):
    """A penalty of zero with a gradient that is none."""
    return keras.ops.sum(keras.ops.sqrt(weights - weights))


# What is found.


FINDINGS = [
    ("loss", "gdw", {"inputs": spoilt(X, 2)}),
    ("loss", "ce", {"inputs": spoilt(X, 2, np.inf)}),
    ("virtual gradient", "gdw", {"inputs": spoilt(X, 2, 0.0)}),
    ("meta loss", "gdw", {"meta_inputs": spoilt(META[0], 2)}),
    ("meta gradient", "mw_net", {"meta_inputs": spoilt(META[0], 2, 0.0)}),
    ("gradient", "ce", {"inputs": spoilt(X, 2, 0.0)}),
    ("gradient", "glc", {"meta_inputs": spoilt(META[0], 2, 0.0)}),
]
EAGER, GRAPH, XLA = {"run_eagerly": True}, {}, {"jit_compile": True}


@pytest.mark.parametrize(
    ("quantity", "method", "arguments", "execution"),
    [
        *((*finding, EAGER) for finding in FINDINGS),
        (*FINDINGS[2], GRAPH),
        (*FINDINGS[2], XLA),
        (*FINDINGS[4], XLA),
    ],
)
def test_the_first_quantity_that_is_not_finite_is_named(quantity, method, arguments, execution):
    model = examples.compiled(method, rooted, **execution)
    ends = []
    note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(batch))
    with pytest.raises(FloatingPointError, match=f"^Not finite in epoch 1, step 3: {quantity}\\.$"):
        fit(model, **arguments, callbacks=[note])
    assert ends == [0, 1]  # no callback saw the step
    assert int(model.non_finite_steps.numpy()) == 1


@pytest.mark.parametrize("method", ["gdw", "gen_label"])
def test_weights_of_the_outer_model_are_looked_at(method):
    model = examples.compiled(method, weight_optimizer=keras.optimizers.SGD(np.inf), **EAGER)
    with pytest.raises(FloatingPointError, match="step 1: weights of the outer model"):
        fit(model)


@pytest.mark.parametrize("method", ["gdw", "ce", "co_teaching"])
def test_weights_of_the_classifier_are_looked_at(method):
    options = {"virtual_lr": 0.1} if method == "gdw" else {}
    model = examples.compiled(
        method, optimizer=keras.optimizers.SGD(np.inf), options=options, **EAGER
    )
    with pytest.raises(FloatingPointError, match="step 1: weights"):
        fit(model)


def test_moving_statistics_are_looked_at():
    model = examples.compiled("ce", examples.normalized, **EAGER)
    x = X.copy()
    x[9] = 1e30  # the variance of the batch is infinite, what it normalises is finite
    with pytest.raises(FloatingPointError, match="step 2"):
        fit(model, x)


def test_a_penalty_whose_gradient_is_none_is_a_gradient():
    def classifier():
        return examples.functional(kernel_regularizer=infinitely_steep)

    with pytest.raises(FloatingPointError, match="step 1: gradient"):
        fit(examples.compiled("gdw", classifier, **EAGER))


def test_the_step_is_named_where_several_are_executed_together():
    model = examples.compiled("gdw", steps_per_execution=4)
    with pytest.raises(FloatingPointError, match="epoch 2, step 2: loss"):
        fit(model)
        fit(model, spoilt(X, 1), initial_epoch=1, epochs=2)


def test_the_last_step_is_named_where_the_last_execution_is_short():
    model = examples.compiled("gdw", steps_per_execution=3)
    with pytest.raises(FloatingPointError, match="epoch 1, step 4: loss"):
        fit(model, spoilt(X, 3))


def test_a_validation_loss_that_is_not_finite_stops_too():
    model = examples.compiled("ce", **EAGER)
    with pytest.raises(FloatingPointError, match="epoch 1, step 4: val_loss"):
        fit(model, validation_data=batches(spoilt(X, 0), Y).map(lambda x, y, *_: (x, y)))


@pytest.mark.parametrize("value", [1e30, -1e30, 1e-45])
def test_large_and_small_numbers_are_finite(value):
    one = tf.constant([1.0, value, -value])
    assert float(gdw_tf.finite.is_lost([one, tf.constant([value], tf.float64)])) == 0.0
    for lost in (np.inf, -np.inf, np.nan):
        assert float(gdw_tf.finite.is_lost([one, tf.constant([value, lost])])) == 1.0
        assert float(gdw_tf.finite.is_lost([tf.constant([np.inf, -np.inf])])) == 1.0


def test_half_precision_is_summed_in_full():
    numbers = tf.fill((1000,), tf.constant(60000.0, tf.float16))
    assert float(gdw_tf.finite.is_lost([numbers])) == 0.0
    assert float(gdw_tf.finite.is_lost([tf.constant([1.0, np.nan], tf.bfloat16)])) == 1.0


# Skipped steps.

OPTIONS = {"gdw": {"memory": 0.5, "pair_memory": 0.9}, "glc": {"clean_share": 0.5}}


def normalized_with_dropout():
    return keras.Sequential(
        [
            keras.Input((examples.FEATURES,)),
            keras.layers.Dense(6),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(examples.CLASSES),
        ]
    )


@pytest.mark.parametrize(
    ("method", "execution"),
    [*((method, EAGER) for method in gdw_tf.METHODS), ("gdw", GRAPH), ("gdw", XLA), ("mlc", GRAPH)],
)
def test_nothing_of_a_skipped_step_stays(method, execution):
    models, histories = [], []
    for inputs, meta_inputs, stop in (
        (spoilt(X, 1), spoilt(META[0], 1), 2),  # one step, and one that is skipped
        (X, META[0], 1),
    ):
        model = examples.compiled(
            method,
            normalized_with_dropout,
            options=OPTIONS.get(method),
            on_non_finite="skip",
            **execution,
        )
        if stop == 2:
            with pytest.warns(UserWarning, match="epoch 1, step 2: loss. The step is skipped."):
                history = fit(model, inputs, meta_inputs, stop=stop)
        else:
            history = fit(model, inputs, meta_inputs, stop=stop)
        models.append(model)
        histories.append(history.history)
    assert [history["non_finite_steps"] for history in histories] == [[1], [0]]
    assert [int(model.steps_taken.numpy()) for model in models] == [2, 1]
    assert histories[0] | {"non_finite_steps": [0]} == histories[1]
    assert_same_state(*models)


@pytest.mark.parametrize(
    ("method", "execution"),
    [*((method, EAGER) for method in META_METHODS), ("gdw", GRAPH), ("insw", XLA)],
)
def test_a_step_with_a_spoilt_meta_batch_is_skipped_as_a_whole(method, execution):
    models = []
    for meta_inputs, stop in ((spoilt(META[0], 1), 2), (META[0], 1)):
        model = examples.compiled(
            method,
            normalized_with_dropout,
            options=OPTIONS.get(method),
            on_non_finite="skip",
            **execution,
        )
        if stop == 2:
            with pytest.warns(UserWarning, match="step 2: meta loss. The step is skipped"):
                fit(model, X, meta_inputs, stop=stop)
        else:
            fit(model, X, meta_inputs, stop=stop)
        models.append(model)
    assert_same_state(*models)


@pytest.mark.parametrize("execution", [EAGER, GRAPH])
def test_metrics_forget_a_first_step_that_is_skipped(execution):
    model = examples.compiled("ce", on_non_finite="skip", **execution)
    with pytest.warns(UserWarning, match="step 1: loss. The step is skipped"):
        history = fit(model, spoilt(X, 0), stop=2).history
    only = examples.compiled("ce", **execution)
    expected = fit(only, start=1, stop=2).history
    for name in ("loss", "accuracy"):
        assert history[name] == pytest.approx(expected[name], rel=1e-6)


def test_training_goes_on_after_a_skipped_step():
    model = examples.compiled("gdw", on_non_finite="skip")
    with pytest.warns(UserWarning) as warned:
        history = fit(model, spoilt(spoilt(X, 1), 2), epochs=3).history
    assert len(warned) == 3  # the first of an epoch
    assert history["non_finite_steps"] == [2, 4, 6]
    assert np.isfinite(history["loss"]).all()
    assert int(model.optimizer.iterations) == 6
    assert int(model.steps_taken.numpy()) == 12


def test_skipping_changes_nothing_where_all_is_finite():
    models = [examples.compiled("gdw", on_non_finite=policy) for policy in ("stop", "skip")]
    for model in models:
        fit(model, epochs=2)
    assert_same_state(*models)


def test_an_epoch_without_a_finite_step_is_an_error():
    model = examples.compiled("gdw", on_non_finite="skip")
    with (
        pytest.warns(UserWarning),
        pytest.raises(FloatingPointError, match="step 1: loss. No step of the epoch was finite"),
    ):
        fit(model, np.full_like(X, np.nan))


def test_the_policy_and_the_count_are_saved(tmp_path):
    model = examples.compiled("mw_net", on_non_finite="skip")
    with pytest.warns(UserWarning):
        fit(model, spoilt(X, 1))
    model.rollbacks.assign(2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.on_non_finite == "skip"
    assert int(loaded.non_finite_steps.numpy()) == 1
    assert int(loaded.rollbacks.numpy()) == 2


def test_another_policy_is_refused():
    with pytest.raises(ValueError, match="on_non_finite='ignore'; allowed: stop, skip"):
        examples.compiled("ce", on_non_finite="ignore")


def test_a_watch_that_is_given_takes_the_place_of_the_own():
    given, model = CountSkippedSteps(), examples.compiled("ce")
    with pytest.warns(UserWarning, match="step 2"), pytest.raises(FloatingPointError):
        fit(model, spoilt(X, 1), callbacks=[given, StopOnNonFinite()])


# Going back.


def saved_every_epoch(model, path, **arguments):
    return [
        RollBack(lambda: model.load_weights(path), **arguments),
        keras.callbacks.ModelCheckpoint(path),
    ]


@pytest.mark.parametrize("method", ["gdw", "ce", "soft_label"])
def test_going_back_is_the_checkpoint_and_the_batches_after_the_step_at_half_the_rate(
    method, tmp_path
):
    options = {"memory": 0.5} if method == "gdw" else {}
    path = tmp_path / "latest.keras"
    model = examples.compiled(method, normalized_with_dropout, options=options, **EAGER)
    callbacks = saved_every_epoch(model, path)
    fit(model, callbacks=callbacks)
    expected = keras.models.load_model(path)
    expected.run_eagerly = True
    with pytest.warns(UserWarning, match="epoch 2, step 2: loss. .*last checkpoint.*1 of 3 times"):
        history = fit(model, spoilt(X, 1), initial_epoch=1, epochs=2, callbacks=callbacks).history

    expected.optimizer.learning_rate.assign(0.05)
    # The batches behind the spoilt one, of both sets.
    reference = fit(expected, start=2, initial_epoch=1, epochs=2).history
    expected.optimizer.learning_rate.assign(0.1)  # what it would be, for who reads or saves it
    assert_same_state(model, expected)
    assert history["loss"] == reference["loss"]
    assert history["rollbacks"] == history["non_finite_steps"] == [1]
    assert int(model.steps_taken.numpy()) == 8


def test_the_rate_stays_halved_under_a_schedule_and_in_a_loaded_model(tmp_path):
    path, rates = tmp_path / "latest.keras", []

    def train(model, inputs, **arguments):
        note = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: rates.append(
                float(model.optimizer.learning_rate)
            )
        )
        schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 2.0**-epoch)
        callbacks = [schedule, *saved_every_epoch(model, path), note]
        fit(model, inputs, callbacks=callbacks, stop=2, **arguments)

    model = examples.compiled("gdw")
    train(model, X)
    with pytest.warns(UserWarning):
        train(model, spoilt(X, 0), initial_epoch=1, epochs=2)
    train(keras.models.load_model(path), X, initial_epoch=2, epochs=3)
    assert rates == [1.0, 1.0, 0.25, 0.25, 0.125, 0.125]


def test_training_stops_when_it_went_back_often_enough(tmp_path):
    model = examples.compiled("gdw")
    callbacks = saved_every_epoch(model, tmp_path / "latest.keras", times=2)
    fit(model, callbacks=callbacks)
    with (
        pytest.warns(UserWarning, match="2 of 2 times"),
        pytest.raises(FloatingPointError, match="step 3: loss. Training went back 2 times already"),
    ):
        fit(model, np.full_like(X, np.nan), callbacks=callbacks)


def test_what_cannot_be_gone_back_from_is_refused_before_training(tmp_path):
    skipping = examples.compiled("ce", on_non_finite="skip")
    with pytest.raises(ValueError, match="on_non_finite='skip' and a RollBack; allowed: one"):
        fit(skipping, callbacks=[RollBack(lambda: None)])
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    scheduled = examples.compiled("ce", optimizer=gdw_tf.CoupledSGD(schedule))
    with pytest.raises(ValueError, match="must be a number. Received: CosineDecay"):
        fit(scheduled, callbacks=[RollBack(lambda: None)])
    with pytest.raises(ValueError, match="times is out of range"):
        RollBack(lambda: None, times=0)
