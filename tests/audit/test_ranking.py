"""The ranking of labels: by hand on small numbers, and on a training whose truth is known."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf
from gdw_tf.audit import Audit, rank

C = 3


def audit_of(probabilities, given):
    probabilities = np.array(probabilities)
    return Audit(np.array(given), probabilities, None, np.ones(len(given)))


@pytest.fixture
def by_hand():
    return audit_of(
        [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.1, 0.5, 0.4]], [0, 1, 0, 1]
    )


def test_score_suggestion_and_order(by_hand):
    np.testing.assert_allclose(by_hand.score, [2 / 9, 6 / 9, 8 / 9, 4 / 9])
    assert by_hand.suggested.tolist() == [0, 0, 2, 1]
    assert by_hand.order.tolist() == [2, 1, 3, 0]
    assert by_hand.is_suspicious.tolist() == [False, True, True, False]


def test_confusions_have_suggested_classes_in_rows(by_hand):
    assert by_hand.confusions.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert by_hand.noise_matrix.tolist() == [[0.5, 0.5, 0], [0, 1, 0], [1, 0, 0]]


def test_figures_are_those_of_a_count_by_hand(by_hand):
    figures = by_hand.figures(np.array([0, 1, 2, 0]))  # wrong: the third and the last
    # Of the four pairs of a wrong and a right label three are in order.
    assert figures["auroc"] == 3 / 4
    assert figures["average_precision"] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert figures["precision_at_errors"] == 1 / 2
    assert figures["right_given"] == 1 / 2
    assert figures["right_suggested"] == 2 / 4


def test_without_wrong_labels_there_is_nothing_to_rank(by_hand):
    figures = by_hand.figures(by_hand.given)
    assert np.isnan([figures["auroc"], figures["precision_at_errors"]]).all()
    with pytest.raises(ValueError, match="truth must be one class an example. Received: 3"):
        by_hand.figures(np.zeros(3, int))


def noisy_blobs(count=300, wrong=60):
    generator = np.random.default_rng(0)
    truth = np.arange(count) % C
    inputs = generator.normal(size=(count, 8)) + 3 * np.eye(C, 8)[truth]
    given = truth.copy()
    given[:wrong] = (truth[:wrong] + 1) % C
    return inputs.astype(np.float32), given, truth


def classifier():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(C)]
    )


@pytest.fixture(scope="module")
def trained():
    x, given, truth = noisy_blobs()
    model = gdw_tf.GDW(classifier(), seed=0)
    model.compile(record_examples=True)
    meta = (x[-30:], truth[-30:])
    model.fit(x[:-30], given[:-30], meta_data=meta, batch_size=30, epochs=8, verbose=0)
    return model, x[:-30], given[:-30], truth[:-30], meta


def test_a_training_tells_wrong_labels(trained):
    model, x, given, truth, meta = trained
    audit = rank(model, (x, given), meta_data=meta)
    figures = audit.figures(truth)
    assert figures["auroc"] > 0.95
    assert figures["right_suggested"] > figures["right_given"] + 0.1
    np.testing.assert_allclose(audit.probabilities, model.training_record.probabilities)
    # Class-level weights and meta gradients say the same, each in its way.
    wrong = given != truth
    of_given = audit.class_weights[np.arange(len(given)), given]
    assert of_given[wrong].mean() < 0.8 * of_given[~wrong].mean()
    assert audit.meta_gradient.sum(axis=1)[wrong].mean() > 0


def test_a_data_set_is_ranked_as_arrays_are(trained):
    model, x, given, *_ = trained
    batches = tf.data.Dataset.from_tensor_slices((x, given)).batch(64)
    np.testing.assert_array_equal(rank(model, batches).score, rank(model, (x, given)).score)


def test_a_model_without_a_record_is_asked_now(trained):
    model, x, given, *_ = trained
    audit = rank(model.classifier, (x, given))
    logits = model.classifier(x).numpy().astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(audit.probabilities, expected, rtol=1e-4, atol=1e-6)
    assert audit.class_weights is None
    assert not audit.visits.any()


def test_other_examples_than_the_recorded_ones_are_refused(trained):
    model, x, given, *_ = trained
    with pytest.raises(ValueError, match="record of 270 training examples.*Received: 100"):
        rank(model, (x[:100], given[:100]))
    with pytest.raises(ValueError, match="training labels.*Received"):
        rank(model, (x, given + 1))


def test_the_meta_gradient_is_the_slope_of_the_meta_loss(trained, float64):
    """Against finite differences of explicit steps on single examples."""
    _, x, given, _, meta = trained
    network = classifier()
    x, (x_meta, y_meta) = x[:3].astype(np.float64), (meta[0].astype(np.float64), meta[1])
    gradient = rank(network, (x, given[:3]), meta_data=(x_meta, y_meta)).meta_gradient
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    weights = network.get_weights()
    for example in range(3):
        for label in range(C):
            losses = []
            for size in (1e-5, -1e-5):
                with tf.GradientTape() as tape:
                    logits = network(x[example : example + 1])[0]
                    is_given = float(label == given[example])
                    d1 = tf.stop_gradient(tf.nn.softmax(logits)[label] - is_given)
                    part = d1 * logits[label]
                for variable, slope in zip(
                    network.trainable_variables,
                    tape.gradient(part, [v.value for v in network.trainable_variables]),
                    strict=True,
                ):
                    variable.assign_sub(size * slope)
                losses.append(float(loss(y_meta, network(x_meta))))
                network.set_weights(weights)
            np.testing.assert_allclose(
                gradient[example, label], (losses[0] - losses[1]) / 2e-5, rtol=1e-5, atol=1e-9
            )
