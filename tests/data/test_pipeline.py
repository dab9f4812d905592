from __future__ import annotations

import functools
import hashlib

import numpy as np
import pytest
import tensorflow as tf

from gdw_tf.data import (
    Augmentation,
    evaluation_batches,
    gather_batches,
    meta_batches,
    shuffled_pass,
    training_batches,
)

KEY = tf.constant([1, 2], tf.int64)
CROP_AND_FLIP = Augmentation(crop_and_flip=True)
ALL = Augmentation(crop_and_flip=True, randaugment=9.0, cutout=0.5, mixup=1.0)


def numbered(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Random images with their own number as the label.

    Of 10 or more pixels a side, no two windows of a padded image are alike.
    """
    images = np.random.RandomState(0).randint(256, size=(size, 10, 10, 1)).astype(np.uint8)
    return images, np.arange(size)


def labels_of(stream: tf.data.Dataset, batches: int) -> list[list[int]]:
    return [labels.tolist() for _, labels in stream.take(batches).as_numpy_iterator()]


def joined(batches: list[list[int]]) -> list[int]:
    return [label for batch in batches for label in batch]


def assert_same_batches(first: tf.data.Dataset, second: tf.data.Dataset) -> None:
    pairs = list(zip(first.as_numpy_iterator(), second.as_numpy_iterator(), strict=True))
    assert pairs
    for batch, other in pairs:
        for array, other_array in zip(batch, other, strict=True):
            np.testing.assert_array_equal(array, other_array)


# shuffled_pass


@pytest.mark.parametrize("size", [1, 2, 50])
def test_a_pass_visits_every_example_once(size):
    passed = shuffled_pass(size, KEY)
    assert passed.element_spec == tf.TensorSpec([], tf.int64)
    assert sorted(passed.as_numpy_iterator()) == list(range(size))


def test_the_order_of_a_pass_is_given_by_its_key():
    orders = [
        list(shuffled_pass(50, tf.constant(key, tf.int64)).as_numpy_iterator())
        for key in ([1, 2], [1, 2], [1, 3], [2, 2])
    ]
    assert orders[0] == orders[1]
    assert orders[0] != list(range(50))
    assert orders[0] != orders[2] != orders[3] != orders[0]


def test_all_orders_are_equally_likely():
    passes = tf.data.Dataset.range(300).flat_map(
        lambda number: shuffled_pass(3, tf.stack([number, 0])).batch(3)
    )
    orders = [tuple(order) for order in passes.as_numpy_iterator()]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    # Four standard deviations around 50.
    assert all(24 <= count <= 76 for count in counts)


# gather_batches


def test_batches_are_gathered_from_every_array_of_a_structure():
    arrays = {"x": np.arange(20).reshape(10, 2), "y": (np.arange(10.0), tf.range(10) * 3)}
    indices = [7, 0, 3, 3, 9]
    batches = list(
        gather_batches(tf.data.Dataset.from_tensor_slices(indices), arrays, 2).as_numpy_iterator()
    )
    assert [batch["x"].tolist() for batch in batches] == [
        [[14, 15], [0, 1]],
        [[6, 7], [6, 7]],
        [[18, 19]],
    ]
    assert [batch["y"][0].tolist() for batch in batches] == [[7.0, 0.0], [3.0, 3.0], [9.0]]
    assert [batch["y"][1].tolist() for batch in batches] == [[21, 0], [9, 9], [27]]


def test_the_last_short_batch_can_be_dropped():
    batches = gather_batches(tf.data.Dataset.range(5), np.arange(5), 2, drop_remainder=True)
    assert batches.element_spec.shape == [2]
    assert [batch.tolist() for batch in batches.as_numpy_iterator()] == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((np.zeros((3, 2)), np.zeros(2)), r"shapes \(3, 2\), \(2,\)"),
        ((np.zeros((0, 2)), np.zeros(0)), r"shapes \(0, 2\), \(0,\)"),
        ((np.zeros(3), np.float32(1)), r"shapes \(3,\), \(\)"),
    ],
)
def test_arrays_that_are_not_the_same_examples_are_errors(arrays, message):
    with pytest.raises(ValueError, match=message):
        gather_batches(tf.data.Dataset.range(3), arrays, 2)
    with pytest.raises(ValueError, match=message):
        training_batches(*arrays, batch_size=2, seed=0)
    with pytest.raises(ValueError, match=message):
        meta_batches(*arrays, batch_size=2, seed=0, steps_per_epoch=1)
    with pytest.raises(ValueError, match=message):
        evaluation_batches(*arrays)


# training_batches


def test_an_epoch_is_a_full_pass_with_a_short_last_batch():
    stream = training_batches(*numbered(22), batch_size=5, seed=0)
    batches = labels_of(stream, 15)
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 2] * 3
    epochs = [joined(batches[start : start + 5]) for start in (0, 5, 10)]
    assert all(sorted(epoch) == list(range(22)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_images_come_with_their_labels_as_they_are():
    images, labels = numbered(20)
    for x, y in training_batches(images, labels, batch_size=6, seed=0).take(8).as_numpy_iterator():
        assert x.dtype == np.uint8
        np.testing.assert_array_equal(x, images[y])


def test_augmentation_changes_the_images_and_not_the_order(possible_windows):
    images, labels = numbered(20)
    plain = training_batches(images, labels, batch_size=6, seed=0)
    augmented = training_batches(images, labels, batch_size=6, seed=0, augmentation=CROP_AND_FLIP)
    assert labels_of(plain, 8) == labels_of(augmented, 8)
    windows = [possible_windows(image) for image in images]
    seen = [
        windows[label][image.tobytes()]
        for x, y in augmented.take(8).as_numpy_iterator()
        for image, label in zip(x, y, strict=True)
    ]
    assert len(seen) == 40
    # Every batch and every epoch has crops of its own.
    assert len(set(seen)) > 30
    assert seen[:6] != seen[6:12]
    assert seen[:20] != seen[20:]


def test_shapes_are_static_when_no_batch_is_short():
    full, short = (
        training_batches(*numbered(20), batch_size=size, seed=0, augmentation=CROP_AND_FLIP)
        for size in (5, 6)
    )
    assert full.element_spec[0].shape == [5, 10, 10, 1]
    assert short.element_spec[0].shape.as_list() == [None, 10, 10, 1]


def test_a_batch_larger_than_the_set_is_the_whole_set():
    batches = labels_of(training_batches(*numbered(7), batch_size=100, seed=0), 2)
    assert [sorted(batch) for batch in batches] == [list(range(7))] * 2


def test_mixup_makes_shares_of_the_labels_and_leaves_what_is_beside_them():
    images, labels = numbered(6)
    stream = training_batches(
        images,
        (labels, labels + 10),
        batch_size=4,
        seed=0,
        augmentation=Augmentation(mixup=1.0),
        num_classes=6,
    )
    for _, (shares, index) in stream.take(3).as_numpy_iterator():
        assert shares.shape == (len(index), 6)
        assert (shares[np.arange(len(index)), index - 10] > 0).all()


def test_labels_may_be_a_structure():
    images, labels = numbered(6)
    stream = training_batches(images, {"given": labels, "index": labels + 10}, batch_size=4, seed=0)
    for _, y in stream.take(3).as_numpy_iterator():
        np.testing.assert_array_equal(y["index"], y["given"] + 10)


def test_the_order_of_training_is_the_same_on_every_machine():
    stream = training_batches(*numbered(200), batch_size=30, seed=1)
    order = np.array(joined(labels_of(stream, 21)))
    assert order.shape == (600,)
    digest = hashlib.sha256(order.astype("<i8").tobytes()).hexdigest()
    assert digest == "edb245977d866e49b7950e6e1c63795b64e6c3381bd1a010bcad92264dfc2d30"


def test_augmented_images_are_the_same_on_every_machine():
    stream = training_batches(*numbered(20), batch_size=10, seed=1, augmentation=CROP_AND_FLIP)
    digest = hashlib.sha256(b"".join(x.tobytes() for x, _ in stream.take(4).as_numpy_iterator()))
    assert digest.hexdigest() == "d5a129212c935e489ba8bd80874ea8fbc0e5fa2a08c22498f545321cb1690f26"


# meta_batches


def test_meta_batches_are_full_and_join_the_passes_of_an_epoch():
    stream = meta_batches(*numbered(10), batch_size=4, seed=0, steps_per_epoch=6)
    assert stream.element_spec[0].shape == [4, 10, 10, 1]
    epochs = [joined(labels_of(stream.skip(6 * epoch), 6)) for epoch in range(3)]
    for epoch in epochs:
        assert len(epoch) == 24
        assert sorted(epoch[:10]) == sorted(epoch[10:20]) == list(range(10))
        assert epoch[:10] != epoch[10:20]
        assert len(set(epoch[20:])) == 4
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_the_meta_set_starts_anew_every_epoch():
    three, four = (
        meta_batches(*numbered(10), batch_size=4, seed=0, steps_per_epoch=steps) for steps in (3, 4)
    )
    assert labels_of(three, 3) == labels_of(four, 3)
    assert labels_of(three.skip(3), 3) == labels_of(four.skip(4), 3)
    assert labels_of(three.skip(3), 1) != labels_of(four.skip(3), 1)


def test_a_meta_batch_larger_than_the_set_is_the_set():
    stream = meta_batches(*numbered(6), batch_size=100, seed=0, steps_per_epoch=2)
    batches = labels_of(stream, 4)
    assert [sorted(batch) for batch in batches] == [list(range(6))] * 4
    assert batches[0] != batches[1]


def test_training_and_meta_set_have_streams_of_their_own(possible_windows):
    images, labels = numbered(20)
    setting = {"batch_size": 20, "seed": 0}
    windows = [possible_windows(image) for image in images]
    orders, crops = [], []
    for stream in (
        training_batches(images, labels, augmentation=CROP_AND_FLIP, **setting),
        meta_batches(images, labels, augment=True, steps_per_epoch=1, **setting),
    ):
        x, y = next(stream.as_numpy_iterator())
        orders.append(y.tolist())
        crops.append([windows[label][image.tobytes()] for image, label in zip(x, y, strict=True)])
    assert orders[0] != orders[1]
    assert crops[0] != crops[1]


def test_meta_batches_are_the_same_on_every_machine():
    stream = meta_batches(*numbered(20), batch_size=8, seed=1, steps_per_epoch=4, augment=True)
    digest = hashlib.sha256()
    for x, y in stream.take(10).as_numpy_iterator():
        digest.update(x.tobytes() + y.astype("<i8").tobytes())
    assert digest.hexdigest() == "eaed49ab914ab1b3e54616c685e723549baa4801928e166fd3b7f723e880871d"


# both streams


@functools.cache
def streams(
    seed: int, augmentation: Augmentation | None, initial_epoch: int, initial_step: int = 0
) -> tuple[tf.data.Dataset, ...]:
    setting = {
        **{"batch_size": 4, "seed": seed},
        **{"initial_epoch": initial_epoch, "initial_step": initial_step},
    }
    return (
        training_batches(  # 5 batches an epoch
            *numbered(18), augmentation=augmentation, num_classes=18, **setting
        ),
        meta_batches(*numbered(11), augment=bool(augmentation), steps_per_epoch=5, **setting),
    )


@pytest.mark.parametrize("augmentation", [None, CROP_AND_FLIP, ALL])
@pytest.mark.parametrize("step", [0, 1, 4])
def test_a_resumed_stream_is_the_tail_of_the_whole_one(step, augmentation):
    parts = zip(streams(7, augmentation, 0), streams(7, augmentation, 3, step), strict=True)
    for whole, resumed in parts:
        assert_same_batches(whole.skip(5 * 3 + step).take(12), resumed.take(12))


def test_a_stream_can_be_read_again():
    for stream in streams(7, CROP_AND_FLIP, 0):
        assert_same_batches(stream.take(12), stream.take(12))


def test_another_seed_gives_another_stream():
    for stream, other in zip(streams(7, None, 0), streams(8, None, 0), strict=True):
        assert labels_of(stream, 12) != labels_of(other, 12)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size=0; allowed: 1 or more"),
        ({"batch_size": 2.0}, TypeError, "batch_size=2.0"),
        ({"seed": -1}, ValueError, "seed=-1; allowed: 0 to"),
        ({"seed": 2**63}, ValueError, "allowed: 0 to 9223372036854775807"),
        ({"initial_epoch": -1}, ValueError, "initial_epoch=-1; allowed: 0 or more"),
        ({"initial_step": 2}, ValueError, "initial_step=2; allowed: 0 to 1"),
    ],
)
def test_bad_settings_of_a_stream_are_errors(change, error, message):
    setting = {"batch_size": 2, "seed": 0, **change}
    with pytest.raises(error, match=message):
        training_batches(*numbered(4), **setting)
    with pytest.raises(error, match=message):
        meta_batches(*numbered(4), steps_per_epoch=2, **setting)


def test_a_meta_epoch_has_a_step():
    with pytest.raises(ValueError, match="steps_per_epoch=0; allowed: 1 or more"):
        meta_batches(*numbered(4), batch_size=2, seed=0, steps_per_epoch=0)


# evaluation_batches


def test_evaluation_goes_through_the_set_once_in_order():
    images, labels = numbered(1203)
    batches = list(evaluation_batches(images, labels).as_numpy_iterator())
    assert [len(y) for _, y in batches] == [500, 500, 203]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), images)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), labels)


def test_a_bad_evaluation_batch_size_is_an_error():
    with pytest.raises(ValueError, match="batch_size=0; allowed: 1 or more"):
        evaluation_batches(*numbered(4), batch_size=0)
