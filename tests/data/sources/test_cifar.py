from __future__ import annotations

import types

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from gdw_tf import data

SIZES = {"train": 12, "test": 5}


def images_of(split: str) -> np.ndarray:
    random_state = np.random.RandomState(SIZES[split])
    return random_state.randint(256, size=(SIZES[split], 32, 32, 3)).astype(np.uint8)


class TinyCifar:
    """A builder of a few images, which must be read whole and in order."""

    def __init__(self, name: str, data_dir: str | None, prepared: bool):
        self.name, self.data_dir, self.prepared = name, data_dir, prepared
        label = types.SimpleNamespace(names=[f"class {i}" for i in range(int(name[5:]))])
        self.info = types.SimpleNamespace(features={"label": label})

    def is_prepared(self) -> bool:
        return self.prepared

    def download_and_prepare(self) -> None:
        self.prepared = True

    def as_dataset(self, *, split, batch_size, shuffle_files, as_supervised):
        assert self.prepared
        assert (batch_size, shuffle_files, as_supervised) == (-1, False, True)
        return tf.constant(images_of(split)), tf.range(SIZES[split], dtype=tf.int32)


@pytest.fixture
def builders(monkeypatch) -> list[TinyCifar]:
    """Puts `TinyCifar` in place of the builders; only the folder "full" has data."""
    made = []

    def builder(name, *, data_dir):
        made.append(TinyCifar(name, data_dir, data_dir == "full"))
        return made[-1]

    monkeypatch.setattr(tfds, "builder", builder)
    return made


@pytest.mark.parametrize(("name", "num_classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar_comes_whole_and_in_order(builders, name, num_classes):
    source = data.load(name, data_dir="full", download=False)
    assert source.name == name
    assert source.num_classes == num_classes
    assert source.class_names[-1] == f"class {num_classes - 1}"
    assert source.image_shape == (32, 32, 3)
    assert source.mean == (125.3, 123.0, 113.9)
    assert source.std == (63.0, 62.1, 66.7)
    assert source.augment
    for x, y, split in (
        (source.x_train, source.y_train, "train"),
        (source.x_test, source.y_test, "test"),
    ):
        assert x.dtype == np.uint8
        assert y.dtype == np.int64
        np.testing.assert_array_equal(x, images_of(split))
        np.testing.assert_array_equal(y, np.arange(SIZES[split]))


def test_missing_data_are_an_error_without_download(builders):
    with pytest.raises(FileNotFoundError) as raised:
        data.load("cifar10", data_dir="empty", download=False)
    assert "data_dir='empty', download=False" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_data_are_downloaded(builders):
    source = data.load("cifar10", data_dir="empty")
    assert builders[0].prepared
    assert builders[0].data_dir == "empty"
    assert len(source.x_train) == SIZES["train"]


def test_the_folder_is_looked_for_in_earnest(tmp_path):
    with pytest.raises(FileNotFoundError, match="no prepared data of cifar100"):
        data.load("cifar100", data_dir=str(tmp_path), download=False)
