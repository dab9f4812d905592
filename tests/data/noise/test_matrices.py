from __future__ import annotations

import hashlib
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdw_tf.data.noise import (
    corrupt,
    flip2_targets,
    flip_matrix,
    flip_targets,
    pair_matrix,
    transition_matrix,
    uniform_matrix,
)
from gdw_tf.data.random import generator

few = settings(derandomize=True, database=None, deadline=None, max_examples=30)
classes = st.integers(2, 30)
rates = st.floats(0, 1)


@few
@given(num_classes=classes, rate=rates)
def test_uniform_noise_keeps_a_label_with_probability_1_minus_r_plus_r_over_c(num_classes, rate):
    matrix = uniform_matrix(num_classes, rate)
    expected = np.full((num_classes, num_classes), rate / num_classes)
    np.fill_diagonal(expected, 1 - rate + rate / num_classes)
    np.testing.assert_allclose(matrix, expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-12)


@few
@given(num_classes=classes, rate=rates)
def test_flip_noise_sends_each_class_to_one_other(num_classes, rate):
    targets = (np.arange(num_classes) + 1) % num_classes
    matrix = flip_matrix(num_classes, rate, targets)
    for label in range(num_classes):
        row = np.zeros(num_classes)
        row[label] = 1 - rate
        row[(label + 1) % num_classes] = rate
        np.testing.assert_array_equal(matrix[label], row)


@few
@given(num_classes=st.integers(3, 30), rate=rates)
def test_flip2_noise_sends_each_class_to_two_others_alike(num_classes, rate):
    targets = [((i + 1) % num_classes, (i + 2) % num_classes) for i in range(num_classes)]
    matrix = flip_matrix(num_classes, rate, targets)
    for label, (one, other) in enumerate(targets):
        row = np.zeros(num_classes)
        row[[label, one, other]] = 1 - rate, rate / 2, rate / 2
        np.testing.assert_allclose(matrix[label], row, rtol=1e-15)


def test_pair_noise_sends_each_class_to_the_next():
    np.testing.assert_array_equal(
        pair_matrix(4, 0.25),
        [[0.75, 0.25, 0, 0], [0, 0.75, 0.25, 0], [0, 0, 0.75, 0.25], [0.25, 0, 0, 0.75]],
    )
    np.testing.assert_array_equal(pair_matrix(2, 1), [[0, 1], [1, 0]])


@few
@given(num_classes=st.one_of(classes, st.just(100)))
def test_no_class_is_flipped_to_itself(num_classes):
    targets = flip_targets(num_classes)
    assert targets.shape == (num_classes,)
    assert targets.dtype == np.int64
    assert targets.min() >= 0
    assert targets.max() < num_classes
    assert np.all(targets != np.arange(num_classes))
    np.testing.assert_array_equal(targets, flip_targets(num_classes))


def test_flip_targets_are_those_of_the_published_experiments():
    assert flip_targets(10).tolist() == [6, 9, 6, 0, 0, 1, 8, 6, 2, 4]
    hundred = flip_targets(100)
    assert hundred[:5].tolist() == [38, 13, 73, 10, 76]
    assert (
        hashlib.sha256(hundred.astype("<i8").tobytes()).hexdigest()
        == "e725b978e841b85863f38617545a24a31a7f49c3af5666f2fb3bea8d0bb1a775"
    )


def test_flip_targets_of_other_class_counts_never_change():
    assert flip_targets(2).tolist() == [1, 0]
    assert flip_targets(14).tolist() == [5, 10, 0, 13, 13, 13, 10, 3, 11, 13, 8, 2, 13, 11]


def test_flip2_targets_are_those_of_the_published_experiments():
    assert flip2_targets(10).tolist() == [
        *([9, 3], [4, 8], [1, 8], [8, 4], [2, 5]),
        *([7, 4], [9, 2], [8, 5], [6, 5], [5, 4]),
    ]
    hundred = flip2_targets(100)
    assert hundred[:3].tolist() == [[93, 84], [45, 70], [57, 60]]
    assert (
        hashlib.sha256(hundred.astype("<i8").tobytes()).hexdigest()
        == "b3349b7333160985e39579bc10ce3f7235a5d99767fe6e351c1169aa09a90db2"
    )


@few
@given(num_classes=st.integers(3, 30))
def test_no_class_is_flipped_to_itself_or_to_one_class_twice(num_classes):
    for label, (one, other) in enumerate(flip2_targets(num_classes)):
        assert {label, one, other} <= set(range(num_classes))
        assert len({label, one, other}) == 3


def test_drawn_flip_targets_are_spread_over_all_classes():
    targets = flip_targets(1000)
    per_hundred = np.bincount(targets // 100, minlength=10)
    # Four standard deviations around 100.
    assert per_hundred.min() > 60
    assert per_hundred.max() < 140
    assert np.any(targets > np.arange(1000))
    assert np.any(targets < np.arange(1000))


def test_40_percent_uniform_noise_on_10_classes_makes_36_percent_wrong():
    labels = np.tile(np.arange(10), 5000)
    given_labels = corrupt(labels, uniform_matrix(10, 0.4), generator(0))
    # Four standard deviations of a share of 50,000.
    assert np.mean(given_labels != labels) == pytest.approx(0.36, abs=0.0086)


@few
@given(num_classes=st.integers(2, 8), seed=st.integers(0, 1000))
def test_labels_follow_their_rows(num_classes, seed):
    matrix = np.random.RandomState(seed).dirichlet(np.full(num_classes, 0.5), size=num_classes)
    labels = np.tile(np.arange(num_classes), 4000)
    given_labels = corrupt(labels, matrix, generator(seed))
    realised = np.zeros_like(matrix)
    np.add.at(realised, (labels, given_labels), 1 / 4000)
    np.testing.assert_allclose(realised, matrix, atol=0.04)


def test_each_label_is_the_inverse_of_the_cumulative_row_at_its_uniform_number():
    matrix = np.array([[0.2, 0.5, 0.3], [0.0, 0.1, 0.9], [0.6, 0.4, 0.0]])
    labels = generator(0, "labels").randint(3, size=200)
    uniform = generator(0, "noise").random_sample(200)
    expected = [
        next(j for j in range(3) if u < sum(matrix[i, : j + 1]) + 1e-12)
        for i, u in zip(labels, uniform, strict=True)
    ]
    np.testing.assert_array_equal(corrupt(labels, matrix, generator(0, "noise")), expected)


def test_a_label_of_probability_zero_is_never_given():
    labels = np.tile([0, 1, 2], 1000)
    matrix = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0], [0.5, 0.0, 0.5]])
    given_labels = corrupt(labels, matrix, generator(2))
    assert matrix[labels, given_labels].min() > 0


@pytest.mark.parametrize(("uniform", "expected"), [(0.0, 1), (np.nextafter(1, 0), 10)])
def test_the_ends_of_the_unit_interval_belong_to_classes_that_can_be_given(uniform, expected):
    # Ten times 0.1 in a row is less than 1 in floating point.
    row = np.array([0.0] + [0.1] * 10 + [0.0])
    assert row.cumsum()[-1] < 1
    random_state = types.SimpleNamespace(random_sample=lambda size: np.full(size, uniform))
    assert corrupt([3, 5], np.tile(row, (12, 1)), random_state).tolist() == [expected] * 2


def test_no_noise_changes_nothing_and_full_flip_changes_all():
    labels = np.arange(10).repeat(20)
    np.testing.assert_array_equal(
        corrupt(labels, transition_matrix("none", 10, 0), generator(0)), labels
    )
    np.testing.assert_array_equal(
        corrupt(labels, transition_matrix("flip", 10, 1), generator(0)), flip_targets(10)[labels]
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_labels_of_any_integer_type_are_corrupted_alike(dtype):
    labels = np.arange(10).repeat(5)
    given_labels = corrupt(labels.astype(dtype), uniform_matrix(10, 0.5), generator(0))
    assert given_labels.dtype == np.int64
    np.testing.assert_array_equal(
        given_labels, corrupt(labels, uniform_matrix(10, 0.5), generator(0))
    )


@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        ("uniform", "15b605f3038bf4b9b918100c67943657068a65ba26701eaeaa959c148f708c0b"),
        ("flip", "06907b94ce8bcbc3e3af863deda265327c594ca5a71a6b0ff9f40b3297f7a24c"),
        ("flip2", "e8a0b689e9a499afba6934901b06cd9d6aa0c31cd02735f27f43579052a7ed35"),
        ("pair", "deef982e0cdda2789a15f322140f288f65c460f47ac107e285cdc4355b3d71e9"),
    ],
)
def test_corrupted_labels_are_the_same_on_every_machine(kind, digest):
    labels = np.tile(np.arange(100), 50)
    given_labels = corrupt(labels, transition_matrix(kind, 100, 0.4), generator(1, "noise"))
    assert hashlib.sha256(given_labels.astype("<i8").tobytes()).hexdigest() == digest


def test_labels_from_a_matrix_of_ones_own_are_the_same_on_every_machine():
    row = np.array([8, 4, 2, 1, 1, 0, 0, 0, 0, 0]) / 16  # exact in binary
    matrix = np.stack([np.roll(row, shift) for shift in range(10)])
    given_labels = corrupt(
        np.tile(np.arange(10), 500),
        transition_matrix("matrix", 10, 0.0, matrix=matrix),
        generator(1, "noise"),
    )
    assert (
        hashlib.sha256(given_labels.astype("<i8").tobytes()).hexdigest()
        == "340c6ce04007487ceedefca8b6838f31b24be2fa786a16ed0de1e55b10189952"
    )


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
@pytest.mark.parametrize(
    "make",
    [
        lambda rate: uniform_matrix(10, rate),
        lambda rate: flip_matrix(10, rate, flip_targets(10)),
        lambda rate: pair_matrix(10, rate),
        lambda rate: transition_matrix("none", 10, rate),
    ],
)
def test_a_rate_out_of_range_is_an_error(make, rate):
    with pytest.raises(ValueError, match=f"Received: rate={rate}; allowed: 0 to 1"):
        make(rate)


@pytest.mark.parametrize("num_classes", [0, 1])
@pytest.mark.parametrize(
    "make",
    [
        lambda num_classes: uniform_matrix(num_classes, 0.1),
        lambda num_classes: flip_matrix(num_classes, 0.1, [0]),
        lambda num_classes: pair_matrix(num_classes, 0.1),
        lambda num_classes: transition_matrix("none", num_classes, 0.0),
        flip_targets,
    ],
)
def test_fewer_than_two_classes_are_an_error(make, num_classes):
    with pytest.raises(ValueError, match=f"num_classes={num_classes}; allowed: 2 or more"):
        make(num_classes)


def test_two_other_classes_need_three():
    with pytest.raises(ValueError, match="num_classes=2; allowed: 3 or more"):
        flip2_targets(2)


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        ([1, 0], ValueError, "2 targets; allowed: 3"),
        ([[1, 2], [2, 2], [0, 1]], ValueError, r"\[2, 2\] for class 1"),
        ([[1, 2], [0, 1], [0, 1]], ValueError, "class 1 as its own target"),
        ([1, 1, 0], ValueError, "class 1 as its own target"),
        ([1, 3, 0], ValueError, "allowed: 0 to 2"),
        ([1.0, 2.0, 0.0], TypeError, "float64"),
    ],
)
def test_bad_flip_targets_are_errors(targets, error, message):
    with pytest.raises(error, match=message):
        flip_matrix(3, 0.1, targets)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)), r"shape \(2, 3\)"),
        (np.ones(2), r"shape \(2,\)"),
        (np.ones((1, 1)), r"shape \(1, 1\)"),
        ([[0.5, 0.4], [0.0, 1.0]], "a sum of 0.9"),
        ([[1.5, -0.5], [0.0, 1.0]], "an entry of -0.5"),
        ([[float("nan"), 0.5], [0.0, 1.0]], "an entry of nan"),
        ([[0.0, 1.0], [float("inf"), 0.0]], "a sum of inf in row 1"),
    ],
)
def test_what_is_no_transition_matrix_is_an_error(matrix, message):
    with pytest.raises(ValueError, match=message):
        corrupt([0, 1], matrix, generator(0))


def test_labels_that_are_no_classes_cannot_be_corrupted():
    with pytest.raises(ValueError, match="labels from 0 to 2; allowed: 0 to 1"):
        corrupt([0, 2], np.eye(2), generator(0))
    with pytest.raises(TypeError, match="float64"):
        corrupt([0.0, 1.0], np.eye(2), generator(0))
