"""Arguments drawn at random: each gives a result that holds what is promised, or one line.

A hundred cases in all, the same every time; a thousand new ones with `pytest -m nightly`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from gdw_tf import data, data_checks, fit_data, fit_streams
from gdw_tf.data import noise
from gdw_tf.data.imbalance import imbalanced_counts, imbalanced_indices
from gdw_tf.data.meta_split import split_meta
from gdw_tf.data.orders import balanced_passes, shuffled_passes, stream_key
from gdw_tf.labels import class_indices

NIGHTLY_TIMES = 10  # as many cases

# What users give in the place of a number.
JUNK = st.sampled_from([None, "x", True, float("nan"), float("inf"), -1, 2.5, [], 2**70])


def result_or_one_line(call: Callable[[], Any]) -> Any:
    """What a call gives; `None` where it is refused, in one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()
    except (ValueError, TypeError) as error:
        assert len(str(error).splitlines()) == 1, str(error)
        return None


def now_and_then(strategy: st.SearchStrategy, other: st.SearchStrategy) -> st.SearchStrategy:
    """Draws from the first in seven of eight cases."""
    return st.integers(0, 7).flatmap(lambda number: other if number == 7 else strategy)


@st.composite
def labels_and_classes(draw, least: int = 1) -> tuple[np.ndarray, int]:
    num_classes = draw(st.integers(2, 6))
    count = draw(st.integers(least, 80))
    seed = draw(st.integers(0, 2**32 - 1))
    dtype = draw(st.sampled_from(["uint8", "int32", "int64"]))
    return np.random.RandomState(seed).randint(num_classes, size=count).astype(dtype), num_classes


def drawn_labels_are_classes_at_the_rate(given_labels, kind, rate, seed):
    labels, num_classes = given_labels
    labels = np.tile(labels, 20)  # enough of them for the rate to show
    matrix = result_or_one_line(lambda: noise.transition_matrix(kind, num_classes, rate))
    if matrix is None:
        return
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)
    drawn, again = (noise.corrupt(labels, matrix, np.random.RandomState(seed)) for _ in range(2))
    np.testing.assert_array_equal(drawn, again)
    assert drawn.dtype == np.int64 and drawn.shape == labels.shape
    assert drawn.min() >= 0 and drawn.max() < num_classes
    wrong = 1 - matrix[labels, labels]
    spread = np.sqrt((wrong * (1 - wrong)).sum())
    assert abs((drawn != labels).sum() - wrong.sum()) <= 6 * spread + 1e-6


def imbalanced_classes_have_their_counts(given_labels, factor, kind, per_class, seed):
    labels, num_classes = given_labels
    arguments = (labels, num_classes, factor, np.random.RandomState(seed), per_class, kind)
    kept = result_or_one_line(lambda: imbalanced_indices(*arguments))
    if kept is None:
        return
    wanted = imbalanced_counts(per_class, num_classes, factor, kind)
    assert (np.diff(wanted) <= 0).all() and (np.diff(kept) > 0).all()
    available = np.bincount(labels, minlength=num_classes)
    counts = np.bincount(labels[kept], minlength=num_classes)
    np.testing.assert_array_equal(counts, np.minimum(wanted, available))


def a_meta_set_and_the_rest_are_all(given_labels, num_meta, seed):
    labels, num_classes = given_labels
    arguments = (labels, num_classes, num_meta, np.random.RandomState(seed))
    split = result_or_one_line(lambda: split_meta(*arguments))
    if split is None:
        return
    rest, meta = split
    assert len(meta) == num_meta
    np.testing.assert_array_equal(np.sort(np.concatenate(split)), np.arange(len(labels)))
    counts = np.bincount(labels[meta], minlength=num_classes)
    assert np.ptp(counts) <= 1
    left = np.bincount(labels[rest], minlength=num_classes)
    assert (left[counts > 0] > 0).all()  # something to train on


def passes_hold_every_example_once(given_labels, seed):
    labels, _ = given_labels
    key = result_or_one_line(lambda: stream_key(seed, "fuzzing"))
    if key is None:
        return
    count = len(labels)
    indices = np.array(list(shuffled_passes(count, key).take(2 * count).as_numpy_iterator()))
    for one_pass in np.split(indices, 2):
        np.testing.assert_array_equal(np.sort(one_pass), np.arange(count))
    present, counts = np.unique(labels, return_counts=True)
    length = len(present) * counts.max()
    balanced = np.array(list(balanced_passes(labels, key).take(length).as_numpy_iterator()))
    assert set(balanced) == set(range(count))
    np.testing.assert_array_equal(np.unique(labels[balanced], return_counts=True)[1], counts.max())


def a_stream_is_the_tail_of_the_stream_from_its_start(
    given_labels, batch_size, start, steps, balanced, seed
):
    labels, _ = given_labels
    x = np.arange(len(labels), dtype=np.int32)
    common = {"batch_size": batch_size, "seed": seed}
    meta = {"steps_per_epoch": steps, "balanced": balanced}

    def epochs(stream: Callable[..., tf.data.Dataset], length: int, **options: Any) -> list[Any]:
        later = stream(x, labels, **common, **options, initial_epoch=start).take(length)
        whole = stream(x, labels, **common, **options).skip(start * length).take(length)
        batches = [list(one.as_numpy_iterator()) for one in (later, whole)]
        for (one, of_one), (other, of_other) in zip(*batches, strict=True):
            np.testing.assert_array_equal(one, other)
            np.testing.assert_array_equal(of_one, of_other)
            np.testing.assert_array_equal(labels[one], of_one)
        return batches[0]

    # Of an epoch, one pass: every example once.
    training = result_or_one_line(
        lambda: epochs(data.training_batches, -(-len(labels) // batch_size))
    )
    made = result_or_one_line(lambda: epochs(data.meta_batches, steps, **meta))
    assert (training is None) == (made is None)
    if training is not None:
        np.testing.assert_array_equal(np.sort(np.concatenate([one for one, _ in training])), x)
        assert {len(one) for one, _ in made} == {min(batch_size, len(labels))}


def prepared_data_hold_what_was_asked_for(given_labels, options):
    labels, num_classes = given_labels
    count = len(labels)
    source = data.Source(
        name="fuzzing",
        x_train=np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1),
        y_train=labels,
        x_test=np.zeros((num_classes, 1, 1, 1), np.uint8),
        y_test=np.arange(num_classes),
        class_names=tuple(map(str, range(num_classes))),
        mean=(0.0,),
        std=(1.0,),
        augment=False,
    )
    prepared = result_or_one_line(lambda: data.prepare(source, **options))
    if prepared is None:
        return
    train, meta = (images.reshape(-1) for images in (prepared.x_train, prepared.x_meta))
    assert len(set(train)) == len(train) == len(prepared.y_train) == len(prepared.y_true)
    assert not set(train) & set(meta)
    np.testing.assert_array_equal(prepared.y_true, labels[train])
    for given_now in (prepared.y_train, prepared.y_meta):
        assert given_now.dtype == np.int64
        assert not given_now.size or given_now.min() >= 0 and given_now.max() < num_classes
    np.testing.assert_allclose(prepared.transition_matrix.sum(axis=1), 1.0)
    if options["meta"] == "pseudo":
        assert not len(meta)
    else:
        assert len(meta) == len(set(meta)) == options["num_meta"]
        assert np.ptp(np.bincount(prepared.y_meta, minlength=num_classes)) <= 1
    if options["meta"] == "clean":
        np.testing.assert_array_equal(prepared.y_meta, labels[meta])
    if options["noise_rate"] == 0:
        np.testing.assert_array_equal(prepared.y_train, prepared.y_true)
    again = result_or_one_line(lambda: data.prepare(source, **options))
    np.testing.assert_array_equal(prepared.y_train, again.y_train)


def arrays_become_batches_of_all_examples_or_are_refused(x, y, weights, batch_size, steps):
    num_classes = 3

    def read() -> fit_data.Arrays:
        arrays = fit_data.read(x, y, weights, name="the data")
        data_checks.check_classes(arrays, None, None, num_classes)
        return arrays

    arrays = result_or_one_line(read)
    if arrays is None:
        return
    assert len(arrays.inputs) == len(arrays.labels) == arrays.size > 0
    classes = np.asarray(y)
    classes = classes.argmax(axis=1) if classes.shape[1:] == (3,) else classes.reshape(-1)
    assert set(classes.tolist()) <= set(range(num_classes))
    if weights is not None:
        assert (np.isfinite(arrays.sample_weight) & (arrays.sample_weight >= 0)).all()
    length = -(-arrays.size // batch_size)

    def stream(steps_taken: int) -> list[np.ndarray]:
        options = fit_streams.Options(
            num_classes=num_classes,
            seed=1,
            steps_taken=lambda: steps_taken,
            batch_size=batch_size,
            steps_per_epoch=length,
            num_examples=arrays.size,
        )
        batches = fit_streams.training_batches(arrays, options)
        return [parts[3].numpy() for parts in batches.take(steps + length)]

    whole = stream(0)
    np.testing.assert_array_equal(np.sort(np.concatenate(whole[:length])), np.arange(arrays.size))
    for one, other in zip(whole[steps:], stream(steps), strict=False):
        np.testing.assert_array_equal(one, other)


def labels_in_any_array_are_classes_or_are_refused(array, num_classes):
    classes = result_or_one_line(lambda: class_indices(array, num_classes, "y"))
    if classes is None:
        return
    assert classes.dtype == np.int64 and classes.shape == (len(array),)
    assert classes.min() >= 0 and classes.max() < num_classes
    if array.shape == (len(array), num_classes):
        np.testing.assert_array_equal(np.eye(num_classes)[classes], array.astype(float))
    else:
        np.testing.assert_array_equal(classes, array.reshape(-1))


SEEDS = st.integers(0, 2**32 - 1)
KINDS = st.sampled_from(["none", "uniform", "flip", "flip2", "pair"])
COUNTS = now_and_then(st.integers(1, 40), JUNK)
RATES = now_and_then(st.floats(0, 1), JUNK)
DTYPES = ["bool", "uint8", "int64", "float32", "<U2", "complex64", "datetime64[s]"]
ANY_ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: arrays_of.arrays(
        dtype, arrays_of.array_shapes(min_dims=0, max_side=4, min_side=0)
    )
)
# Mostly right: labels of so many examples, in one of the three forms.
RIGHT_LABELS = st.sampled_from([lambda y: y, lambda y: y[:, None], lambda y: np.eye(3)[y]])
EXAMPLES = st.integers(1, 20).map(lambda count: np.arange(2.0 * count).reshape(count, 2))


@st.composite
def examples_and_labels(draw) -> tuple[Any, Any, Any]:
    x = draw(EXAMPLES)
    y = draw(RIGHT_LABELS)(np.random.RandomState(draw(SEEDS)).randint(3, size=len(x)))
    weights = draw(st.sampled_from([None, np.ones(len(x)), np.linspace(0, 1, len(x))]))
    wrong = draw(st.integers(0, 3))  # one of four cases has an array of anything
    if not wrong:
        replaced = draw(st.integers(0, 2))
        return tuple(
            draw(ANY_ARRAYS) if at == replaced else one for at, one in enumerate((x, y, weights))
        )
    return x, y, weights


EXAMPLES_AND_LABELS = examples_and_labels()
PROPERTIES: dict[Callable[..., None], dict[str, st.SearchStrategy]] = {
    drawn_labels_are_classes_at_the_rate: {
        "given_labels": labels_and_classes(),
        "kind": now_and_then(KINDS, JUNK),
        "rate": RATES,
        "seed": SEEDS,
    },
    imbalanced_classes_have_their_counts: {
        "given_labels": labels_and_classes(),
        "factor": RATES,
        "kind": now_and_then(st.sampled_from(["exponential", "step"]), JUNK),
        "per_class": now_and_then(st.floats(1, 100), JUNK),
        "seed": SEEDS,
    },
    a_meta_set_and_the_rest_are_all: {
        "given_labels": labels_and_classes(least=20),
        "num_meta": COUNTS,
        "seed": SEEDS,
    },
    passes_hold_every_example_once: {
        "given_labels": labels_and_classes(),
        "seed": now_and_then(SEEDS, JUNK),
    },
    a_stream_is_the_tail_of_the_stream_from_its_start: {
        "given_labels": labels_and_classes(),
        "batch_size": st.integers(1, 90),
        "start": st.integers(0, 3),
        "steps": st.integers(1, 4),
        "balanced": st.booleans(),
        "seed": SEEDS,
    },
    prepared_data_hold_what_was_asked_for: {
        "given_labels": labels_and_classes(least=40),
        "options": st.fixed_dictionaries(
            {
                "num_meta": COUNTS,
                "meta": st.sampled_from(["clean", "noisy", "pseudo"]),
                "noise": now_and_then(st.sampled_from(["uniform", "flip", "instance"]), JUNK),
                "noise_rate": RATES,
                "imbalance_factor": now_and_then(st.floats(0.05, 1), JUNK),
                "train_examples": st.none() | st.integers(1, 20) | JUNK,
                "seed": now_and_then(SEEDS, JUNK),
            }
        ),
    },
    arrays_become_batches_of_all_examples_or_are_refused: {
        "arrays": EXAMPLES_AND_LABELS,
        "batch_size": st.integers(1, 25),
        "steps": st.integers(0, 8),
    },
    labels_in_any_array_are_classes_or_are_refused: {
        "array": EXAMPLES_AND_LABELS.map(lambda arrays: np.asarray(arrays[1])),
        "num_classes": st.integers(2, 4),
    },
}


# Cases of a property; those that make streams take half a second each, or more.
CASES = dict.fromkeys(PROPERTIES, 18) | {
    a_stream_is_the_tail_of_the_stream_from_its_start: 4,
    arrays_become_batches_of_all_examples_or_are_refused: 8,
    passes_hold_every_example_once: 6,
}


@pytest.mark.parametrize("times", [1, pytest.param(NIGHTLY_TIMES, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("check", PROPERTIES, ids=lambda check: check.__name__)
def test_at_random(check, times):
    strategies = PROPERTIES[check]

    def of_a_case(**drawn: Any) -> None:
        if "arrays" in drawn:
            drawn |= dict(zip(("x", "y", "weights"), drawn.pop("arrays"), strict=True))
        check(**drawn)

    chosen = settings(
        max_examples=times * CASES[check],
        derandomize=times == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    chosen(given(**strategies)(of_a_case))()
