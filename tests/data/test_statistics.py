from __future__ import annotations

import numpy as np

from gdw_tf.data.statistics import SAMPLE, channel_statistics


def test_statistics_are_those_of_each_channel():
    images = np.random.RandomState(0).randint(256, size=(5, 3, 4, 2)).astype(np.uint8)
    images[..., 1] = 7
    mean, std = channel_statistics(images)
    first = images[..., 0].astype(float).ravel()
    np.testing.assert_allclose(mean, [sum(first) / len(first), 7.0])
    # A constant channel is divided by one.
    np.testing.assert_allclose(std, [np.sqrt(sum((first - mean[0]) ** 2) / len(first)), 1.0])


def test_of_many_images_every_second_is_looked_at():
    images = np.zeros((SAMPLE + 2, 1, 1, 1), np.uint8)
    images[1::2] = 255
    assert channel_statistics(images) == ((0.0,), (1.0,))
