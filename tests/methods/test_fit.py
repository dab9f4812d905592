from __future__ import annotations

import re
import warnings
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf

from . import examples
from .examples import CLASSES, FEATURES, arrays

METHODS = list(gdw_tf.METHODS)
META_METHODS = ["gdw", "mw_net"]
NEEDING_A_META_SET = [name for name, method in gdw_tf.METHODS.items() if method.needs_meta_set]
ONE_OF_A_KIND = ["gdw", "ce"]  # a meta method and a plain one

X, Y = arrays()
META = arrays(9, seed=1)


def trained(method: str, x: Any = X, y: Any = Y, *, meta_data: Any = META, **arguments: Any):
    """A model after a few eager steps; `model` arguments go to `compiled`, the rest to `fit`."""
    model = examples.compiled(method, **{"run_eagerly": True, **arguments.pop("model", {})})
    arguments = {"batch_size": None if y is None else 16, "verbose": 0, **arguments}
    model.fit(x, y, meta_data=meta_data, **arguments)
    return model


def weights(model: gdw_tf.Method) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in model.trainable_variables]


def assert_equal_weights(first: gdw_tf.Method, second: gdw_tf.Method, **tolerance: float) -> None:
    for one, other in zip(weights(first), weights(second), strict=True):
        np.testing.assert_allclose(one, other, **{"rtol": 0, "atol": 0, **tolerance})


def differ(first: gdw_tf.Method, second: gdw_tf.Method) -> bool:
    pairs = zip(weights(first), weights(second), strict=True)
    return any(not np.array_equal(one, other) for one, other in pairs)


def dataset(data: tuple[Any, ...], batch_size: int) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(data).batch(batch_size)


# Classifiers.


@pytest.mark.parametrize("kind", examples.CLASSIFIERS)
def test_every_kind_of_classifier_learns(kind):
    model = examples.compiled("gdw", examples.CLASSIFIERS[kind], optimizer=gdw_tf.CoupledSGD(0.3))
    model.fit(np.tile(X, (12, 1)), np.tile(Y, 12), meta_data=META, verbose=0)
    assert model.evaluate(X, Y, verbose=0, return_dict=True)["accuracy"] > 0.6  # by chance: 1/3
    assert model.built


@pytest.mark.parametrize(
    "classifier",
    [examples.subclassed, lambda: examples.subclassed(kind=examples.WithoutTraining)],
    ids=["training in call", "without training in call"],
)
def test_dropout_of_a_subclassed_classifier_is_on_in_training_and_off_in_inference(classifier):
    model = examples.compiled("gdw", classifier)
    model(X)
    assert not np.allclose(model(X, training=True), model(X, training=True))
    np.testing.assert_array_equal(model(X), model(X))
    forward = gdw_tf.lookahead.ForwardPass(model.classifier, X)
    assert not np.allclose(forward.logits, model(X))


def test_noise_and_dropout_draw_anew_in_every_step():
    def noisy() -> keras.Model:
        return keras.Sequential(
            [
                keras.Input((FEATURES,)),
                keras.layers.GaussianNoise(0.5),
                keras.layers.Dropout(0.5),
                keras.layers.Dense(CLASSES),
            ]
        )

    model = examples.compiled("gdw", noisy, run_eagerly=True)
    batch = (tf.constant(X), tf.constant(Y)), tuple(map(tf.constant, META))
    frozen = keras.optimizers.SGD(1e-30)
    model.compile(frozen, run_eagerly=True)
    first, second = (model.training_step(batch)["logits"] for _ in range(2))
    assert not np.allclose(first, second)


@pytest.mark.parametrize(
    "last",
    [
        lambda x: keras.layers.Dense(CLASSES, activation="softmax")(x),
        lambda x: keras.layers.Softmax()(keras.layers.Dense(CLASSES)(x)),
        lambda x: keras.layers.Activation("softmax")(keras.layers.Dense(CLASSES)(x)),
        lambda x: keras.Sequential([keras.layers.Dense(CLASSES, activation="softmax")])(x),
        lambda x: keras.ops.softmax(keras.layers.Dense(CLASSES)(x)),
    ],
    ids=["activation", "layer", "activation layer", "nested", "operation"],
)
@pytest.mark.parametrize("method", METHODS)
def test_a_classifier_that_ends_in_softmax_is_refused_with_advice(method, last):
    inputs = keras.Input((FEATURES,))
    with pytest.raises(ValueError, match=r"must answer logits.*Remove the softmax.*Received"):
        model = gdw_tf.METHODS[method](keras.Model(inputs, last(inputs)))
        model.compile()
        model.fit(X, Y, meta_data=META)


class EndsInSoftmax(examples.Subclassed):
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return keras.ops.softmax(super().call(inputs, training=training))


@pytest.mark.parametrize("method", examples.METHODS_OF_ANY_CLASSIFIER)
def test_a_subclassed_classifier_that_ends_in_softmax_is_refused_by_fit(method):
    with pytest.raises(ValueError, match="Remove the softmax"):
        trained(method, model={"classifier": EndsInSoftmax})


@pytest.mark.parametrize("classifier", [None, 3, keras.layers.Dense(3), lambda x: x])
def test_what_is_no_keras_model_is_refused(classifier):
    with pytest.raises(TypeError, match="classifier must be a keras.Model. Received"):
        gdw_tf.GDW(classifier)


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: keras.layers.Reshape((4, 2))(x),
        lambda x: keras.layers.Dense(1)(x),
        lambda x: [keras.layers.Dense(3)(x), keras.layers.Dense(3)(x)],
        lambda x: {"logits": keras.layers.Dense(3)(x)},
    ],
    ids=["three axes", "one class", "two answers", "a dict"],
)
def test_answers_other_than_logits_of_a_batch_are_refused(answer):
    def classifier() -> keras.Model:
        inputs = keras.Input((FEATURES,))
        return keras.Model(inputs, answer(inputs))

    with pytest.raises(ValueError, match=r"shape \(batch, classes\).*Received"):
        trained("gdw", model={"classifier": classifier})


@pytest.mark.parametrize("method", METHODS)
def test_frozen_layers_keep_their_weights_and_the_others_learn(method):
    def half_frozen() -> keras.Model:
        model = examples.functional()
        model.layers[1].trainable = False
        return model

    model = trained(method, model={"classifier": half_frozen})
    initial = examples.compiled(method, half_frozen).classifier
    for before, after in zip(
        initial.layers[1].weights, model.classifier.layers[1].weights, strict=True
    ):
        np.testing.assert_array_equal(before, after)
    assert not np.allclose(initial.layers[2].kernel, model.classifier.layers[2].kernel)


@pytest.mark.parametrize("method", METHODS)
def test_a_classifier_with_nothing_to_train_is_refused(method):
    def frozen() -> keras.Model:
        model = examples.functional()
        model.trainable = False
        return model

    with pytest.raises(ValueError, match="no trainable weights"):
        trained(method, model={"classifier": frozen})


@pytest.mark.parametrize("method", METHODS)
def test_regularisers_are_added_to_the_actual_step(method):
    """One SGD step with L2 of factor l is that without it, less lr * 2 * l * theta."""

    def linear(factor: float) -> keras.Model:
        regularizer = keras.regularizers.L2(factor) if factor else None
        layer = keras.layers.Dense(CLASSES, kernel_regularizer=regularizer)
        return keras.Sequential([keras.Input((FEATURES,)), layer])

    rate, factor = 0.5, 0.1
    initial, plain, regularised = (
        model.classifier.layers[0]
        for model in (
            examples.compiled(method, lambda: linear(0)),
            *(
                trained(
                    method,
                    batch_size=32,
                    model={
                        "classifier": lambda f=f: linear(f),
                        "optimizer": keras.optimizers.SGD(rate),
                    },
                )
                for f in (0, factor)
            ),
        )
    )
    shrunk = rate * 2 * factor * np.asarray(initial.kernel)
    np.testing.assert_allclose(regularised.kernel, plain.kernel - shrunk, atol=1e-6)
    np.testing.assert_array_equal(regularised.bias, plain.bias)


# Forms of data.


@pytest.mark.parametrize("method", ONE_OF_A_KIND)
def test_arrays_tensors_and_data_sets_train_alike(method):
    expected = trained(method, shuffle=False, meta_batch_size=9)
    tensors = trained(
        method,
        tf.constant(X),
        tf.constant(Y),
        meta_data=tuple(map(tf.constant, META)),
        shuffle=False,
        meta_batch_size=9,
    )
    assert_equal_weights(tensors, expected)
    for training, meta in (
        ((dataset((X, Y), 16), None), META),
        ((X, Y), dataset(META, 9)),
        ((dataset((X, Y), 16), None), dataset(META, 9)),
    ):
        sizes = {"meta_batch_size": 9} if isinstance(meta, tuple) else {}
        model = trained(method, *training, meta_data=meta, shuffle=False, **sizes)
        # A meta set in arrays is shuffled: the same batch, summed in another order.
        assert_equal_weights(model, expected, atol=1e-5)


@pytest.mark.parametrize("method", META_METHODS)
def test_the_meta_set_is_repeated_and_its_batches_may_have_another_size(method):
    """Batches of 6 of 9 meta examples, over three steps: 6, 3, 6 in the order of the data set."""
    short = trained(method, meta_data=dataset(META, 6), batch_size=11, shuffle=False)
    x, y = (np.concatenate([array, array[:6]]) for array in META)
    spelled_out = tf.data.Dataset.from_generator(
        lambda: ((x[a:b], y[a:b]) for a, b in ((0, 6), (6, 9), (9, 15))),
        output_signature=(
            tf.TensorSpec((None, FEATURES), tf.float32),
            tf.TensorSpec((None,), tf.int64),
        ),
    )
    assert_equal_weights(
        short, trained(method, meta_data=spelled_out, batch_size=11, shuffle=False)
    )


def test_labels_in_every_form_train_alike():
    expected = trained("gdw")
    eye = np.eye(CLASSES)
    for form in (
        lambda labels: labels[:, np.newaxis].astype(np.uint8),
        lambda labels: eye[labels],
        lambda labels: eye[labels].astype(np.int64),
    ):
        model = trained("gdw", X, form(Y), meta_data=(META[0], form(META[1])))
        assert_equal_weights(model, expected)


# In these all that is learned is learned from the training batch.
@pytest.mark.parametrize("method", [*META_METHODS, "ce", "fine_tune", "co_teaching", "forward"])
def test_twice_the_sample_weight_is_twice_the_learning_rate(method):
    def model(rate: float) -> dict[str, Any]:
        return {"optimizer": gdw_tf.CoupledSGD(rate, weight_decay=0.0)}

    weighted = trained(method, sample_weight=np.full(32, 2.0), model=model(0.25))
    assert_equal_weights(weighted, trained(method, model=model(0.5)), atol=1e-6)


@pytest.mark.parametrize("method", ONE_OF_A_KIND)
def test_an_example_of_weight_zero_teaches_nothing(method):
    weight = np.ones(32, np.float32)
    weight[:5] = 0.0
    noise, labels = X.copy(), Y.copy()
    noise[:5] += 3.0
    labels[:5] = (labels[:5] + 1) % CLASSES
    first = trained(method, sample_weight=weight)
    assert_equal_weights(first, trained(method, noise, labels, sample_weight=weight), atol=1e-6)
    assert differ(first, trained(method))


def test_class_weights_are_sample_weights_by_class():
    by_class = trained("ce", class_weight={0: 0.25, 2: 3.0})
    weight = np.array([0.25, 1.0, 3.0], np.float32)[Y]
    by_example = trained("ce", sample_weight=weight)
    assert_equal_weights(by_class, by_example)
    both = trained("ce", class_weight={0: 0.25, 2: 3.0}, sample_weight=weight)
    assert_equal_weights(both, trained("ce", sample_weight=weight**2))
    in_data_set = trained(
        "ce", dataset((X, np.eye(CLASSES)[Y]), 16), None, class_weight={0: 0.25, 2: 3.0}
    )
    unshuffled = trained("ce", sample_weight=weight, shuffle=False)
    assert_equal_weights(in_data_set, unshuffled, atol=1e-6)


@pytest.mark.parametrize("method", META_METHODS)
def test_sample_weights_of_the_meta_set_count(method):
    """A meta example of weight 0 beside one of weight 2 is as if it were the other, twice."""
    meta_x, meta_y = META[0][:6], META[1][:6]
    weight = np.tile([2.0, 0.0], 3)
    doubled = meta_x[::2].repeat(2, axis=0), meta_y[::2].repeat(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class may be missing
        weighted = trained(method, meta_data=(meta_x, meta_y, weight))
        assert_equal_weights(weighted, trained(method, meta_data=doubled), atol=1e-6)


def test_metrics_with_and_without_weights_see_what_they_should():
    weight = np.linspace(0, 2, 32).astype(np.float32)
    model = examples.compiled(
        "ce",
        optimizer=keras.optimizers.SGD(1e-30),
        weighted_metrics=["accuracy"],
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="plain")],
        run_eagerly=True,
    )
    logs = model.fit(X, Y, sample_weight=weight, verbose=0).history
    right = np.argmax(model.predict(X, verbose=0), axis=1) == Y
    assert logs["plain"][0] == pytest.approx(right.mean())
    assert logs["accuracy"][0] == pytest.approx((right * weight).sum() / weight.sum())
    by_class = model.fit(X, Y, class_weight={0: 5.0}, verbose=0).history
    weight = np.where(Y == 0, 5.0, 1.0)
    assert by_class["accuracy"][0] == pytest.approx((right * weight).sum() / weight.sum())


def test_inputs_may_be_a_dict_or_several():
    def joined(*parts: Any) -> Any:
        both = keras.layers.Concatenate()(list(parts))
        return keras.layers.Dense(CLASSES, kernel_initializer="ones")(both)

    def of_two() -> keras.Model:
        inputs = [keras.Input((4,)), keras.Input((4,))]
        return keras.Model(inputs, joined(*inputs))

    def of_dict() -> keras.Model:
        inputs = {name: keras.Input((4,), name=name) for name in ("left", "right")}
        return keras.Model(inputs, joined(inputs["left"], inputs["right"]))

    def halves(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x[:, :4], x[:, 4:]

    def as_list(x: np.ndarray) -> list[np.ndarray]:
        return list(halves(x))

    results = [
        trained("gdw", form(X), Y, meta_data=(form(META[0]), META[1]), model={"classifier": kind})
        for kind, form in ((of_two, halves), (of_two, as_list), (of_dict, examples.as_dict))
    ]
    assert_equal_weights(results[0], results[1])
    assert_equal_weights(results[0], results[2])
    predicted = results[2].predict(examples.as_dict(X), verbose=0)
    np.testing.assert_array_equal(predicted, results[0].predict(as_list(X), verbose=0))


def test_integer_images_are_taken_as_they_are():
    images = np.random.default_rng(0).integers(0, 256, (41, 4, 4, 1), dtype=np.uint8)

    def cnn(dtype: str) -> keras.Model:
        return keras.Sequential(
            [
                keras.Input((4, 4, 1), dtype=dtype),
                keras.layers.Rescaling(1 / 255),
                keras.layers.Conv2D(2, 3),
                keras.layers.Flatten(),
                keras.layers.Dense(CLASSES),
            ]
        )

    def result(dtype: str) -> gdw_tf.Method:
        x = images.astype(dtype)
        meta_data = (x[32:], META[1])
        model = {"classifier": lambda: cnn(dtype)}
        return trained("gdw", x[:32], Y, meta_data=meta_data, model=model)

    assert_equal_weights(result("uint8"), result("float32"))


def test_every_example_is_seen_once_an_epoch_the_last_batch_included():
    model = trained("gdw", batch_size=10, epochs=2)
    assert int(model.optimizer.iterations) == 2 * 4
    linear = gdw_tf.CE(keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(CLASSES)]))
    linear.compile(keras.optimizers.SGD(1e-30), run_eagerly=True)
    loss = linear.fit(X, Y, batch_size=10, verbose=0).history["loss"][0]
    logits = linear.predict(X, verbose=0).astype(np.float64)
    log_sum = np.log(np.exp(logits).sum(axis=1))
    assert loss == pytest.approx((log_sum - logits[np.arange(32), Y]).mean(), rel=1e-5)


def test_shuffling_follows_the_seed():
    first, second = trained("gdw"), trained("gdw")
    assert_equal_weights(first, second)
    assert differ(first, trained("gdw", shuffle=False))


def test_an_endless_data_set_takes_steps_per_epoch():
    endless = trained(
        "gdw",
        dataset((X, Y), 16).repeat(),
        None,
        meta_data=dataset(META, 9),
        steps_per_epoch=2,
        epochs=2,
    )
    finite = trained("gdw", dataset((X, Y), 16), None, meta_data=dataset(META, 9), epochs=2)
    assert int(endless.optimizer.iterations) == 4
    assert_equal_weights(endless, finite)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras's word on unknown lengths
def test_a_data_set_of_unknown_length_is_read_to_its_end():
    unknown = dataset((X, Y), 16).filter(lambda x, y: True)
    model = trained("gdw", unknown, None, meta_data=dataset(META, 9), epochs=2)
    known = trained("gdw", dataset((X, Y), 16), None, meta_data=dataset(META, 9), epochs=2)
    assert int(model.optimizer.iterations) == 4
    assert_equal_weights(model, known)


@pytest.mark.parametrize("method", ONE_OF_A_KIND)
def test_fit_gives_no_warning(method):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # What Keras and NumPy say to each other.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        trained(method, epochs=2, validation_split=0.25, batch_size=10)
        trained(
            method,
            dataset((X, Y), 16),
            None,
            meta_data=dataset(META, 4),
            validation_data=dataset(META, 4),
        )


# Validation, evaluation, logs.


@pytest.mark.parametrize("method", METHODS)
def test_validation_measures_the_model_on_what_it_is_given(method):
    model = trained(method, validation_data=META, epochs=2)
    logs = model.history.history
    evaluated = model.evaluate(*META, verbose=0, return_dict=True)
    assert set(evaluated) == {"loss", "accuracy"}
    assert logs["val_loss"][-1] == pytest.approx(evaluated["loss"], rel=1e-6)
    assert logs["val_accuracy"][-1] == pytest.approx(evaluated["accuracy"])
    logits = model.predict(META[0], verbose=0).astype(np.float64)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(9), META[1]]
    assert evaluated["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert evaluated["accuracy"] == pytest.approx((logits.argmax(axis=1) == META[1]).mean())


def test_validation_split_keeps_the_last_examples_out_of_training():
    split = trained("gdw", validation_split=0.25, sample_weight=np.linspace(0, 1, 32))
    apart = trained(
        "gdw",
        X[:24],
        Y[:24],
        sample_weight=np.linspace(0, 1, 32)[:24],
        validation_data=(X[24:], Y[24:], np.linspace(0, 1, 32)[24:]),
    )
    assert_equal_weights(split, apart)
    assert split.history.history == apart.history.history
    assert "val_loss" in split.history.history


@pytest.mark.parametrize("method", METHODS)
def test_the_logs_are_named_as_documented(method):
    logs = trained(method, validation_data=META).history.history
    expected = {"loss", "accuracy", "val_loss", "val_accuracy"}
    if method not in ("clean_only", "fine_tune"):
        expected |= {"meta_loss", "meta_accuracy"}
    if method in META_METHODS:
        expected |= {"first_stage_weight", "target_weight"}
    expected |= {
        "co_teaching": {"kept_share"},
        **dict.fromkeys(["glc", "forward"], {"corrected_loss"}),
        **dict.fromkeys(["soft_label", "gen_label", "mlc"], {"given_label"}),
    }.get(method, set())
    assert set(logs) == expected


@pytest.mark.parametrize("method", META_METHODS)
def test_the_logs_are_means_over_the_examples_of_the_epoch(method):
    """Recomputed from the steps themselves, taken one by one on a twin of the model."""
    history = trained(method, dataset((X, Y), 20), None, meta_data=dataset(META, 6)).history.history

    twin = examples.compiled(method, run_eagerly=True)
    sizes, logs, right = [], {name: [] for name in history}, 0.0
    for start, part in ((0, slice(6)), (20, slice(6, 9))):
        x, y = X[start : start + 20], Y[start : start + 20]
        meta = tuple(tf.constant(one[part]) for one in META)
        step = twin.training_step(((tf.constant(x), tf.constant(y)), meta))
        logits = step["logits"].numpy().astype(np.float64)
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]
        second = np.broadcast_to(step["updated_outer"].numpy(), logits.shape)
        sizes.append(len(y))
        right += (logits.argmax(axis=1) == y).sum()
        logs["loss"].append(losses.mean())
        logs["first_stage_weight"].append(step["outer"].numpy().mean())
        logs["target_weight"].append(second[np.arange(len(y)), y].mean())
        logs["meta_loss"].append(step["meta_loss"].numpy())
        logs["meta_accuracy"].append(step["meta_accuracy"].numpy())
    assert history["accuracy"][0] == pytest.approx(right / 32)
    for name in set(logs) - {"accuracy"}:
        weights = (6, 3) if name.startswith("meta_") else sizes
        assert history[name][0] == pytest.approx(np.average(logs[name], weights=weights), rel=1e-5)


def test_plain_training_logs_the_meta_set_after_the_epoch():
    model = trained("ce", epochs=2)
    evaluated = model.evaluate(*META, verbose=0, return_dict=True)
    logs = model.history.history
    assert logs["meta_loss"][-1] == pytest.approx(evaluated["loss"], rel=1e-6)
    assert logs["meta_accuracy"][-1] == pytest.approx(evaluated["accuracy"])
    assert len(logs["meta_loss"]) == 2


@pytest.mark.parametrize("method", ONE_OF_A_KIND)
@pytest.mark.parametrize("form", [lambda y: np.eye(CLASSES)[y], lambda y: y[:, np.newaxis]])
def test_accuracies_are_right_where_training_and_other_labels_are_of_different_forms(method, form):
    model = trained(method, X, form(Y), validation_data=META)
    logs = model.history.history
    accuracy = (model.predict(META[0], verbose=0).argmax(axis=1) == META[1]).mean()
    assert logs["val_accuracy"][-1] == pytest.approx(accuracy)
    if method == "ce":
        assert logs["meta_accuracy"][-1] == pytest.approx(accuracy)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "uint32", "uint64"])
def test_labels_are_of_any_integer_dtype(dtype):
    x_meta, y_meta = META
    other = trained("gdw", X, Y.astype(dtype), meta_data=(x_meta, y_meta.astype(dtype)))
    assert_equal_weights(other, trained("gdw"))


def test_text_as_tensors_is_evaluated():
    inputs = keras.Input((1,), dtype="string")
    hashed = keras.layers.Hashing(16, output_mode="multi_hot")(inputs)
    model = gdw_tf.CE(keras.Model(inputs, keras.layers.Dense(CLASSES)(hashed)))
    model.compile(run_eagerly=True)
    words = tf.constant([["one"], ["two"], ["three"]])
    data = (words, np.arange(3))
    logs = model.fit(*data, meta_data=data, validation_data=data, verbose=0).history
    assert logs["meta_loss"] == pytest.approx(logs["val_loss"])


def test_labels_are_lists_wherever_they_are_given():
    x_meta, y_meta = META
    model = trained(
        "ce", X, Y.tolist(), meta_data=(x_meta, y_meta.tolist()), validation_data=[x_meta, [0] * 9]
    )
    assert_equal_weights(model, trained("ce"))


def test_averaged_weights_are_evaluated_on_the_meta_set_as_on_validation_data():
    model = examples.compiled(
        "ce", optimizer=keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9), run_eagerly=True
    )
    raw = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: raw.append(model.evaluate(*META, verbose=0)[0])
    )
    callbacks = [keras.callbacks.SwapEMAWeights(), note]
    arguments = {"meta_data": META, "validation_data": META, "epochs": 2, "verbose": 0}
    logs = model.fit(X, Y, callbacks=callbacks, **arguments).history
    assert logs["meta_loss"] == pytest.approx(logs["val_loss"], rel=1e-6)
    assert abs(raw[-1] - logs["meta_loss"][-1]) > 1e-3


def test_an_evaluated_meta_set_leaves_averaged_weights_alone():
    models = []
    for meta_data in (META, None):
        optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9)
        swap = {"callbacks": [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)]}
        model = {"optimizer": optimizer}
        models.append(trained("ce", meta_data=meta_data, epochs=3, model=model, **swap))
    assert_equal_weights(*models)


@pytest.mark.parametrize("method", METHODS)
def test_summary_and_layers_are_those_of_a_keras_model(method):
    model = examples.compiled(method)
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert model.classifier.name in "\n".join(lines)
    assert model.get_layer(model.classifier.name) is model.classifier
    np.testing.assert_allclose(model.predict(X, verbose=0), model.classifier(X), atol=1e-6)


# Mistakes.


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ValueError, "3", {"y": np.where(Y == 2, 3, Y)}),
        (ValueError, "-1", {"y": np.where(Y == 2, -1, Y)}),
        (TypeError, "float", {"y": Y.astype(np.float32)}),
        (ValueError, "one-hot", {"y": np.full((32, CLASSES), 0.5)}),
        (ValueError, "shape", {"y": np.zeros((32, 2), int)}),
        (ValueError, r"one length.*\[31, 32\]", {"y": Y[:31]}),
        (ValueError, r"one length.*\[31, 32\]", {"sample_weight": np.ones(31)}),
        (ValueError, "y=None", {"y": None}),
        (ValueError, "at least one example", {"x": X[:0], "y": Y[:0]}),
        (TypeError, "generator", {"x": ((X, Y) for _ in range(2)), "y": None}),
        (TypeError, "str", {"x": "train", "y": None}),
        (ValueError, "y or sample_weight", {"x": dataset((X, Y), 16)}),
        (ValueError, "batches", {"x": tf.data.Dataset.from_tensor_slices(X).batch(4), "y": None}),
        (ValueError, "at least one batch", {"x": dataset((X, Y), 16).take(0), "y": None}),
        (ValueError, "batch_size", {"x": dataset((X, Y), 16), "y": None, "batch_size": 4}),
        (ValueError, "^meta_batch_size", {"meta_data": dataset(META, 9), "meta_batch_size": 4}),
        (ValueError, "needs steps_per_epoch", {"x": dataset((X, Y), 16).repeat(), "y": None}),
        (TypeError, "one tensor", {"x": dataset((X, {"label": Y}), 16), "y": None}),
        (ValueError, "validation_split", {"validation_split": 1.5}),
        (ValueError, "validation_split", {"validation_split": 0.99}),
        (
            ValueError,
            "validation_split",
            {"x": dataset((X, Y), 16), "y": None, "validation_split": 0.5},
        ),
    ],
)
@pytest.mark.parametrize("method", ONE_OF_A_KIND)
def test_a_mistake_in_the_training_data_is_told_in_one_line(method, error, message, arguments):
    with pytest.raises(error, match=message) as caught:
        trained(method, **{"x": X, "y": Y, **arguments})
    assert "\n" not in str(caught.value)
    assert re.search("Received", str(caught.value))


@pytest.mark.parametrize("on_non_finite", ["stop", "skip"])
@pytest.mark.parametrize("method", ["gdw", "insw", "clean_only", "fine_tune"])
def test_a_batch_alone_is_no_training_step(method, on_non_finite):
    model = trained(method, model={"on_non_finite": on_non_finite})
    with pytest.raises(ValueError, match="takes a pair of batches, training and meta"):
        model.train_on_batch(X, Y)


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.SGD(0.1, loss_scale_factor=8.0),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
    ],
)
def test_the_outer_models_optimizer_does_not_scale_its_loss(optimizer):
    with pytest.raises(ValueError, match="weight_optimizer must not scale its loss.*Received"):
        examples.compiled("gdw", weight_optimizer=optimizer)


def function_of(data):
    return lambda context: data


@pytest.mark.parametrize(
    ("error", "message", "x", "meta_data"),
    [
        (ValueError, "endless.*of 2 batches", dataset((X, Y), 16), dataset(META, 9).repeat()),
        (ValueError, "meta_data.*endless", dataset((X, Y), 16).repeat(), dataset(META, 9)),
        (TypeError, "training data must be.*Received: NoneType", None, dataset(META, 9).repeat()),
    ],
)
def test_a_function_must_return_an_endless_data_set(error, message, x, meta_data):
    model = examples.compiled("gdw")
    with pytest.raises(error, match=message):
        model.fit(function_of(x), meta_data=function_of(meta_data), steps_per_epoch=2)


def test_training_data_and_meta_set_are_both_functions_or_neither():
    model, endless = examples.compiled("gdw"), dataset((X, Y), 16).repeat()
    with pytest.raises(ValueError, match="both be functions.*Received: function and tuple"):
        model.fit(function_of(endless), meta_data=META, steps_per_epoch=2)


@pytest.mark.parametrize("method", ["gdw", "ce"])
def test_functions_of_one_worker_train_what_their_data_sets_train(method):
    batches, meta = dataset((X, Y), 16), dataset(META, 9)
    meta = meta.repeat() if method == "gdw" else meta
    models = []
    for wrapped in (lambda data: data, function_of):
        model = examples.compiled(method)
        model.fit(
            wrapped(batches.repeat()),
            meta_data=wrapped(meta),
            validation_data=wrapped(batches),
            steps_per_epoch=3,
            verbose=0,
        )
        models.append(model)
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("error", "message", "meta_data"),
    [
        (ValueError, "labels from 0 to 3", (META[0], np.arange(9) % 4)),
        (TypeError, "float", (META[0], META[1].astype(float))),
        (ValueError, "one length", (META[0], META[1][:8])),
        (ValueError, "at least one example", (META[0][:0], META[1][:0])),
        (ValueError, "a tuple of 1", (META[0],)),
        (ValueError, "y=None", META[0]),
        (TypeError, "meta_data must be arrays", "meta"),
        (ValueError, "at least one batch", dataset(META, 16).take(0)),
        (ValueError, "at least one batch", dataset(META, 9).take(1).skip(1)),
    ],
)
@pytest.mark.parametrize("method", [*META_METHODS, "ce"])
def test_a_mistake_in_the_meta_set_is_told_in_one_line(method, error, message, meta_data):
    with pytest.raises(error, match=message) as caught:
        trained(method, meta_data=meta_data)
    assert "\n" not in str(caught.value)
    assert re.search("Received", str(caught.value))


@pytest.mark.parametrize("method", NEEDING_A_META_SET)
def test_a_method_that_trains_on_the_meta_set_asks_for_it(method):
    with pytest.raises(ValueError, match=r"^\w+ needs a meta set. Received: meta_data=None$"):
        trained(method, meta_data=None)


@pytest.mark.parametrize("method", [name for name in METHODS if name not in NEEDING_A_META_SET])
def test_a_method_that_does_not_is_not_changed_by_it_and_has_it_evaluated(method):
    without, model = trained(method, meta_data=None), trained(method)
    assert_equal_weights(without, model)
    assert "meta_loss" not in without.history.history
    evaluated = model.evaluate(*META, verbose=0, return_dict=True)
    assert model.history.history["meta_loss"][-1] == pytest.approx(evaluated["loss"], rel=1e-6)


def test_a_label_out_of_range_within_a_data_set_stops_training():
    with pytest.raises(ValueError, match="no class.*from 1 to 3; allowed: 0 to 2") as caught:
        trained("gdw", dataset((X, Y + 1), 16), None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", META_METHODS)
def test_a_class_missing_from_the_meta_set_is_warned_of_where_fit_is_called(method):
    with pytest.warns(UserWarning, match=r"No example of class \[1\]") as caught:
        trained(method, meta_data=(META[0], np.where(META[1] == 1, 0, META[1])))
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("method", METHODS)
def test_fit_before_compile_is_told(method):
    with pytest.raises(ValueError, match=r"Call compile\(\) before fit"):
        gdw_tf.METHODS[method](examples.functional()).fit(X, Y, meta_data=META)


@pytest.mark.parametrize("argument", ["validation_data", "meta_data"])
def test_evaluated_labels_are_checked_where_xla_drops_assertions(argument):
    x, y = examples.arrays(12)
    wrong = tf.data.Dataset.from_tensor_slices((x, np.full(12, 99))).batch(6)
    model = examples.compiled("ce", jit_compile=True)
    with pytest.raises(ValueError, match="no class. Received: a batch with labels from 99 to 99"):
        model.fit(x, y, batch_size=6, verbose=0, **{argument: wrong})


def test_labels_of_unknown_rank_are_refused():
    x, y = examples.arrays(12)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(6)
    unknown = data.map(lambda x, y: (x, tf.py_function(lambda y: y, [y], y.dtype)))
    with pytest.raises(ValueError, match="rank of the training labels must be known"):
        examples.compiled("ce").fit(unknown, verbose=0)
