from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from gdw_tf.classifiers import (
    answers_are_known,
    check_answers,
    check_ends_in_logits,
    check_inputs,
    number_of_classes,
    with_features,
)
from gdw_tf.virtual_scope import SCOPES, variables_in_scope


def sequential(*body) -> keras.Model:
    return keras.Sequential([keras.Input((4,)), *body])


def functional(body) -> keras.Model:
    inputs = keras.Input((4,))
    return keras.Model(inputs, body(inputs))


class Subclassed(keras.Model):
    """Its layers stand in no order that could be read."""

    def __init__(self, *body: layers.Layer) -> None:
        super().__init__()
        self.body = list(body)

    def call(self, inputs):
        for layer in self.body:
            inputs = layer(inputs)
        return inputs


SOFTMAX = {
    "activation": lambda: sequential(layers.Dense(3, activation="softmax")),
    "activation layer": lambda: sequential(layers.Dense(3), layers.Activation("softmax")),
    "softmax layer": lambda: functional(lambda x: layers.Softmax()(layers.Dense(3)(x))),
    "nested": lambda: functional(sequential(layers.Dense(3, activation="softmax"))),
}
LOGITS = {
    "dense": lambda: sequential(layers.Dense(5, activation="softmax"), layers.Dense(3)),
    "functional": lambda: functional(layers.Dense(3)),
    "nested": lambda: functional(sequential(layers.Dense(3))),
}
UNKNOWN = {
    "subclassed": lambda: Subclassed(layers.Dense(3, activation="softmax")),
    "normalised": lambda: sequential(layers.Dense(3), layers.BatchNormalization()),
    "not built": lambda: keras.Sequential([layers.Dense(3, activation="softmax")]),
    "operation": lambda: functional(lambda x: keras.ops.softmax(layers.Dense(3)(x))),
    "reshaped": lambda: sequential(layers.Dense(3, activation="softmax"), layers.Flatten()),
}


def of(cases):
    return pytest.mark.parametrize("make", cases.values(), ids=cases.keys())


@of(SOFTMAX)
def test_a_softmax_that_can_be_seen_is_an_error(make):
    classifier = make()

    assert not answers_are_known(classifier)
    with pytest.raises(ValueError, match=rf"^The classifier must .* '{classifier.name}', which"):
        check_ends_in_logits(classifier)


@of(LOGITS)
def test_a_linear_last_layer_is_known_to_answer_logits(make):
    classifier = make()

    check_ends_in_logits(classifier)
    assert answers_are_known(classifier)


@of(UNKNOWN)
def test_where_the_end_cannot_be_read_the_answers_have_to_be_seen(make):
    classifier = make()

    check_ends_in_logits(classifier)
    assert not answers_are_known(classifier)


@pytest.mark.parametrize("thing", [None, layers.Dense(3), len])
def test_what_is_no_keras_model_is_an_error(thing):
    message = f"must be a keras.Model. Received: {type(thing).__name__}$"
    with pytest.raises(TypeError, match=message):
        check_ends_in_logits(thing)


def test_answers_that_are_probabilities_are_an_error():
    answers = np.array([[0.25, 0.5, 0.25], [1.0, 0.0, 0.0]])

    with pytest.raises(ValueError, match=r"'net', whose .* \[0.25, 0.5, 0.25\]$"):
        check_answers(answers, "net")


def test_probabilities_in_half_precision_are_an_error():
    exact = np.random.default_rng(0).dirichlet(np.ones(100), 8)
    answers = tf.cast(tf.cast(exact, tf.bfloat16), tf.float32).numpy()

    assert np.abs(answers.sum(axis=1) - 1).max() > 1e-4
    with pytest.raises(ValueError, match="whose answers sum to one"):
        check_answers(answers, "net")


@pytest.mark.parametrize(
    "answers",
    [
        [[1.5, -0.5], [0.3, 0.7]],  # sums to one, with a negative answer
        [[0.5, 0.5], [0.5, 0.8]],  # one of them does not sum to one
        [[2.0, 3.0]],
        [[np.nan, np.nan]],
    ],
)
def test_answers_that_can_be_logits_pass(answers):
    check_answers(np.array(answers), "net")


def test_the_number_of_classes_is_read_off_the_answer_and_the_model_is_built():
    classifier = Subclassed(layers.Dense(7))

    count = number_of_classes(classifier, tf.TensorSpec((None, 4), tf.float32))

    assert count == 7
    assert classifier.built
    assert classifier.trainable_variables[0].shape == (4, 7)


def test_what_a_dict_holds_is_for_the_inputs_of_these_names():
    title, age = keras.Input((), dtype="string", name="title"), keras.Input((1,), name="age")
    classifier = keras.Model([title, age], layers.Dense(3)(age))
    text, number = tf.TensorSpec((None,), tf.string), tf.TensorSpec((None, 1), tf.float32)

    assert check_inputs(classifier, {"title": text, "age": number}, "the data") == 3
    unused = tf.TensorSpec((None,), tf.string)
    assert check_inputs(classifier, {"an_id": unused, "title": text, "age": number}, "it") == 3
    with pytest.raises(ValueError, match="Received: dtype string; allowed: float32"):
        check_inputs(classifier, {"title": text, "age": unused}, "the data")


def test_a_dict_for_a_classifier_of_a_dict_has_its_names():
    inputs = {name: keras.Input((2,), name=name) for name in ("left", "right")}
    classifier = keras.Model(inputs, layers.Dense(3)(layers.Concatenate()(list(inputs.values()))))
    spec = {name: tf.TensorSpec((None, 2), tf.float32) for name in ("left", "right")}

    assert check_inputs(classifier, spec, "the data") == 3
    with pytest.raises(ValueError, match="Received: an_id, left, right; allowed: left, right"):
        check_inputs(classifier, {"an_id": spec["left"], **spec}, "the data")


def test_all_of_a_classifier_that_is_frozen_is_in_no_scope():
    classifier = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    classifier.trainable = False
    assert [variables_in_scope(classifier, scope) for scope in SCOPES] == [[], [], []]


def test_the_number_of_classes_of_a_model_with_several_inputs():
    inputs = {name: keras.Input((2,), name=name) for name in ("a", "b")}
    joined = layers.Concatenate()(list(inputs.values()))
    classifier = keras.Model(inputs, layers.Dense(5)(joined))
    spec = {name: tf.TensorSpec((None, 2), tf.float32) for name in inputs}

    assert number_of_classes(classifier, spec) == 5


@pytest.mark.parametrize(
    "make",
    [
        lambda: sequential(layers.Dense(1)),
        lambda: sequential(layers.Dense(6), layers.Reshape((2, 3))),
        lambda: functional(lambda x: [layers.Dense(2)(x), layers.Dense(3)(x)]),
        lambda: functional(lambda x: {"logits": layers.Dense(2)(x)}),
    ],
    ids=["one class", "three axes", "two answers", "a dict"],
)
def test_an_answer_that_is_no_logits_is_an_error(make):
    classifier = make()
    with pytest.raises(ValueError, match=rf"two classes. Received: '{classifier.name}' answering"):
        number_of_classes(classifier, tf.TensorSpec((None, 4), tf.float32))


def of_a_dict() -> keras.Model:
    inputs = {name: keras.Input((2,), name=name) for name in ("a", "b")}
    joined = layers.Concatenate()(list(inputs.values()))
    return keras.Model(inputs, layers.Dense(3)(layers.Dense(5, "relu")(joined)))


HEADED = {
    "sequential": lambda: sequential(layers.Dense(5, "relu"), layers.Dense(3)),
    "functional": lambda: functional(lambda x: layers.Dense(3)(layers.Dense(5, "relu")(x))),
    "dict": of_a_dict,
    "nested": lambda: functional(sequential(layers.Dense(5, "relu"), layers.Dense(3))),
    "nested twice": lambda: functional(
        lambda x: functional(sequential(layers.Dense(5), layers.Dense(3)))(2.0 * x)
    ),
    "with dropout": lambda: sequential(layers.Dense(5), layers.Dropout(0.5), layers.Dense(3)),
    "an operation last": lambda: functional(lambda x: 2.0 * layers.Dense(3)(layers.Dense(5)(x))),
    "a layer last": lambda: sequential(layers.Dense(3), layers.Activation("linear")),
    "nested, an operation last": lambda: functional(
        lambda x: 2.0 * sequential(layers.Dense(5), layers.Dense(3))(x) + 1.0
    ),
    "of images": lambda: sequential(
        layers.Reshape((2, 2, 1)), layers.Conv2D(3, 2), layers.Flatten()
    ),
}


def last_dense(classifier: keras.Model) -> layers.Layer:
    """The last layer with weights, found by their order."""
    owners = [
        layer
        for layer in classifier._flatten_layers()
        if not isinstance(layer, keras.Model) and layer.weights
    ]
    return next(layer for layer in owners if layer.weights[-1] is classifier.weights[-1])


@of(HEADED)
def test_features_are_what_the_last_layer_with_weights_takes(make):
    classifier = make()
    x = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    inputs = {"a": x[:, :2], "b": x[:, 2:]} if len(classifier.inputs) == 2 else x
    taken = []
    last = last_dense(classifier)
    call = last.call
    last.call = lambda tensor, **_: taken.append(tensor) or call(tensor)
    expected = classifier(inputs)
    last.call = call

    features, answer = with_features(classifier)(inputs)

    np.testing.assert_allclose(features, np.reshape(taken[0], (7, -1)), rtol=1e-6)
    np.testing.assert_allclose(answer, expected, rtol=1e-5)


def test_features_follow_the_weights_of_the_classifier_and_add_none():
    classifier = HEADED["nested"]()
    model = with_features(classifier)
    assert {id(weight) for weight in model.weights} == {id(w) for w in classifier.weights}


class OfTwo(layers.Layer):
    """A layer with weights that takes two tensors."""

    def build(self, shapes):
        self.kernel = self.add_weight(shape=(shapes[0][-1], 3))

    def call(self, tensors):
        return tensors[0] @ self.kernel + tensors[1] @ self.kernel


@pytest.mark.parametrize(
    "make",
    [
        lambda: Subclassed(layers.Dense(3)),
        lambda: keras.Sequential([layers.Dense(3)]),
        lambda: functional(lambda x: Subclassed(layers.Dense(3))(x)),
        lambda: functional(lambda x: OfTwo()([x, 2.0 * x])),
        lambda: functional(lambda x: 2.0 * x),
        lambda: keras.Sequential([keras.Input((None, 4)), layers.Conv1D(3, 1), layers.Flatten()]),
    ],
    ids=["subclassed", "not built", "nested subclassed", "of two", "no weights", "no size"],
)
def test_features_that_cannot_be_read_are_an_error(make):
    with pytest.raises(ValueError, match=r"known size\. Received: '\w+', a \w+$"):
        with_features(make())
