from __future__ import annotations

import hashlib

import numpy as np
import sklearn.datasets

from gdw_tf import data


def test_the_digits_are_whole_and_split_by_class():
    source = data.load("digits")
    assert source.name == "digits"
    assert source.x_train.shape == (1297, 8, 8, 1)
    assert source.x_test.shape == (500, 8, 8, 1)
    assert source.image_shape == (8, 8, 1)
    assert source.num_classes == 10
    assert source.class_names == tuple("0123456789")
    assert source.x_train.dtype == source.x_test.dtype == np.uint8
    assert source.y_train.dtype == source.y_test.dtype == np.int64
    assert source.x_train.max() == 16
    assert not source.augment
    assert np.bincount(source.y_test).tolist() == [50] * 10


def test_the_parts_make_up_the_digits_of_scikit_learn():
    source = data.load("digits")
    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    x = np.concatenate([source.x_train, source.x_test]).reshape(-1, 64)
    y = np.concatenate([source.y_train, source.y_test])
    loaded = sorted((*pixels, label) for pixels, label in zip(x.tolist(), y.tolist(), strict=True))
    assert loaded == sorted((*pixels, label) for pixels, label in zip(images, labels, strict=True))


def test_normalised_pixels_fill_the_unit_interval():
    source = data.load("digits")
    normalised = (source.x_train - np.asarray(source.mean)) / np.asarray(source.std)
    assert (normalised.min(), normalised.max()) == (0.0, 1.0)


def test_the_split_is_the_same_on_every_machine():
    source = data.load("digits")
    digest = hashlib.sha256(source.x_test.tobytes() + source.y_test.astype("<i8").tobytes())
    assert digest.hexdigest() == "b7c68562aa2744aad5c51bd6255bd84556d569b939fc55cc18c2c21ec0629db7"
