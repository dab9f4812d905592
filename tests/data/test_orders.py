from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import tensorflow as tf

from gdw_tf.data import meta_batches
from gdw_tf.data.orders import balanced_passes

KEY = tf.constant([1, 2], tf.int64)


def indices_of(labels, count, key=KEY):
    return np.array(list(balanced_passes(labels, key).take(count).as_numpy_iterator()))


@pytest.mark.parametrize("batch_size", [1, 3, 4, 7, 10, 23])
@pytest.mark.parametrize("counts", [[6, 6, 6, 6], [5, 1, 9, 2], [0, 3, 0, 4]])
def test_any_window_has_as_many_of_each_class_as_whole_numbers_allow(counts, batch_size):
    labels = np.random.RandomState(0).permutation(np.repeat(np.arange(4), counts))
    present = np.count_nonzero(counts)
    seen = labels[indices_of(labels, 100)]
    for start in range(100 - batch_size):
        window = np.bincount(seen[start : start + batch_size], minlength=4)[np.nonzero(counts)]
        assert window.min() >= batch_size // present
        assert window.max() <= math.ceil(batch_size / present)


def test_a_pass_of_equal_classes_visits_every_example_once():
    labels = np.tile(np.arange(5), 8)
    indices = indices_of(labels, 120)
    passes = indices.reshape(3, 40)
    for one_pass in passes:
        assert sorted(one_pass) == list(range(40))
    assert not np.array_equal(passes[0], passes[1])


def test_a_small_class_begins_again_when_it_is_through():
    labels = np.array([0] * 7 + [1] * 3)
    indices = indices_of(labels, 14)  # one pass: each class seven times
    assert np.bincount(indices, minlength=10)[:7].tolist() == [1] * 7
    assert sorted(np.bincount(indices, minlength=10)[7:]) == [2, 2, 3]
    of_small = indices[labels[indices] == 1]
    assert set(of_small[:3]) == set(of_small[3:6]) == {7, 8, 9}


def test_the_order_is_given_by_its_key():
    labels = np.tile(np.arange(5), 8)
    first, again, other = (
        indices_of(labels, 80, tf.constant(key, tf.int64)) for key in ([1, 2], [1, 2], [1, 3])
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_examples_and_classes_come_in_a_random_order():
    labels = np.arange(10).repeat(100)
    indices = indices_of(labels, 1000)
    assert labels[indices[:10]].tolist() != list(range(10))
    of_class = indices[labels[indices] == 3]
    # A random permutation of 100 has a correlation with the identity of 0 +- 0.1.
    assert abs(np.corrcoef(of_class, np.arange(100))[0, 1]) < 0.4


def test_the_order_is_the_same_on_every_machine():
    indices = indices_of(np.arange(200) % 7, 500)
    digest = hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()
    assert digest == "c7a0499f4d207cbf55aeb2934f6be473630fd2a81db24f46837ad7251508446e"


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0.0, 1.0], "dtype float64"), ([[0, 1], [1, 0]], r"shape \(2, 2\)"), ([], r"shape \(0,\)")],
)
def test_what_are_no_class_indices_is_an_error(labels, message):
    with pytest.raises(ValueError, match=f"{message}.*allowed: integers"):
        balanced_passes(labels, KEY)


def meta(balanced=True, initial_epoch=0, seed=0):
    labels = np.arange(40) % 10
    return meta_batches(
        np.arange(40),
        labels,
        batch_size=20,
        seed=seed,
        steps_per_epoch=3,
        balanced=balanced,
        initial_epoch=initial_epoch,
    )


def test_every_meta_batch_is_balanced():
    for images, labels in meta().take(7).as_numpy_iterator():
        assert np.bincount(labels).tolist() == [2] * 10
        np.testing.assert_array_equal(images % 10, labels)
    by_chance = [
        np.bincount(labels, minlength=10).tolist()
        for _, labels in meta(balanced=False).take(3).as_numpy_iterator()
    ]
    assert by_chance != [[2] * 10] * 3


def test_balanced_meta_batches_depend_on_seed_and_epoch_alone():
    def images(stream, count):
        return [batch[0].tolist() for batch in stream.take(count).as_numpy_iterator()]

    whole = images(meta(), 9)
    assert whole[3:] == images(meta(initial_epoch=1), 6)
    assert whole[:3] != whole[3:6]
    assert whole != images(meta(seed=1), 9)
    # A pass goes over all 40 examples; within an epoch the next one follows at once.
    assert sorted(whole[0] + whole[1]) == list(range(40))


def test_balanced_meta_batches_need_class_indices():
    with pytest.raises(ValueError, match="Balanced batches need one class index an example"):
        meta_batches(
            np.zeros((4, 2)), np.eye(4), batch_size=2, seed=0, steps_per_epoch=1, balanced=True
        )
