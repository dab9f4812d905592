from __future__ import annotations

import types

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from gdw_tf import data

KEYS = ("aggre_label", "random_label1", "random_label2", "random_label3", "worse_label")
SIZES = {"train": 30, "test": 5}


class TinyCifarN:
    """A builder whose k-th set of human labels is the true one shifted by k + 1."""

    def __init__(self, name: str):
        classes = int(name[5:-2])
        keys = KEYS if classes == 10 else ("noise_label",)
        names = [f"class {number}" for number in range(classes)]
        self.info = types.SimpleNamespace(features={"label": types.SimpleNamespace(names=names)})
        self.examples = {}
        for split, size in SIZES.items():
            label = np.arange(size) % classes
            given = {key: (label + 1 + k) % classes for k, key in enumerate(keys)}
            if split == "test":
                given = dict.fromkeys(keys, np.full(size, -1))
            images = np.random.RandomState(size).randint(256, size=(size, 32, 32, 3))
            self.examples[split] = {"image": images.astype(np.uint8), "label": label, **given}

    def is_prepared(self):
        return True

    def as_dataset(self, *, split, batch_size, shuffle_files):
        assert (batch_size, shuffle_files) == (-1, False)
        return {key: tf.constant(value) for key, value in self.examples[split].items()}


@pytest.fixture(autouse=True)
def builder(monkeypatch):
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: TinyCifarN(name))


@pytest.mark.parametrize(
    ("name", "options", "shift"),
    [
        ("cifar10_n", {}, 5),
        ("cifar10_n", {"human_labels": "aggregate"}, 1),
        ("cifar10_n", {"human_labels": "random1"}, 2),
        ("cifar10_n", {"human_labels": "random2"}, 3),
        ("cifar10_n", {"human_labels": "random3"}, 4),
        ("cifar10_n", {"human_labels": "worst"}, 5),
        ("cifar100_n", {}, 1),
    ],
)
def test_given_labels_come_beside_the_true_ones(name, options, shift):
    source = data.load(name, download=False, **options)
    classes = int(name[5:-2])
    np.testing.assert_array_equal(source.y_train, np.arange(30) % classes)
    np.testing.assert_array_equal(source.y_given, (np.arange(30) + shift) % classes)
    np.testing.assert_array_equal(source.y_test, np.arange(5))
    assert source.num_classes == classes
    assert source.x_train.shape == (30, 32, 32, 3)
    assert source.labels_are_true
    assert source.mean == (125.3, 123.0, 113.9)


def test_the_meta_set_is_clean_and_the_training_labels_are_the_peoples():
    source = data.load("cifar10_n", download=False, human_labels="random1")
    noisy = data.prepare(source, num_meta=10)
    assert np.bincount(noisy.y_meta).tolist() == [1] * 10
    true_of = {image.tobytes(): y for image, y in zip(source.x_train, source.y_train, strict=True)}
    assert [true_of[image.tobytes()] for image in noisy.x_meta] == noisy.y_meta.tolist()
    np.testing.assert_array_equal(noisy.y_train, (noisy.y_true + 2) % 10)
    assert noisy.noise_rate == 1.0


def test_unknown_human_labels_are_an_error():
    with pytest.raises(ValueError, match="human_labels=best; allowed: aggregate, random1"):
        data.load("cifar10_n", download=False, human_labels="best")
    with pytest.raises(ValueError, match="cifar100_n does not take human_labels"):
        data.load("cifar100_n", download=False, human_labels="worst")
