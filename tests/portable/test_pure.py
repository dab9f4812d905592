from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from gdw_tf import data, experiment
from gdw_tf.methods import CE, Method
from gdw_tf.portable import pure
from gdw_tf.settings import Settings, resolve

SETTINGS = {
    **{"train_examples": 100, "num_meta": 20, "batch_size": 20, "meta_batch_size": 20},
    "network": "small_cnn_without_dropout",
}


def prepared(settings: Settings) -> tuple[data.Source, data.NoisyData]:
    source = experiment.load_source(settings)
    return source, experiment.prepare_data(settings, source)


def batch(noisy: data.NoisyData, seed: int) -> dict[str, tf.Tensor]:
    generator = np.random.default_rng(seed)
    index, meta = generator.integers(len(noisy.y_train), size=20), generator.permutation(20)
    arrays = {
        "images": noisy.x_train[index],
        "labels": noisy.y_train[index].astype(np.int32),
        "index": index.astype(np.int32),
        "meta_images": noisy.x_meta[meta],
        "meta_labels": noisy.y_meta[meta].astype(np.int32),
    }
    return {name: tf.constant(array) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def started() -> tuple[Method, data.NoisyData]:
    settings = resolve(**SETTINGS, memory=0.5)
    source, noisy = prepared(settings)
    return pure.started_model(settings, source, noisy), noisy


def test_the_pure_function_takes_the_steps_of_train_step_whatever_the_variables_hold(started):
    model, noisy = started
    first = pure.state_values(model)

    # Compiled too: other kernels round otherwise, and GDW's steps make much of it.
    @tf.function(jit_compile=True, autograph=False)
    def step(batch):
        training = (batch["images"], batch["labels"], (), batch["index"])
        return model.train_step((training, (batch["meta_images"], batch["meta_labels"])))

    logs_of_steps = [step(batch(noisy, seed)) for seed in range(3)]
    expected = pure.state_values(model)

    function = pure.pure(model, pure.train)
    state = [tf.constant(value) for value in first.values()]
    for seed, logs in enumerate(logs_of_steps):
        for variable in pure.state_variables(model).values():  # of no account
            variable.assign(tf.ones_like(variable.value))
        answered, state = function(state, batch(noisy, seed))
        assert set(answered) == set(logs)
        for name, log in logs.items():
            np.testing.assert_allclose(answered[name], log, rtol=1e-5, err_msg=name)

    for (name, value), answer in zip(expected.items(), state, strict=True):
        np.testing.assert_allclose(answer, value, rtol=1e-4, atol=1e-5, err_msg=name)
    assert (expected["gdw/steps_taken"], first["gdw/steps_taken"]) == (3, 0)
    assert np.abs(expected["gdw/example_memory"]).max() > 0.01


def test_evaluation_sums_over_batches_and_leaves_all_else(started):
    model, noisy = started
    model.reset_metrics()
    before = pure.state_values(model)
    expected = model.evaluate(noisy.x_test[:40], noisy.y_test[:40], verbose=0, return_dict=True)

    function = pure.pure(model, pure.evaluate)
    state = [tf.constant(value) for value in before.values()]
    for part in (slice(0, 20), slice(20, 40)):
        labels = noisy.y_test[part].astype(np.int32)
        logs, state = function(
            state, {"images": tf.constant(noisy.x_test[part]), "labels": tf.constant(labels)}
        )

    for name, value in expected.items():
        np.testing.assert_allclose(logs[name], value, rtol=1e-5)
    sums = {variable.path for variable in model.metrics_variables}
    for (name, value), answer in zip(before.items(), state, strict=True):
        if name not in sums:
            np.testing.assert_array_equal(answer, value, err_msg=name)


def test_the_state_reaches_all_that_is_learned_and_counted():
    settings = resolve(**SETTINGS, method="gdw", pair_memory=0.9, base_loss="ldam")
    model = pure.started_model(settings, *prepared(settings))
    held = {id(variable) for variable in pure.state_variables(model).values()}
    for variable in [
        *model.classifier.variables,
        *model.weight_net.variables,
        *model.optimizer.variables,
        *model.weight_optimizer.variables,
        *(model.pair_steps, model.steps_taken, model.progress, model.base_loss.progress),
    ]:
        assert id(variable) in held, variable.path


def test_variables_of_one_path_have_names_of_their_own_which_are_the_same_every_time():
    settings = resolve(**SETTINGS, method="co_teaching")
    names = [
        list(pure.state_values(pure.started_model(settings, *prepared(settings)))) for _ in "ab"
    ]
    assert {"logits/kernel", "logits/kernel#2"} <= set(names[0])
    assert names[0] == names[1]


def test_a_step_that_uses_a_variable_outside_of_the_state_is_refused():
    hidden = tf.Variable(1.0)

    class Hidden(CE):
        def train_step(self, data: Any) -> dict[str, tf.Tensor]:
            return {**super().train_step(data), "hidden": hidden.assign_add(1.0)}

    inputs = keras.Input((4,), dtype="uint8")
    classifier = keras.Sequential([inputs, keras.layers.Rescaling(1.0), keras.layers.Dense(3)])
    model = Hidden(classifier)
    model.compile()
    model.build_optimizers()
    with pytest.raises(ValueError, match="Hidden uses what is not part of the state"):
        pure.program(model, pure.train, pure.training_batch(model, (4,), 2, 2))


@pytest.mark.parametrize("change", ["missing", "shape"])
def test_a_state_that_does_not_fit_is_refused(change, started):
    model, _ = started
    values = pure.state_values(model)
    if change == "missing":
        del values["logits/bias"]
    else:
        values["logits/bias"] = np.zeros(3, np.float32)
    with pytest.raises(
        ValueError, match=r"does not fit the model at logits/bias.*allowed: \(10,\)"
    ):
        pure.check_state(model, values)
