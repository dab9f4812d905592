from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from gdw_tf.labels import (
    checked_in_range,
    class_indices,
    in_form_of,
    is_one_hot,
    one_hot_labels,
)

ONE_HOT = [[0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 0]]
SPARSE = [2, 0, 1, 0]
COLUMN = [[2], [0], [1], [0]]


@pytest.mark.parametrize("labels", [SPARSE, COLUMN, ONE_HOT], ids=["sparse", "column", "one-hot"])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_every_form_becomes_one_hot(labels, dtype):
    answer = one_hot_labels(np.array(labels, dtype), 3, tf.float64)

    assert answer.dtype == tf.float64
    np.testing.assert_array_equal(answer, ONE_HOT)


@pytest.mark.parametrize("given", [SPARSE, COLUMN, ONE_HOT], ids=["sparse", "column", "one-hot"])
@pytest.mark.parametrize("wanted", [SPARSE, COLUMN, ONE_HOT], ids=["sparse", "column", "one-hot"])
def test_labels_take_the_form_of_others(given, wanted):
    like = tf.constant(wanted[:1], tf.uint8)  # of another number of examples

    answer = in_form_of(tf.constant(given), like)

    assert answer.dtype == tf.uint8
    np.testing.assert_array_equal(answer, wanted)


def test_one_hot_labels_may_be_floats():
    answer = one_hot_labels(tf.constant(ONE_HOT, "float64"), 3, tf.float32)

    assert answer.dtype == tf.float32
    np.testing.assert_array_equal(answer, ONE_HOT)


def test_labels_of_an_unknown_batch_size_become_one_hot():
    @tf.function(input_signature=[tf.TensorSpec((None, 1), tf.int32)])
    def convert(labels):
        return one_hot_labels(labels, 3, tf.float32)

    np.testing.assert_array_equal(convert(tf.constant(COLUMN)), ONE_HOT)


@pytest.mark.parametrize("dtype", ["float32", "bool"])
def test_sparse_labels_that_are_no_integers_are_an_error(dtype):
    with pytest.raises(TypeError, match=rf"Received: dtype {dtype}; allowed: integer .*\(N, 3\)"):
        one_hot_labels(np.array([1, 0], dtype), 3, tf.float32)


@pytest.mark.parametrize("shape", [(), (4, 2), (4, 1, 3), (4, 4)])
def test_labels_of_another_shape_are_an_error(shape):
    message = r"Received: shape \(.*\); allowed: \(N,\), \(N, 1\), or one-hot \(N, 3\)\.$"
    with pytest.raises(ValueError, match=message):
        one_hot_labels(tf.zeros(shape, tf.int32), 3, tf.float32)
    with pytest.raises(ValueError, match=f"^the labels are of no known form. {message}"):
        class_indices(np.zeros(shape, int), 3, "the labels")


@pytest.mark.parametrize("label", [-1, 3])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_a_label_that_is_no_class_is_an_error_when_the_step_runs(label, compiled):
    def convert(labels):
        return one_hot_labels(labels, 3, tf.float32)

    convert = tf.function(convert) if compiled else convert
    labels = tf.constant([0, label, 2])
    with pytest.raises(tf.errors.InvalidArgumentError, match="that is no class; allowed: 0 to 2"):
        convert(labels)


@pytest.mark.parametrize("labels", [SPARSE, COLUMN, ONE_HOT], ids=["sparse", "column", "one-hot"])
def test_labels_in_range_are_handed_on_as_they_are(labels):
    answer = checked_in_range(tf.constant(labels, tf.uint8), 3)

    assert answer.dtype == tf.uint8
    np.testing.assert_array_equal(answer, labels)


@pytest.mark.parametrize("labels", [[0, 3], [[-1], [2]]], ids=["sparse", "column"])
def test_labels_out_of_range_are_an_error_where_a_data_set_maps_them(labels):
    data = tf.data.Dataset.from_tensors(labels).map(lambda batch: checked_in_range(batch, 3))

    with pytest.raises(tf.errors.InvalidArgumentError, match="that is no class; allowed: 0 to 2"):
        next(iter(data))


@pytest.mark.parametrize("labels", [SPARSE, COLUMN, ONE_HOT], ids=["sparse", "column", "one-hot"])
@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_every_form_becomes_class_indices(labels, dtype):
    answer = class_indices(np.array(labels, dtype), 3, "y")

    assert answer.dtype == np.int64
    assert answer.tolist() == SPARSE


def test_class_indices_of_one_hot_floats():
    assert class_indices(np.array(ONE_HOT, "float32"), 3, "y").tolist() == SPARSE


@pytest.mark.parametrize(
    "row", [[0, 0, 0], [1, 1, 0], [0.5, 0.5, 0], [2, -1, 0], [np.nan, 1, 0]], ids=str
)
def test_rows_that_are_not_one_hot_are_named(row):
    with pytest.raises(ValueError, match="y must be one-hot. Received: row 1 .*; allowed: one 1"):
        class_indices(np.array([[0.0, 1.0, 0.0], row, [9, 9, 9]]), 3, "y")


@pytest.mark.parametrize(
    "labels, error, message",
    [
        ([0, 3], ValueError, "y holds a label that is no class. .* allowed: 0 to 2"),
        ([[0], [-1]], ValueError, "y holds a label that is no class. .* allowed: 0 to 2"),
        ([0.0, 1.0], TypeError, "y must be class indices. Received: dtype float64"),
        (["a", "b"], TypeError, "y must be class indices. Received: dtype string"),
        ([0, None], TypeError, "y must be class indices. Received: dtype string"),
        (np.zeros(0, int), ValueError, "y must be one class index an example"),
    ],
)
def test_sparse_labels_that_are_no_classes_are_an_error(labels, error, message):
    with pytest.raises(error, match=message):
        class_indices(np.array(labels), 3, "y")


@pytest.mark.parametrize(
    "shape, expected", [((5, 3), True), ((None, 3), True), ((5,), False), ((5, 1), False)]
)
def test_one_hot_is_told_by_the_shape(shape, expected):
    assert is_one_hot(shape, 3) is expected
    assert is_one_hot(tf.TensorShape(shape), 3) is expected
