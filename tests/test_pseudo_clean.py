from __future__ import annotations

import keras
import numpy as np
import pytest

import gdw_tf
from gdw_tf.pseudo_clean import clean_probability, example_losses, meta_counts, pseudo_clean

CLASSES = 4


def two_heaps(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Losses of 400 examples, 30 % of whose labels are wrong, with labels and what is wrong."""
    generator = np.random.default_rng(seed)
    wrong = generator.permutation(np.arange(400) < 120)
    losses = np.where(wrong, generator.normal(3.0, 0.3, 400), generator.normal(0.5, 0.1, 400))
    return losses, generator.permutation(np.arange(400) % CLASSES), wrong


def softmax_network() -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input((5,)), keras.layers.Dropout(0.5), keras.layers.Dense(CLASSES)]
    )


@pytest.mark.parametrize("wrap", [lambda network: network, gdw_tf.GDW], ids=["classifier", "GDW"])
def test_the_losses_are_the_cross_entropies_of_inference(wrap):
    network = softmax_network()
    x = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    y = np.array([0, 1, 2, 3, 3, 0, 1])
    kernel, bias = network.get_weights()
    z = x @ kernel + bias
    expected = np.log(np.exp(z).sum(axis=1)) - z[np.arange(7), y]

    for labels in (y, y[:, np.newaxis], np.eye(CLASSES)[y]):
        losses = example_losses(wrap(network), x, labels, batch_size=3)
        assert losses.dtype == np.float64
        np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_two_heaps_of_losses_are_told_apart():
    losses, _, wrong = two_heaps()
    np.testing.assert_array_equal(clean_probability(losses) < 0.5, wrong)
    np.testing.assert_array_equal(clean_probability(7.0 * losses + 2.0) < 0.5, wrong)


def test_the_probability_is_the_posterior_of_the_lower_gaussian():
    generator = np.random.default_rng(0)
    losses = np.concatenate(
        [generator.normal(1.0, 0.5, 60_000), generator.normal(3.0, 1.0, 40_000)]
    )
    between = (losses > 1.0) & (losses < 3.0)
    low = 0.6 / 0.5 * np.exp(-((losses - 1.0) ** 2) / (2 * 0.5**2))
    high = 0.4 / 1.0 * np.exp(-((losses - 3.0) ** 2) / (2 * 1.0**2))
    posterior = (low / (low + high))[between]
    np.testing.assert_allclose(clean_probability(losses)[between], posterior, atol=0.06)


def test_a_larger_loss_is_never_more_likely_clean():
    # The lower heap is the wider one: far out on the right it would win again.
    generator = np.random.default_rng(0)
    losses = np.concatenate(
        [generator.normal(1.0, 0.8, 300), generator.normal(2.5, 0.05, 300), [4.5, 5.0]]
    )
    probabilities = clean_probability(losses)[np.argsort(losses)]
    assert np.all(np.diff(probabilities) <= 0.0)
    assert (probabilities[0], probabilities[-1]) == (1.0, 0.0)


def test_equal_losses_are_all_clean():
    assert clean_probability([0.7] * 5).tolist() == [1.0] * 5


def test_what_is_chosen_is_right_and_of_every_class():
    losses, labels, wrong = two_heaps()
    chosen = pseudo_clean(losses, labels, CLASSES)
    assert chosen.dtype == np.int64 and np.all(np.diff(chosen) > 0)
    assert not wrong[chosen].any()
    assert np.bincount(labels[chosen]).tolist() == [30] * CLASSES  # 30 % of 100


def test_each_class_gives_its_smallest_losses():
    losses, labels, _ = two_heaps()
    chosen = pseudo_clean(losses, labels, CLASSES)
    for label in range(CLASSES):
        of_class = np.flatnonzero(labels == label)
        smallest = of_class[np.argsort(losses[of_class])[:30]]
        np.testing.assert_array_equal(chosen[labels[chosen] == label], np.sort(smallest))


def test_a_class_of_large_losses_keeps_a_tenth():
    losses, labels, _ = two_heaps()
    losses[labels == 2] += 10.0
    counts = np.bincount(labels[pseudo_clean(losses, labels, CLASSES)])
    assert counts.tolist() == [30, 30, 10, 30]


def test_fewer_than_the_largest_share_are_chosen_where_fewer_are_judged_clean():
    losses, labels, wrong = two_heaps()
    of_class = np.flatnonzero((labels == 1) & ~wrong)
    losses[of_class[20:]] = 3.0  # twenty of class 1 stay small
    chosen = pseudo_clean(losses, labels, CLASSES)
    assert np.count_nonzero(labels[chosen] == 1) == 20


def test_a_number_is_divided_over_the_classes():
    losses, labels, _ = two_heaps()
    chosen = pseudo_clean(losses, labels, CLASSES, num_meta=42)
    assert np.bincount(labels[chosen]).tolist() == [11, 11, 10, 10]
    for label, count in enumerate([11, 11, 10, 10]):
        of_class = losses[chosen][labels[chosen] == label]
        np.testing.assert_array_equal(of_class.max(), np.sort(losses[labels == label])[count - 1])


def test_of_equal_losses_the_first_are_chosen():
    assert pseudo_clean([1.0] * 8, np.arange(8) % 2, 2, num_meta=4).tolist() == [0, 1, 2, 3]


def test_equal_arguments_give_equal_choices():
    losses, labels, _ = two_heaps(seed=3)
    losses += np.random.default_rng(1).normal(scale=0.8, size=400)  # heaps that run together
    first, again = (pseudo_clean(losses, labels, CLASSES) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_a_class_without_examples_is_left_out():
    losses, labels, _ = two_heaps()
    assert set(labels[pseudo_clean(losses, labels, CLASSES + 1)]) == set(range(CLASSES))


@pytest.mark.parametrize(
    ("losses", "arguments", "message"),
    [
        ([0.1, np.nan, 0.2, 0.3], {}, r"shape \(4,\), 1 not finite"),
        ([0.1, np.inf, 0.2, 0.3], {}, "1 not finite"),
        ([], {}, r"shape \(0,\)"),
        ([0.1, 0.2, 0.3], {}, "3 losses and 4 labels"),
        ([0.1] * 4, {"num_meta": 1}, "num_meta=1; allowed: 2 or more"),
        ([0.1] * 4, {"num_meta": 6}, "num_meta=6, which takes 3 examples with label 0; allowed: 2"),
    ],
)
def test_what_does_not_fit_is_an_error(losses, arguments, message):
    with pytest.raises(ValueError, match=message):
        pseudo_clean(losses, [0, 1, 0, 1], 2, **arguments)


def test_a_size_is_checked_by_itself():
    assert meta_counts(5, [0, 1, 0, 1, 0], 2).tolist() == [3, 2]
    with pytest.raises(TypeError, match="num_meta=2.5"):
        meta_counts(2.5, [0, 1], 2)


def test_the_loop_of_the_module_finds_the_right_labels():
    generator = np.random.default_rng(0)
    true = np.arange(240) % 3
    x = (3.0 * np.eye(6)[true] + generator.normal(size=(240, 6))).astype(np.float32)
    y = np.where(generator.uniform(size=240) < 0.3, (true + 1) % 3, true)
    keras.utils.set_random_seed(0)
    classifier = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    losses = []
    plain = gdw_tf.CE(keras.models.clone_model(classifier))
    plain.compile()
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: losses.append(example_losses(plain, x, y))
    )
    plain.fit(x, y, epochs=3, callbacks=[note], verbose=0)
    model = gdw_tf.GDW(classifier)
    model.compile()

    chosen = pseudo_clean(np.mean(losses, axis=0), y, 3)
    for epoch in range(0, 4, 2):
        model.fit(
            x, y, meta_data=(x[chosen], y[chosen]), initial_epoch=epoch, epochs=epoch + 2, verbose=0
        )
        chosen = pseudo_clean(example_losses(model, x, y), y, 3)

    assert np.mean(y != true) > 0.25
    assert np.mean(y[chosen] != true[chosen]) < 0.02
    assert set(y[chosen]) == {0, 1, 2}
