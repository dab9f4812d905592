from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from gdw_tf import data_checks, fit_data, fit_streams
from gdw_tf.fit_arguments import check_class_weight
from gdw_tf.fit_data import Arrays

X, Y = np.arange(20, dtype=np.float32).reshape(10, 2), np.arange(10) % 3


def read(*data: Any) -> Arrays | tf.data.Dataset:
    return fit_data.read(*data, name="the data")


OPTIONS = fit_streams.Options(num_classes=3, seed=1, steps_taken=lambda: 0, batch_size=4)


def training_batches(data: Any, **options: Any) -> tf.data.Dataset:
    return fit_streams.training_batches(data, OPTIONS._replace(**options))


def meta_batches(data: Any, **options: Any) -> tf.data.Dataset:
    return fit_streams.meta_batches(data, OPTIONS._replace(**options))


def order(batches: tf.data.Dataset) -> list[int]:
    """The examples of batches, which are known by their first feature."""
    return [int(value) // 2 for batch in batches for value in batch[0][:, 0]]


# Reading.


def test_arrays_keep_their_structure_and_values():
    data = read({"a": X, "b": X[:, 0]}, tf.constant(Y), np.ones(10))
    assert data.size == 10
    assert set(data.inputs) == {"a", "b"}
    assert isinstance(data.labels, np.ndarray)
    np.testing.assert_array_equal(data.inputs["a"], X)
    np.testing.assert_array_equal(data.sample_weight, np.ones(10))


def test_a_list_of_inputs_becomes_a_tuple_as_batches_are():
    data = read([X, X[:, :1]], Y)
    assert isinstance(data.inputs, tuple)
    assert [spec.shape.as_list() for spec in fit_data.input_spec(data)] == [
        [None, 2],
        [None, 1],
    ]


def test_a_pair_and_a_triple_are_arrays_and_a_data_set_is_itself():
    pair = fit_data.read_pair((X, Y), name="meta_data")
    assert pair.sample_weight is None
    assert fit_data.read_pair((X, Y, Y), name="meta_data").sample_weight is not None
    data_set = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    assert fit_data.read_pair(data_set, name="meta_data") is data_set
    assert fit_data.input_spec(data_set).shape.as_list() == [None, 2]


@pytest.mark.parametrize("data", [read(X, Y), tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)])
def test_the_first_examples_are_a_few_inputs(data):
    first = fit_data.first_examples(data)
    np.testing.assert_array_equal(first, X[: len(first)])
    assert 0 < len(first) <= 8


@pytest.mark.parametrize("data", [[1, 2], "x", None, 3, iter([X]), {"a": "b"}, []])
def test_what_is_neither_arrays_nor_a_data_set_is_refused(data):
    with pytest.raises(TypeError, match=r"^the data must be arrays or a tf\.data\.Dataset"):
        read(data, Y)


# Validation.


def test_the_last_examples_are_kept_for_validation():
    rest, validation = fit_data.split_validation(read({"a": X}, Y, np.arange(10)), 0.3)
    assert rest.size == 7
    np.testing.assert_array_equal(rest.inputs["a"], X[:7])
    inputs, labels, weights = validation
    np.testing.assert_array_equal(inputs["a"], X[7:])
    np.testing.assert_array_equal(labels, Y[7:])
    np.testing.assert_array_equal(weights, [7, 8, 9])


# The order of training batches.


@pytest.mark.parametrize("batch_size", [1, 4, 5, 10, 32])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_pass_holds_every_example_once(batch_size, shuffle):
    steps = -(-10 // batch_size)
    arguments = {"batch_size": batch_size, "shuffle": shuffle}
    assert training_batches(read(X, Y), **arguments).cardinality() == steps
    batches = training_batches(read(X, Y), **arguments, steps_per_epoch=2)
    assert batches.cardinality() == tf.data.INFINITE_CARDINALITY
    for start in (0, steps):
        one_pass = list(batches.skip(start).take(steps))
        seen = order(one_pass)
        assert sorted(seen) == list(range(10))
        assert (seen == list(range(10))) is (not shuffle)
        for inputs, labels in one_pass:
            np.testing.assert_array_equal(labels, Y[inputs[:, 0].numpy().astype(int) // 2])


def test_every_pass_and_every_seed_has_an_order_of_its_own():
    first, second = (
        order(training_batches(read(X, Y), seed=seed, steps_per_epoch=1).take(6)) for seed in (1, 2)
    )
    assert len({tuple(one) for one in (first[:10], first[10:], second[:10], second[10:])}) == 4


@pytest.mark.parametrize("stream", [training_batches, meta_batches])
@pytest.mark.parametrize("steps", [1, 3, 4, 7])
def test_the_stream_goes_on_from_the_steps_taken(stream, steps):
    undisturbed = order(stream(read(X, Y), steps_per_epoch=2).skip(steps).take(5))
    resumed = stream(read(X, Y), steps_per_epoch=2, steps_taken=lambda: steps)
    assert order(resumed.take(5)) == undisturbed


@pytest.mark.parametrize("steps_taken", [1, 4, 5])
def test_an_epoch_of_one_pass_is_a_whole_one_whatever_steps_were_taken_before(steps_taken):
    arguments = {"batch_size": 5, "shuffle": False}
    batches = training_batches(read(X, Y), **arguments, steps_taken=lambda: steps_taken)
    assert order(batches) == list(range(10))


def test_the_steps_taken_are_read_when_an_iterator_starts():
    steps = iter([0, 3, 0])
    batches = training_batches(read(X, Y), steps_taken=lambda: next(steps)).take(3)
    first, second, again = order(batches), order(batches), order(batches)
    assert first == again != second


def test_a_data_set_keeps_its_own_batches_and_length():
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    assert training_batches(data).cardinality() == 3
    assert order(training_batches(data)) == list(range(10))


@pytest.mark.parametrize("stream", [training_batches, meta_batches])
@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_label_of_a_data_set_that_is_no_class_is_found_on_its_way(stream, wrong):
    labels = np.where(np.arange(10) == 7, wrong, Y)
    data = tf.data.Dataset.from_tensor_slices((X, labels)).batch(4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="allowed: 0 to 2"):
        list(stream(data).take(3))


def test_the_shape_of_batches_is_static_where_all_are_full():
    full = training_batches(read(X, Y), batch_size=5).element_spec[0].shape
    assert full.as_list() == [5, 2]
    assert training_batches(read(X, Y), batch_size=4).element_spec[0].shape.as_list() == [None, 2]


# The meta stream.


def test_meta_batches_are_full_and_every_pass_holds_every_example_once():
    batches = meta_batches(read(X, Y))
    assert batches.cardinality() == tf.data.INFINITE_CARDINALITY
    seen = order(batches.take(10))
    assert len(seen) == 40
    passes = [seen[start : start + 10] for start in range(0, 40, 10)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert len({tuple(one) for one in passes}) == 4


def test_a_meta_batch_is_never_larger_than_the_meta_set():
    batch = next(iter(meta_batches(read(X, Y), batch_size=64)))
    assert sorted(order([batch])) == list(range(10))


def test_the_orders_of_training_and_meta_set_are_unrelated():
    assert (
        order(training_batches(read(X, Y)).take(3)) != order(meta_batches(read(X, Y)).take(3))[:10]
    )


def test_a_data_set_is_repeated_in_its_own_order():
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(6)
    assert order(meta_batches(data).take(4)) == [*range(10), *range(10)]


def test_a_data_set_starts_anew_with_every_epoch():
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    batches = meta_batches(data, steps_per_epoch=4)
    assert order(batches.take(4)) == [*range(10), *range(4)]
    assert order(batches.skip(4).take(4)) == [*range(10), *range(4)]


def test_an_endless_data_set_is_left_alone():
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).repeat()
    batches = meta_batches(data, steps_per_epoch=4)
    assert order(batches.take(5)) == [*range(10), *range(8)]


# Class weights.


@pytest.mark.parametrize(
    "form",
    [lambda y: y, lambda y: y[:, np.newaxis], lambda y: np.eye(3)[y]],
    ids=["(N,)", "(N, 1)", "one-hot"],
)
@pytest.mark.parametrize("as_data_set", [False, True], ids=["arrays", "a data set"])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_class_weights_multiply_sample_weights(
    form: Callable[[np.ndarray], np.ndarray], as_data_set: bool, weighted: bool
):
    weight = np.linspace(0, 1, 10)
    data = (X, form(Y), weight) if weighted else (X, form(Y))
    given = tf.data.Dataset.from_tensor_slices(data).batch(4) if as_data_set else read(*data)
    batches = training_batches(given, shuffle=False, class_weight={1: 0.5, 2: 2.0})
    weights = np.concatenate([batch[2] for batch in batches.take(3)])
    expected = np.array([1.0, 0.5, 2.0])[Y] * (weight if weighted else 1.0)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_a_class_weight_for_no_class_is_refused():
    check_class_weight({0: 1.0, 2: 2.0}, 3)
    with pytest.raises(ValueError, match=r"Received: \[3\]; allowed: 0 to 2"):
        check_class_weight({0: 1.0, 3: 2.0}, 3)


@pytest.mark.parametrize(
    ("meta", "shared"),
    [
        (np.array([[0.5], [2.5]]), 0),  # cut off, they would be 0 and 2
        (np.array([[1.0], [2.5]]), 1),
        (np.array([[np.nan], [1e30]]), 0),  # which integers cannot hold
        (np.array([["0"], ["1"]]), 0),
    ],
)
def test_meta_examples_of_another_dtype_are_shared_only_if_they_are_equal(meta, shared):
    training = read(np.arange(3)[:, np.newaxis], np.arange(3))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data_checks.warn_of_overlap(training, read(meta, np.arange(2)))
    assert len(said) == bool(shared)
    assert all(f"{shared} of 2 meta examples" in str(one.message) for one in said)


def test_a_meta_example_with_nan_in_it_is_shared_if_its_bits_are():
    x = np.array([[np.nan, 1.0], [2.0, 3.0]])
    with pytest.warns(UserWarning, match="1 of 2 meta examples"):
        meta = read(x[[0, 0]] + [[0], [1]], np.arange(2))
        data_checks.warn_of_overlap(read(x, np.arange(2)), meta)
