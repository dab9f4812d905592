from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdw_tf.data.imbalance import imbalanced_counts, imbalanced_indices
from gdw_tf.data.random import generator

few = settings(derandomize=True, database=None, deadline=None, max_examples=30)
factors = st.floats(0.001, 1)


def test_the_counts_of_long_tailed_cifar_10():
    counts = imbalanced_counts(5000, 10, 0.01)
    assert counts.tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


def test_the_counts_of_step_imbalanced_cifar_10():
    assert imbalanced_counts(5000, 10, 0.01, "step").tolist() == [5000] * 5 + [50] * 5


@pytest.mark.parametrize(
    ("num_classes", "expected"), [(2, [10, 3]), (5, [10, 10, 10, 3, 3]), (3, [10, 10, 3])]
)
def test_a_step_leaves_the_class_in_the_middle_whole(num_classes, expected):
    counts = imbalanced_counts(10.9, num_classes, 0.33, "step")
    assert counts.tolist() == expected
    assert counts.dtype == np.int64


def test_a_step_takes_images_of_the_last_classes_only():
    labels = np.tile(np.arange(4), 30)
    kept = imbalanced_indices(labels, 4, 0.1, generator(0), num_per_class=30, kind="step")
    assert np.bincount(labels[kept]).tolist() == [30, 30, 3, 3]


def test_an_unknown_kind_is_an_error():
    with pytest.raises(ValueError, match="kind='linear'; allowed: exponential, step"):
        imbalanced_counts(10, 2, 0.5, "linear")


def test_a_whole_number_of_images_is_not_needed():
    assert imbalanced_counts(10.5, 3, 0.25).tolist() == [10, 5, 2]


@few
@given(num_per_class=st.integers(1, 5000), num_classes=st.integers(2, 100), factor=factors)
def test_counts_fall_from_the_first_class_to_the_last(num_per_class, num_classes, factor):
    counts = imbalanced_counts(num_per_class, num_classes, factor)
    assert counts.dtype == np.int64
    assert counts.shape == (num_classes,)
    assert np.all(np.diff(counts) <= 0)
    assert counts[0] == num_per_class
    assert counts[-1] == int(num_per_class * factor)
    # A geometric series, up to the rounding down.
    series = num_per_class * np.exp(np.linspace(0, np.log(factor), num_classes))
    assert np.all(np.abs(counts - series + 0.5) <= 0.5 + 1e-6)


@few
@given(
    counts=st.lists(st.integers(1, 30), min_size=2, max_size=6),
    factor=factors,
    seed=st.integers(0, 99),
)
def test_each_class_keeps_its_count_or_all_it_has(counts, factor, seed):
    num_classes = len(counts)
    labels = generator(seed, "order").permutation(np.repeat(np.arange(num_classes), counts))
    kept = imbalanced_indices(labels, num_classes, factor, generator(seed), num_per_class=20)
    expected = np.minimum(counts, imbalanced_counts(20, num_classes, factor))
    np.testing.assert_array_equal(np.bincount(labels[kept], minlength=num_classes), expected)
    assert np.all(np.diff(kept) > 0)
    again = imbalanced_indices(labels, num_classes, factor, generator(seed), num_per_class=20)
    np.testing.assert_array_equal(kept, again)


def test_images_are_chosen_at_random():
    labels = np.arange(2).repeat(40)
    first, second = (
        imbalanced_indices(labels, 2, 0.5, generator(seed), num_per_class=20) for seed in (0, 1)
    )
    assert not np.array_equal(first, second)


def test_a_stronger_imbalance_only_takes_images_away():
    labels = np.arange(5).repeat(40)
    weak, strong = (
        imbalanced_indices(labels, 5, factor, generator(0), num_per_class=40)
        for factor in (0.5, 0.1)
    )
    assert set(strong) < set(weak)


@pytest.mark.parametrize("factor", [0, -0.5, 1.01, float("nan")])
def test_a_factor_out_of_range_is_an_error(factor):
    with pytest.raises(ValueError, match=f"factor={factor}; allowed: above 0, up to 1"):
        imbalanced_counts(100, 10, factor)


@pytest.mark.parametrize("num_per_class", [0, 0.9, float("nan"), float("inf")])
def test_too_few_images_are_an_error(num_per_class):
    with pytest.raises(ValueError, match=f"num_per_class={num_per_class}; allowed: numbers from 1"):
        imbalanced_indices([0, 1], 2, 0.5, generator(0), num_per_class)


def test_bad_classes_and_labels_are_errors():
    with pytest.raises(ValueError, match="num_classes=1"):
        imbalanced_counts(100, 1, 0.5)
    with pytest.raises(ValueError, match="allowed: 0 to 1"):
        imbalanced_indices([0, 2], 2, 0.5, generator(0), 10)
    with pytest.raises(TypeError, match="float64"):
        imbalanced_indices([0.0, 1.0], 2, 0.5, generator(0), 10)
