"""Every softmax loss: value and gradient against NumPy and differences, and its life in Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from gdw_tf import losses
from gdw_tf.callbacks import ReportProgress

COUNTS = [40, 12, 12, 3]
CLASSES = len(COUNTS)


def late(loss: losses.LDAM) -> losses.LDAM:
    """The loss as it is towards the end of the training."""
    loss.progress.assign(0.9)
    return loss


def softmax(z: np.ndarray) -> np.ndarray:
    exponentials = np.exp(z - z.max())
    return exponentials / exponentials.sum()


# The formulas of the papers, for the logits z (C,) and the label y of one example.


def gce(z, y, q):
    return (1 - softmax(z)[y] ** q) / q


def sce(z, y, alpha, beta, log_zero):
    p = softmax(z)
    reverse = -sum(p[j] * (0 if j == y else log_zero) for j in range(len(z)))
    return alpha * -np.log(p[y]) + beta * reverse


def focal(z, y, gamma):
    p = softmax(z)[y]
    return -((1 - p) ** gamma) * np.log(p)


def class_weights(counts, beta):
    effective = [sum(beta**k for k in range(n)) for n in counts]
    return np.array([len(counts) / e for e in effective]) / sum(1 / e for e in effective)


def class_balanced(z, y, beta):
    return -class_weights(COUNTS, beta)[y] * np.log(softmax(z)[y])


def ldam(z, y, *, margin, scale, beta=None):
    widest = max(n**-0.25 for n in COUNTS)
    moved = z.copy()
    moved[y] -= scale * margin * COUNTS[y] ** -0.25 / widest
    weight = 1.0 if beta is None else class_weights(COUNTS, beta)[y]
    return -weight * np.log(softmax(moved)[y])


def balanced_softmax(z, y):
    shares = np.array(COUNTS) * np.exp(z)
    return -np.log(shares[y] / shares.sum())


def logit_adjustment(z, y, tau):
    pi = np.array(COUNTS) / sum(COUNTS)
    ratios = (pi / pi[y]) ** tau * np.exp(z - z[y])
    return np.log(1 + sum(ratios[j] for j in range(len(z)) if j != y))


class Case(NamedTuple):
    build: Callable[..., losses.SoftmaxLoss]
    formula: Callable[[np.ndarray, int], float]


CASES = {
    "cross_entropy": Case(losses.CrossEntropy, lambda z, y: -np.log(softmax(z)[y])),
    "gce": Case(losses.GeneralizedCrossEntropy, lambda z, y: gce(z, y, 0.7)),
    "gce, q = 1": Case(
        lambda **k: losses.GeneralizedCrossEntropy(1, **k), lambda z, y: 1 - softmax(z)[y]
    ),
    "sce": Case(losses.SymmetricCrossEntropy, lambda z, y: sce(z, y, 0.1, 1, -4)),
    "sce of CIFAR-100": Case(
        lambda **k: losses.SymmetricCrossEntropy(6.0, 0.1, -9.2, **k),
        lambda z, y: sce(z, y, 6, 0.1, -9.2),
    ),
    "focal": Case(losses.Focal, lambda z, y: focal(z, y, 2)),
    "focal, gamma = 1/2": Case(lambda **k: losses.Focal(0.5, **k), lambda z, y: focal(z, y, 0.5)),
    "class_balanced": Case(
        lambda **k: losses.ClassBalanced(COUNTS, **k), lambda z, y: class_balanced(z, y, 0.9999)
    ),
    "class_balanced, beta = 0.9": Case(
        lambda **k: losses.ClassBalanced(COUNTS, 0.9, **k), lambda z, y: class_balanced(z, y, 0.9)
    ),
    "ldam": Case(
        lambda **k: losses.LDAM(COUNTS, **k), lambda z, y: ldam(z, y, margin=0.5, scale=1)
    ),
    "ldam, late, other options": Case(
        lambda **k: late(
            losses.LDAM(COUNTS, max_margin=0.3, scale=8.0, reweight_from=0.9, beta=0.99, **k)
        ),
        lambda z, y: ldam(z, y, margin=0.3, scale=8, beta=0.99),
    ),
    "balanced_softmax": Case(lambda **k: losses.BalancedSoftmax(COUNTS, **k), balanced_softmax),
    "logit_adjustment": Case(
        lambda **k: losses.LogitAdjustment(COUNTS, **k), lambda z, y: logit_adjustment(z, y, 1)
    ),
    "logit_adjustment, tau = 1.7": Case(
        lambda **k: losses.LogitAdjustment(COUNTS, 1.7, **k),
        lambda z, y: logit_adjustment(z, y, 1.7),
    ),
}
ONE_OF_EACH = [name for name in CASES if "," not in name and " " not in name]
every_case = pytest.mark.parametrize("name", CASES)
one_of_each = pytest.mark.parametrize("name", ONE_OF_EACH)


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Logits (12, 4) from unsure to sure, and labels of every class."""
    generator = np.random.default_rng(0)
    return generator.normal(0, 1.5, size=(12, CLASSES)), np.arange(12) % CLASSES


def expected_values(case: Case, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.array([case.formula(z, y) for z, y in zip(logits, labels, strict=True)])


def one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(CLASSES)[labels]


# Value and gradient.


@every_case
def test_the_value_is_that_of_the_papers_formula(name, float64):
    logits, labels = batch()
    loss = CASES[name].build(reduction=None)
    expected = expected_values(CASES[name], logits, labels)

    np.testing.assert_allclose(loss(labels, logits), expected, rtol=1e-12)
    parts = loss.parts(tf.constant(logits), tf.constant(one_hot(labels)))
    np.testing.assert_allclose(parts.value[:, 0], expected, rtol=1e-12)


@every_case
def test_the_gradient_in_factors_is_the_slope_of_the_formula_on_the_logits(name, float64):
    logits, labels = batch()
    slopes = np.empty_like(logits)
    for column in range(CLASSES):
        shift = 1e-5 * np.eye(CLASSES)[column]
        ends = [expected_values(CASES[name], logits + s, labels) for s in (shift, -shift)]
        slopes[:, column] = (ends[0] - ends[1]) / 2e-5

    parts = CASES[name].build().parts(tf.constant(logits), tf.constant(one_hot(labels)))
    gradient = (parts.slope * (parts.probabilities - one_hot(labels))).numpy()

    np.testing.assert_allclose(gradient, slopes, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-13)
    assert np.abs(gradient).max() > 0.01


@every_case
@pytest.mark.parametrize("mixed", [False, True], ids=["one-hot", "mixture"])
def test_the_gradient_in_factors_is_that_of_automatic_differentiation(name, mixed, float64):
    logits, labels = batch()
    targets = one_hot(labels)
    if mixed:
        targets = 0.7 * targets + 0.3 * targets[::-1]
    logits, targets = tf.constant(logits), tf.constant(targets)
    loss = CASES[name].build(reduction="sum")
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(targets, logits)

    parts = loss.parts(logits, targets)

    np.testing.assert_allclose(
        parts.slope * (parts.probabilities - targets),
        tape.gradient(value, logits),
        rtol=1e-10,
        atol=1e-13,
    )


@one_of_each
@pytest.mark.parametrize("counts", [[40, 12, 0, 3], [0, 0, 0, 3]], ids=str)
def test_enormous_logits_and_empty_classes_give_finite_numbers(name, counts):
    loss = losses.build(name, counts)
    if name == "ldam":
        late(loss)
    logits = tf.constant([[1e4, 0.0, 0.0, -1e4], [0.0] * 4, [200.0, 0.0, 100.0, 0.0]] * 4)
    labels = tf.constant(one_hot(np.repeat(np.arange(4), 3)), "float32")

    parts = loss.parts(logits, labels)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(labels, logits)

    for numbers in (*parts, value, tape.gradient(value, logits)):
        assert np.isfinite(numbers).all()


# Class counts.


def test_the_weights_of_two_classes_by_hand():
    # Effective numbers at beta = 1/2: 1 and 1 + 1/2 + 1/4.
    loss = losses.ClassBalanced([1, 3], beta=0.5)
    np.testing.assert_allclose(loss.weights, [14 / 11, 8 / 11], rtol=1e-14)
    np.testing.assert_allclose(losses.ClassBalanced([1, 3], beta=0).weights, [1, 1])


def test_the_margins_of_three_classes_by_hand():
    # Fourth roots 1, 2 and 3: the rarest class has the whole margin.
    loss = losses.LDAM([16, 1, 81], max_margin=0.6)
    np.testing.assert_allclose(loss.margins, [0.3, 0.6, 0.2], rtol=1e-14)


@pytest.mark.parametrize("name", ["class_balanced", "ldam", "balanced_softmax", "logit_adjustment"])
def test_an_empty_class_counts_like_the_rarest_that_is_not(name):
    logits, labels = batch()

    def values(counts: list[int]) -> np.ndarray:
        loss = losses.build(name, counts)
        loss.reduction = None
        return late(loss)(labels, logits) if name == "ldam" else loss(labels, logits)

    np.testing.assert_array_equal(values([40, 0, 7, 0]), values([40, 7, 7, 7]))


def test_balanced_softmax_is_logit_adjustment_of_strength_1(float64):
    logits, labels = batch()
    np.testing.assert_allclose(
        losses.BalancedSoftmax(COUNTS)(labels, logits),
        losses.LogitAdjustment(COUNTS)(labels, logits),
        rtol=1e-13,
    )


# Deferred re-weighting.


@pytest.mark.parametrize("run_eagerly", [True, False], ids=["eager", "graph"])
def test_beside_keras_fit_the_callback_tells_ldam_when_to_re_weight(run_eagerly):
    loss = losses.LDAM(COUNTS, max_margin=0.0, reweight_from=0.5, beta=0.9)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(CLASSES)])
    model.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=run_eagerly)
    x, y = np.random.default_rng(0).normal(size=(8, 2)), np.full(8, 3)

    history = model.fit(x, y, epochs=4, callbacks=[ReportProgress(loss.progress)], verbose=0)

    weight = class_weights(COUNTS, 0.9)[3]
    plain = history.history["loss"][0]
    assert weight > 1.1
    np.testing.assert_allclose(
        history.history["loss"], plain * np.array([1, 1, weight, weight]), rtol=1e-5
    )


def test_nobody_telling_ldam_it_does_not_re_weight():
    assert float(losses.LDAM(COUNTS).progress) == 0.0


# As Keras losses.


@one_of_each
def test_labels_may_be_sparse_a_column_or_one_hot(name):
    logits, labels = batch()
    loss = CASES[name].build()
    expected = loss(labels, logits)
    np.testing.assert_array_equal(loss(labels[:, np.newaxis], logits), expected)
    np.testing.assert_array_equal(loss(one_hot(labels), logits), expected)
    np.testing.assert_allclose(
        expected, expected_values(CASES[name], logits, labels).mean(), rtol=1e-5
    )


@every_case
def test_a_configuration_makes_the_loss_anew(name):
    logits, labels = batch()
    loss = CASES[name].build(name="mine")
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(copy) is type(loss)
    assert copy.get_config() == loss.get_config()
    if "late" in name:
        late(copy)
    np.testing.assert_array_equal(copy(labels, logits), loss(labels, logits))


def classifier() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(CLASSES)]
    )


@one_of_each
def test_any_keras_classifier_learns_with_it_and_is_saved_and_loaded(name, tmp_path):
    y = np.repeat(np.arange(CLASSES), COUNTS)
    x = np.random.default_rng(0).normal(size=(len(y), 5)) + 2 * np.eye(CLASSES, 5)[y]
    arguments = {"epochs": 4, "batch_size": 34, "shuffle": False, "verbose": 0}
    model, other = classifier(), classifier()
    for each in (model, other):
        each.compile(keras.optimizers.Adam(0.05), CASES[name].build())

    history = model.fit(x, y, **arguments).history
    other.fit(x, one_hot(y), **arguments)

    assert history["loss"][-1] < 0.9 * history["loss"][0]
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.loss.get_config() == model.loss.get_config()
    assert loaded.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0))


# Mistakes.


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: losses.GeneralizedCrossEntropy(0), "q is out of range. Received: q=0"),
        (lambda: losses.GeneralizedCrossEntropy(1.1), "q=1.1; allowed: above 0, up to 1"),
        (lambda: losses.SymmetricCrossEntropy(alpha=-1), "alpha=-1; allowed"),
        (lambda: losses.SymmetricCrossEntropy(beta=-1), "beta=-1; allowed"),
        (lambda: losses.SymmetricCrossEntropy(log_zero=0), "log_zero=0; allowed: below 0"),
        (lambda: losses.Focal(-1), "gamma=-1; allowed"),
        (lambda: losses.ClassBalanced(COUNTS, 1.0), "beta=1.0; allowed: 0 to below 1"),
        (lambda: losses.ClassBalanced([3]), r"class_counts=\[3\]; allowed: two numbers"),
        (lambda: losses.ClassBalanced([0, 0]), "not all 0"),
        (lambda: losses.ClassBalanced([2, -1]), "at least 0"),
        (lambda: losses.ClassBalanced([2, np.nan]), "at least 0"),
        (lambda: losses.LDAM(COUNTS, max_margin=-1), "max_margin=-1; allowed"),
        (lambda: losses.LDAM(COUNTS, scale=0), "scale=0; allowed: numbers above 0"),
        (lambda: losses.LDAM(COUNTS, reweight_from=2), "reweight_from=2; allowed: 0 to 1"),
        (lambda: losses.LDAM(COUNTS, beta=1), "beta=1; allowed"),
        (lambda: losses.LogitAdjustment(COUNTS, tau=-1), "tau=-1; allowed"),
        (lambda: losses.build("hinge", COUNTS), "Unknown loss. Received: name='hinge'; allowed: c"),
    ],
)
def test_an_argument_out_of_its_range_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("counts", [["a", "b"], 3, [[1, 2], [3, 4]]], ids=str)
def test_class_counts_that_are_no_numbers_are_refused(counts):
    with pytest.raises(TypeError, match="class_counts must be numbers. Received"):
        losses.BalancedSoftmax(counts)


@pytest.mark.parametrize("name", ["class_balanced", "ldam", "balanced_softmax", "logit_adjustment"])
def test_class_counts_of_another_number_of_classes_are_refused(name):
    logits, labels = batch()
    with pytest.raises(ValueError, match="Received: 3 class_counts; allowed: 4"):
        losses.build(name, [1, 2, 3])(labels, logits)
