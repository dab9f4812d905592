"""What GDW with a pair memory keeps of each pair of given label and class."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import gdw_tf
from gdw_tf.methods.gdw import beyond_chance, common_steps

from . import examples

X, Y = examples.arrays(12)
META = examples.arrays(6, seed=1)
BATCHES = [[0, 1, 5, 7], [3, 6, 9], [2, 4, 8, 10, 11], [0, 3, 4]]  # the second has one label only


def model_with_pair_memory(pair_memory=0.9, **options):
    options |= {"pair_memory": pair_memory}
    return examples.compiled("gdw", options=options, optimizer=gdw_tf.CoupledSGD(0.3))


def constrained(weights, p, labels):
    weights = weights.copy()
    for row, label in enumerate(labels):
        others = [c for c in range(examples.CLASSES) if c != label]
        weights[row, label] = weights[row, others] @ p[row, others] / (1 - p[row, label])
    return weights


def shrunk(sums, squares):
    """Sums of steps without chance's part: zero within four standard deviations of zero."""
    result = np.zeros_like(sums)
    is_certain = np.abs(sums) > 4 * np.sqrt(squares)
    result[is_certain] = sums[is_certain] - 16 * squares[is_certain] / sums[is_certain]
    return result


def learned(update, labels):
    """The mean step of each label's examples on each other class, less the classes' mean."""
    result = np.zeros((examples.CLASSES, examples.CLASSES))
    for label in set(labels):
        others = [c for c in range(examples.CLASSES) if c != label]
        steps = np.mean([update[row][others] for row in np.flatnonzero(labels == label)], axis=0)
        result[label, others] = steps - steps.mean()
    return result


@pytest.mark.usefixtures("float64")
def test_pairs_keep_what_their_examples_have_in_common_and_the_first_stage_starts_there():
    model = model_with_pair_memory()
    model.fit(X, Y, meta_data=META, epochs=0)
    # From an earlier training: of sums large and small beside their standard deviation of 0.05.
    generator = np.random.default_rng(2)
    remembered = generator.uniform(-0.5, 0.5, (examples.CLASSES, examples.CLASSES))
    squares = np.full_like(remembered, 0.0025)
    model.pair_steps.assign(remembered)
    model.pair_squares.assign(squares)
    meta = (tf.constant(META[0], tf.float64), META[1])
    for index in BATCHES:
        labels = Y[index]
        step = model.training_step(((tf.constant(X[index], tf.float64), labels), meta))

        z = step["logits"].numpy()
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        outer, g = step["outer"].numpy(), step["meta_gradient"].numpy()
        # Off the target, and V being one number an example, the weights differ by M alone.
        first, second = ((labels + k) % examples.CLASSES for k in (1, 2))
        rows = np.arange(len(labels))
        known = shrunk(remembered, squares)
        np.testing.assert_allclose(
            outer[rows, first] - outer[rows, second],
            known[labels, second] - known[labels, first],
            atol=1e-12,
        )
        np.testing.assert_allclose(outer, constrained(outer, p, labels), rtol=1e-9)
        update = np.clip(0.1 * g.size * g / np.abs(g).sum(), -0.2, 0.2)
        np.testing.assert_allclose(
            step["updated_outer"],
            constrained(np.clip(outer - update, 1e-6, 1e6), p, labels),
            rtol=1e-9,
            atol=1e-12,
        )
        step_by_pairs = learned(update, labels)
        remembered = 0.9 * remembered + step_by_pairs
        squares = 0.81 * squares + step_by_pairs**2
        np.testing.assert_allclose(model.pair_steps, remembered, atol=1e-12)
        np.testing.assert_allclose(model.pair_squares, squares, atol=1e-12)
        assert 0 < np.count_nonzero(known) < known.size


def test_a_step_that_is_alike_for_all_classes_is_not_kept():
    labels = np.eye(4, dtype=np.float32)[[0, 0, 2]]
    alike = np.array([[9.0, 0.2, 0.2, 0.2], [5.0, 0.1, 0.1, 0.1], [0.3, 0.3, 7.0, 0.3]], np.float32)
    np.testing.assert_allclose(common_steps(alike, labels), np.zeros((4, 4)), atol=1e-6)


def test_of_steps_without_a_pattern_little_is_left():
    generator = np.random.default_rng(0)
    steps = generator.normal(size=(600, 1000))
    fading = 0.99 ** np.arange(600)[:, np.newaxis]
    sums, variances = (fading * steps).sum(axis=0), ((fading * steps) ** 2).sum(axis=0)
    left = beyond_chance(sums, variances).numpy()
    assert np.mean(left != 0) < 1e-3
    # What the steps have in common stays, all but chance's part of it.
    steps += 2.0
    sums, variances = (fading * steps).sum(axis=0), ((fading * steps) ** 2).sum(axis=0)
    left = beyond_chance(sums, variances).numpy()
    assert 0.8 * np.mean(sums) < np.mean(left) < np.mean(sums)


def test_a_confusion_of_two_classes_stands_out():
    """All examples labelled 0 that are 1 by truth, and no others, are told to let go of 1."""
    model = model_with_pair_memory(0.99)
    generator = np.random.default_rng(0)
    truth = np.arange(240) % examples.CLASSES
    inputs = generator.normal(size=(240, examples.FEATURES)) / 3
    inputs = (inputs + 3 * np.eye(examples.CLASSES, examples.FEATURES)[truth]).astype(np.float32)
    given = np.where((truth == 1) & (generator.random(240) < 0.45), 0, truth)
    model.fit(inputs[30:], given[30:], meta_data=(inputs[:30], truth[:30]), epochs=10, verbose=0)
    steps = np.asarray(model.pair_steps)
    assert steps.argmax() == 1  # row 0, class 1
    assert steps[0, 1] > 0.2


def test_without_a_pair_memory_nothing_is_kept():
    model = model_with_pair_memory(0.0)
    model.fit(X, Y, meta_data=META, verbose=0)
    assert model.pair_steps is None


def test_a_loaded_model_goes_on_with_its_classes_only(tmp_path):
    model = model_with_pair_memory()
    model.fit(X, Y, meta_data=META, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.pair_steps, model.pair_steps)
    with pytest.raises(ValueError, match="pairs of 3 classes.*Received: 4 classes"):
        loaded.before_training(None, None, 4)


@pytest.mark.parametrize("pair_memory", [-0.1, 1.0, float("nan")])
def test_a_pair_memory_that_does_not_fade_is_an_error(pair_memory):
    with pytest.raises(ValueError, match="pair_memory is out of range"):
        gdw_tf.GDW(examples.functional(), pair_memory=pair_memory)
