from __future__ import annotations

import keras
import numpy as np
import pytest

from gdw_tf.networks import small_cnn


@pytest.mark.parametrize(
    "image_shape, num_classes, pooled_pixels", [((8, 8, 1), 10, 16), ((9, 5, 3), 4, 8)]
)
def test_parameters(image_shape, num_classes, pooled_pixels):
    network = small_cnn(num_classes, image_shape)

    convolutions = 9 * image_shape[-1] * 32 + 32 + 9 * 32 * 32 + 32
    dense = pooled_pixels * 32 * 64 + 64 + 64 * num_classes + num_classes
    assert network.count_params() == convolutions + dense


def test_learns_a_task_that_needs_the_place_of_a_pixel():
    generator = np.random.default_rng(0)
    images = generator.normal(0, 0.1, size=(64, 8, 8, 1)).astype("float32")
    labels = np.arange(64) % 2
    images[labels == 0, 1, 1] += 3
    images[labels == 1, 6, 6] += 3
    network = small_cnn(2)
    network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    network.fit(images, labels, epochs=30, batch_size=32, verbose=0)

    assert np.mean(np.argmax(network(images), axis=1) == labels) == 1.0


@pytest.mark.parametrize("dropout, differ", [(0.5, True), (0.0, False)])
def test_features_are_dropped_in_training(dropout, differ):
    network = small_cnn(10, dropout=dropout)
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 1))
    passes = [np.asarray(network(images, training=True)) for _ in range(2)]
    assert np.any(passes[0] != passes[1]) == differ
