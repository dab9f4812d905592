from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdw_tf.data.meta_split import balanced_subset, choose_meta, split_meta
from gdw_tf.data.random import generator

few = settings(derandomize=True, database=None, deadline=None, max_examples=30)


@few
@given(num_classes=st.integers(2, 8), num_meta=st.integers(1, 40), seed=st.integers(0, 99))
def test_the_meta_set_is_balanced_and_taken_out_of_the_training_set(num_classes, num_meta, seed):
    labels = generator(seed, "order").permutation(np.arange(num_classes).repeat(25))
    train, meta = split_meta(labels, num_classes, num_meta, generator(seed))
    assert len(meta) == num_meta
    np.testing.assert_array_equal(np.sort(np.concatenate([train, meta])), np.arange(len(labels)))
    counts = np.bincount(labels[meta], minlength=num_classes)
    assert counts.max() - counts.min() <= 1
    for indices in (train, meta):
        assert indices.dtype == np.int64
        assert np.all(np.diff(indices) > 0)
    again = split_meta(labels, num_classes, num_meta, generator(seed))
    np.testing.assert_array_equal(meta, again[1])


@few
@given(num_classes=st.integers(2, 8), size=st.integers(1, 40), seed=st.integers(0, 99))
def test_a_subset_is_balanced(num_classes, size, seed):
    labels = generator(seed, "order").permutation(np.arange(num_classes).repeat(25))
    subset = balanced_subset(labels, num_classes, size, generator(seed))
    assert len(subset) == size
    assert np.all(np.diff(subset) > 0)
    counts = np.bincount(labels[subset], minlength=num_classes)
    assert counts.max() - counts.min() <= 1


def test_another_generator_draws_another_meta_set():
    labels = np.arange(4).repeat(25)
    first, second = (split_meta(labels, 4, 20, generator(seed))[1] for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_the_split_is_the_same_on_every_machine():
    labels = np.tile(np.arange(10), 60)
    train, meta = split_meta(labels, 10, 103, generator(1, "meta set"))
    digests = [hashlib.sha256(part.astype("<i8").tobytes()).hexdigest() for part in (train, meta)]
    assert digests == [
        "01fac3ed61afb3dceeaee5f43436592f3abb6c2578c1845b642e9c62a42be5be",
        "715ed9688bc0ae91c7e78791ae51b028a5ecad8476e77b8141d868721d921ca6",
    ]


def test_a_meta_set_larger_than_a_class_is_an_error():
    labels = np.repeat([0, 1, 2], [20, 5, 20])
    with pytest.raises(ValueError, match="num_meta=18, which takes 6 images of class 1; allowed"):
        split_meta(labels, 3, 18, generator(0))


def test_every_class_keeps_a_training_image():
    labels = np.repeat([0, 1, 2], [20, 5, 20])
    with pytest.raises(ValueError, match="5 images of class 1; allowed: 4 of its 5"):
        split_meta(labels, 3, 15, generator(0))
    train, _ = split_meta(labels, 3, 12, generator(0))
    assert np.bincount(labels[train]).tolist() == [16, 1, 16]


def test_a_class_without_images_is_an_error():
    with pytest.raises(ValueError, match="of class 2; allowed: 0 of its 0"):
        split_meta([0, 0, 1, 1], 3, 3, generator(0))


def test_a_subset_may_be_everything_but_not_more():
    labels = np.repeat([0, 1, 2], 4)
    assert balanced_subset(labels, 3, 12, generator(0)).tolist() == list(range(12))
    with pytest.raises(ValueError, match="size=15, which takes 5 images of class 0; allowed: 4"):
        balanced_subset(labels, 3, 15, generator(0))


@pytest.mark.parametrize("size", [0, -3])
def test_sizes_start_at_one(size):
    with pytest.raises(ValueError, match=f"num_meta={size}; allowed: 1 or more"):
        split_meta([0, 0, 1, 1], 2, size, generator(0))
    with pytest.raises(ValueError, match=f"size={size}; allowed: 1 or more"):
        balanced_subset([0, 0, 1, 1], 2, size, generator(0))


def test_what_is_no_number_or_label_is_an_error():
    with pytest.raises(TypeError, match="num_meta=2.0"):
        split_meta([0, 0, 1, 1], 2, 2.0, generator(0))
    with pytest.raises(TypeError, match="float64"):
        split_meta([0.0, 1.0], 2, 1, generator(0))
    with pytest.raises(ValueError, match="allowed: 0 to 1"):
        balanced_subset([0, 2], 2, 1, generator(0))


# choose_meta


def test_a_meta_set_is_chosen_balanced_from_a_clean_set():
    labels = np.repeat([0, 1, 2], [5, 9, 4])
    chosen = choose_meta(labels, 3, 9, np.random.RandomState(0))
    assert np.bincount(labels[chosen]).tolist() == [3, 3, 3]
    assert (np.diff(chosen) > 0).all()
    # Unlike a meta set that is split off, it may be all there is.
    assert choose_meta(labels, 3, 12, np.random.RandomState(0)).size == 12
    with pytest.raises(ValueError, match="num_meta=14, which takes"):
        choose_meta(labels, 3, 14, np.random.RandomState(0))
