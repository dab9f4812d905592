from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gdw_tf import data, experiment
from gdw_tf.settings import resolve


@pytest.mark.parametrize("balanced", [True, False])
def test_meta_batches_are_balanced_where_the_settings_say_so(balanced):
    settings = resolve(dataset="digits", num_meta=40, meta_batch_size=20, meta_balanced=balanced)
    source = data.load("digits")
    noisy = experiment.prepare_data(settings, source)
    _, meta = experiment.batch_streams(settings, source, noisy, initial_epoch=0)
    counts = [
        np.bincount(labels, minlength=10).tolist() for _, labels in meta.take(3).as_numpy_iterator()
    ]
    assert (counts == [[2] * 10] * 3) == balanced


def test_only_training_images_are_mixed_and_erased():
    plain = resolve(dataset="digits", num_meta=40)
    source = data.load("digits")
    noisy = experiment.prepare_data(plain, source)
    erased = dataclasses.replace(plain, mixup=1.0, cutout=1.0)
    (training, meta), (_, plain_meta) = (
        experiment.batch_streams(settings, source, noisy, initial_epoch=0)
        for settings in (erased, plain)
    )
    images, labels = next(iter(training))
    assert labels.shape == (100, 10)
    assert len(np.unique(images)) == 1  # nothing is left of them
    for one, other in zip(meta.take(2), plain_meta.take(2), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
