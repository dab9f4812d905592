from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest

from gdw_tf import data, experiment
from gdw_tf.settings import resolve


def test_images_that_no_network_takes_are_an_error(tmp_path):
    arrays = {}
    for suffix in ("", "_meta", "_test"):
        arrays |= {f"x{suffix}": np.ones((2, 9, 7, 1), np.uint8), f"y{suffix}": np.arange(2)}
    np.savez(tmp_path / "small.npz", **arrays)
    location = {"data_file": str(tmp_path / "small.npz")}
    with pytest.raises(ValueError, match="too small. Received: 9 x 7 pixels; allowed: 8 x 8 and"):
        experiment.load_source(resolve(dataset="npz"), **location)
    settings = resolve(dataset="npz", image_size=(8, 8))
    assert experiment.load_source(settings, **location).image_shape == (8, 8, 1)


def test_the_batches_of_a_seed_are_the_same_on_every_machine():
    settings = resolve(dataset="digits", seed=3)  # 40 % of the labels flipped
    source = data.load("digits")
    noisy = experiment.prepare_data(settings, source)
    digest = hashlib.sha256()
    for stream in experiment.batch_streams(settings, source, noisy, initial_epoch=2):
        for images, labels, *_ in stream.take(15).as_numpy_iterator():
            digest.update(images.tobytes() + labels.astype("<i8").tobytes())
    assert digest.hexdigest() == "5dd387bd7ca4687854af980b25c6cf80cad8fe905671b517bcf6c684d69ab89f"


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
    images, labels, *_ = next(iter(training))
    assert labels.shape == (100, 10)
    assert len(np.unique(images)) == 1  # nothing is left of them
    for one, other in zip(meta.take(2), plain_meta.take(2), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_batches_of_a_pseudo_clean_meta_set_are_balanced():
    settings = resolve(dataset="digits", meta="pseudo", meta_batch_size=20)
    source = data.load("digits")
    noisy = experiment.prepare_data(settings, source)
    with pytest.raises(ValueError, match="No meta set is chosen yet. Received: meta=pseudo"):
        experiment.meta_stream(settings, source, noisy)
    unequal = np.concatenate(
        [np.flatnonzero(noisy.y_train == label)[: 3 + label] for label in range(10)]
    )
    meta = experiment.meta_stream(settings, source, noisy.with_meta(unequal))
    for _, labels in meta.take(3).as_numpy_iterator():
        assert np.bincount(labels, minlength=10).tolist() == [2] * 10
