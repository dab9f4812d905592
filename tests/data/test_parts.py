"""Each of several workers makes its parts of the batches, which joined are the whole ones."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gdw_tf.data import (
    Augmentation,
    ImageFiles,
    Parts,
    evaluation_batches,
    meta_batches,
    training_batches,
)

WORKERS, REPLICAS = 2, 4


def contexts(workers=WORKERS, replicas=REPLICAS):
    return [
        tf.distribute.InputContext(
            num_input_pipelines=workers, input_pipeline_id=worker, num_replicas_in_sync=replicas
        )
        for worker in range(workers)
    ]


def numbered(count):
    images = np.zeros((count, 6, 6, 1), np.uint8)
    images[:] = np.arange(count)[:, np.newaxis, np.newaxis, np.newaxis]
    return images, np.arange(count)


def taken(stream, batches):
    return list(stream.take(batches).as_numpy_iterator())


def joined(stream_of, batches, workers=WORKERS, replicas=REPLICAS):
    """The labels of every batch, of the parts of all workers, and each part's size."""
    here = replicas // workers
    of_workers = [taken(stream_of(each), batches * here) for each in contexts(workers, replicas)]
    parts = [
        [labels for made in of_workers for _, labels in made[number * here : (number + 1) * here]]
        for number in range(batches)
    ]
    return [np.concatenate(of_batch) for of_batch in parts], [list(map(len, one)) for one in parts]


def test_by_default_a_batch_is_one_part():
    assert Parts.of(None) == Parts.of(tf.distribute.InputContext()) == Parts(1, 0, 1)


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(8, [2, 2, 2, 2]), (7, [2, 2, 2, 1]), (5, [2, 2, 1, 0])]
)
def test_the_parts_of_training_batches_are_the_batches(batch_size, sizes):
    x, y = numbered(20)

    def stream(context):
        return training_batches(x, y, batch_size=batch_size, seed=3, context=context)

    whole = [labels for _, labels in taken(stream(None), 6)]
    labels, sizes_of_parts = joined(stream, 6)
    assert sizes_of_parts[0] == sizes
    for of_parts, of_one in zip(labels, whole, strict=True):
        np.testing.assert_array_equal(of_parts, of_one)


def test_the_parts_of_meta_and_evaluation_batches_are_the_batches():
    x, y = numbered(10)
    streams = [
        lambda context: meta_batches(
            x, y, batch_size=6, seed=0, steps_per_epoch=4, context=context
        ),
        lambda context: evaluation_batches(x, y, batch_size=6, context=context),
    ]
    for stream in streams:
        whole = [labels for _, labels in taken(stream(None), 2)]
        labels, _ = joined(stream, 2)
        for of_parts, of_one in zip(labels, whole, strict=True):
            np.testing.assert_array_equal(of_parts, of_one)


def test_parts_that_divide_a_batch_keep_a_static_shape():
    x, y = numbered(16)
    stream = training_batches(x, y, batch_size=8, seed=0, context=contexts()[1])
    assert stream.element_spec[1].shape == (2,)


def test_every_part_is_augmented_with_draws_of_its_own():
    x = np.arange(4 * 36, dtype=np.uint8).reshape(4, 6, 6, 1)[[0] * 8]

    def images(context):
        stream = training_batches(
            x,
            np.arange(8),
            batch_size=8,
            seed=0,
            augmentation=Augmentation(crop_and_flip=True),
            context=context,
        )
        return [part for part, _ in taken(stream, 4)]

    first, second = (images(each) for each in contexts())
    np.testing.assert_equal(first, images(contexts()[0]))
    parts = [part.tobytes() for part in (*first, *second)]
    assert len(set(parts)) == len(parts)


def test_a_worker_reads_no_files_but_those_of_its_parts(tmp_path):
    for number in range(4):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")
    files = ImageFiles(tmp_path, [f"{number}.png" for number in range(8)], (8, 8))
    first, second = (
        evaluation_batches(files, np.arange(8), batch_size=8, context=context)
        for context in contexts(2, 2)
    )
    ((images, labels),) = first.as_numpy_iterator()
    np.testing.assert_array_equal(labels, [0, 1, 2, 3])
    np.testing.assert_array_equal(images[:, 0, 0, 0], [0, 1, 2, 3])
    with pytest.raises(tf.errors.NotFoundError):
        list(second)
