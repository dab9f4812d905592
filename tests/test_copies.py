from __future__ import annotations

import keras
import numpy as np
import pytest

import gdw_tf
from gdw_tf.copies import clone
from gdw_tf.serving.plain import plain_model

X = np.random.default_rng(0).normal(5.0, 3.0, (20, 4)).astype(np.float32)
TEXTS = np.array(["good film", "bad film", "a good one", "not a bad one"])


def of_numbers() -> keras.Model:
    """With a normalisation within a model within a model."""
    normalization = keras.layers.Normalization()
    normalization.adapt(X)
    inner = keras.Sequential([keras.Input((4,)), normalization, keras.layers.Dense(5, "relu")])
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(3)(inner(inputs)))


@keras.saving.register_keras_serializable("gdw_tf_tests")
class Backbone(keras.Model):
    """Holds a model to which Keras gives another name in every copy."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.block = keras.Sequential([keras.layers.Dense(5, "relu")])

    def call(self, inputs):
        return self.block(inputs)


def of_a_backbone() -> keras.Model:
    normalization = keras.layers.Normalization()
    normalization.adapt(X)
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(3)(Backbone()(normalization(inputs))))


def of_words() -> keras.Model:
    words = keras.layers.StringLookup(output_mode="multi_hot")
    words.adapt(np.array(["red", "blue", "green"]))
    inputs = keras.Input((1,), dtype="string")
    return keras.Model(inputs, keras.layers.Dense(3)(words(inputs)))


def of_texts(output_mode: str = "tf_idf") -> keras.Model:
    words = keras.layers.TextVectorization(output_mode=output_mode)
    words.adapt(TEXTS)
    inputs = keras.Input((), dtype="string")
    return keras.Model(inputs, keras.layers.Dense(3)(words(inputs)))


MODELS = {
    "numbers": (of_numbers, X),
    "a subclassed part": (of_a_backbone, X),
    "words": (of_words, np.array([["red"], ["blue"], ["black"]])),
    "texts": (of_texts, TEXTS),
    "counted texts": (lambda: of_texts("count"), TEXTS),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("copied", [clone, plain_model])
def test_a_copy_with_the_weights_answers_as_the_model(copied, name):
    make, inputs = MODELS[name]
    model = make()
    copy = copied(model)
    copy.set_weights(model.get_weights())
    expected = np.asarray(model(keras.ops.convert_to_tensor(inputs)))
    np.testing.assert_allclose(copy(keras.ops.convert_to_tensor(inputs)), expected, rtol=1e-6)
    assert np.ptp(expected, axis=0).min() > 0.01  # the inputs are told apart


def test_a_clone_has_weights_of_its_own():
    model = of_numbers()
    copy = clone(model)
    kernel, other = model.layers[-1].kernel, copy.layers[-1].kernel
    assert np.abs(np.asarray(kernel) - np.asarray(other)).max() > 0.01


@pytest.mark.parametrize("method", ["mlc", "gen_label"])
def test_labels_are_made_of_the_features_that_the_classifier_has(method):
    model = gdw_tf.METHODS[method](of_numbers())
    model._follow_classifier()
    features, logits = model.features_and_logits(X)
    np.testing.assert_allclose(logits, model.classifier(X), rtol=1e-5)


def test_a_peer_sees_what_the_classifier_sees():
    model = gdw_tf.CoTeaching(of_numbers())
    classifier, peer = model.networks
    peer.set_weights(classifier.get_weights())
    np.testing.assert_allclose(peer(X), classifier(X), rtol=1e-6)
